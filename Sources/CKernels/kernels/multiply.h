// Packed 32-bit weights times many vectors.

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
