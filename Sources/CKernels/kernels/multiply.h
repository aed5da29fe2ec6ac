// 32-bit products with many vectors: of packed weights, and of weights as stored, which are packed as they pass.

/// What a tile's sums take of the registers: rows of x, and vectors of outputs beside one another.
#define TILE_ROWS 6
#if W == 16 || (W == 4 && defined(HAS_FMA))
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

INLINE void multiply_tile(const ck_product *job, long first, long row, const int rows) {
  const float *w = job->weights + first / CK_PANEL * CK_PANEL * job->columns + first % CK_PANEL;
  const float *x = job->x + row * job->x_stride;
  const long x_stride = job->x_stride, columns = job->columns;
  vf sum[TILE_ROWS][TILE_VECTORS];
  EACH(j, TILE_VECTORS) {
    const vf start = job->bias ? vf_load(job->bias + first + j * W) : vf_all(0);
    EACH(r, rows) sum[r][j] = start;
  }
  for (long c = 0; c < columns; c++, w += CK_PANEL) {
    vf part[TILE_VECTORS];
    EACH(j, TILE_VECTORS) part[j] = vf_load(w + j * W);
    EACH(r, rows) {
      const vf v = vf_all(x[r * x_stride + c]);
      EACH(j, TILE_VECTORS) sum[r][j] = vf_fma(part[j], v, sum[r][j]);
    }
  }
  float *y = job->y + row * job->y_stride + first;
  const long left = job->outputs - first;
  if (left < TILE_VECTORS * W) {
    EACH(r, rows) {
      float last[TILE_VECTORS * W];
      EACH(j, TILE_VECTORS) vf_store(last + j * W, sum[r][j]);
      for (long i = 0; i < left; i++) y[i] = job->adding ? y[i] + last[i] : last[i];
      y += job->y_stride;
    }
  } else if (job->adding) {
    EACH(r, rows) {
      EACH(j, TILE_VECTORS) vf_store(y + j * W, vf_load(y + j * W) + sum[r][j]);
      y += job->y_stride;
    }
  } else {
    EACH(r, rows) {
      EACH(j, TILE_VECTORS) vf_store(y + j * W, sum[r][j]);
      y += job->y_stride;
    }
  }
}

static void multiply(const ck_product *job, long panel, long begin, long end) {
  const long last = job->outputs < (panel + 1) * CK_PANEL ? job->outputs : (panel + 1) * CK_PANEL;
  for (long first = panel * CK_PANEL; first < last; first += TILE_VECTORS * W) {
    long row = begin;
    for (; row + TILE_ROWS <= end; row += TILE_ROWS) multiply_tile(job, first, row, TILE_ROWS);
    if (row + 4 <= end) multiply_tile(job, first, row, 4), row += 4;
    if (row + 2 <= end) multiply_tile(job, first, row, 2), row += 2;
    if (row < end) multiply_tile(job, first, row, 1);
  }
}

/// Columns that are multiplied before the sums are put down: a panel of them stays near.
#define STORED_COLUMNS 256

/// Four rows of floats become four columns of a panel.
INLINE void pack_four(const float *rows, long count, float *panel) {
  typedef float four __attribute__((vector_size(16)));
  long c = 0;
  for (; c + 4 <= count; c += 4) {
    four v[4];
    EACH(i, 4) __builtin_memcpy(&v[i], rows + i * STORED_COLUMNS + c, 16);
    const four a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    const four d = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), e = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    const four out[4] = {
        __builtin_shufflevector(a, d, 0, 1, 4, 5), __builtin_shufflevector(a, d, 2, 3, 6, 7),
        __builtin_shufflevector(b, e, 0, 1, 4, 5), __builtin_shufflevector(b, e, 2, 3, 6, 7)};
    EACH(i, 4) __builtin_memcpy(panel + (c + i) * CK_PANEL, &out[i], 16);
  }
  for (; c < count; c++)
    for (int i = 0; i < 4; i++) panel[c * CK_PANEL + i] = rows[i * STORED_COLUMNS + c];
}

static void multiply_stored(const ck_stored_product *job, long panel, long begin, long end) {
  float packed[STORED_COLUMNS * CK_PANEL] __attribute__((aligned(64)));
  float rows[4 * STORED_COLUMNS], bias[CK_PANEL] = {0};
  const long first = panel * CK_PANEL, outputs = job->outputs - first < CK_PANEL ? job->outputs - first : CK_PANEL;
  if (job->bias) __builtin_memcpy(bias, job->bias + first, (size_t)outputs * 4);
  for (long column = 0; column < job->columns; column += STORED_COLUMNS) {
    const long count = job->columns - column < STORED_COLUMNS ? job->columns - column : STORED_COLUMNS;
    for (long r = 0; r < CK_PANEL; r += 4) {
      for (long i = 0; i < 4; i++) {
        const long at = (first + r + i) * job->columns + column;
        if (r + i < outputs)
          job->expand(job->weights + at / job->block * job->block_bytes, count, rows + i * STORED_COLUMNS);
        else __builtin_memset(rows + i * STORED_COLUMNS, 0, (size_t)count * 4);
      }
      pack_four(rows, count, packed + r);
    }
    const ck_product part = {
        packed, column == 0 ? bias : 0, outputs, count, job->x + column, job->x_stride, column > 0 || job->adding,
        job->y + first, job->y_stride};
    multiply(&part, 0, begin, end);
  }
}
