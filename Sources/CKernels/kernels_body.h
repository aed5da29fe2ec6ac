// Every kernel over vectors of W floats; included once by each path, after vector.h.

// MARK: Weights times a few vectors

/// One row's dot products with BATCH inputs. `UNPACK` sets `vf w[32 / W]` to the block's weights before scaling.
#define ROW_LOOP(NAME, BLOCK_BYTES, UNPACK, SCALE, MINIMUM)                                                  \
  INLINE void NAME##_row(const ck_rows *job, long row, long first, const int batch) {                       \
    const long blocks = job->columns / 32;                                                                  \
    const unsigned char *p = job->weights + row * blocks * BLOCK_BYTES;                                     \
    vf sum[4];                                                                                              \
    float minimums[4];                                                                                      \
    for (int b = 0; b < batch; b++) sum[b] = vf_all(0), minimums[b] = 0;                                    \
    for (long block = 0; block < blocks; block++, p += BLOCK_BYTES) {                                       \
      vf w[32 / W];                                                                                         \
      UNPACK;                                                                                               \
      const vf scale = vf_all(SCALE);                                                                       \
      const float minimum = MINIMUM;                                                                        \
      for (int b = 0; b < batch; b++) {                                                                     \
        const float *x = job->x + (first + b) * job->x_stride + block * 32;                                 \
        vf part = w[0] * vf_load(x);                                                                        \
        for (int i = 1; i < 32 / W; i++) part = vf_fma(w[i], vf_load(x + i * W), part);                     \
        sum[b] = vf_fma(part, scale, sum[b]);                                                               \
        minimums[b] += minimum * job->sums[(first + b) * blocks + block];                                   \
      }                                                                                                     \
    }                                                                                                       \
    for (int b = 0; b < batch; b++)                                                                         \
      job->y[(first + b) * job->y_stride + row] =                                                           \
          vf_sum(sum[b]) + minimums[b] + (job->bias ? job->bias[row] : 0);                                  \
  }

/// Calls NAME_row with constant batch sizes, so that the loops over the batch unroll.
#define ROWS(NAME)                                                                     \
  static void NAME(const ck_rows *job, long begin, long end, long batch) {             \
    for (long row = begin; row < end; row++) {                                         \
      long first = 0;                                                                  \
      for (; first + 4 <= batch; first += 4) NAME##_row(job, row, first, 4);           \
      if (first + 2 <= batch) NAME##_row(job, row, first, 2), first += 2;              \
      if (first < batch) NAME##_row(job, row, first, 1);                               \
    }                                                                                  \
  }

INLINE void unpack_nibbles(const unsigned char *p, vf *w) {
  bytes16 all;
  __builtin_memcpy(&all, p, 16);
  const bytes16 low = all & 15, high = all >> 4;
  for (int i = 0; i < 16 / W; i++) w[i] = vf_bytes(low, i), w[16 / W + i] = vf_bytes(high, i);
}
INLINE void unpack_signed(const unsigned char *p, vf *w) {
  for (int i = 0; i < 32 / W; i++) w[i] = vf_signed(p + i * W);
}

ROW_LOOP(rows_q4_0, 18, unpack_nibbles(p + 2, w), one_half(p), one_half(p) * -8)
ROWS(rows_q4_0)
ROW_LOOP(rows_q4_1, 20, unpack_nibbles(p + 4, w), one_half(p), one_half(p + 2))
ROWS(rows_q4_1)
ROW_LOOP(rows_q8_0, 34, unpack_signed(p + 2, w), one_half(p), 0)
ROWS(rows_q8_0)

/// One row of plain floats of any width: four sums in flight, then what does not fill a vector.
#define FLOAT_ROW(NAME, BYTES, LOAD, LOAD_ONE)                                                              \
  INLINE void NAME##_row(const ck_rows *job, long row, long first, const int batch) {                       \
    const long columns = job->columns;                                                                      \
    const unsigned char *p = job->weights + row * columns * BYTES;                                          \
    vf sum[4][2];                                                                                           \
    float rest[4];                                                                                          \
    for (int b = 0; b < batch; b++) sum[b][0] = sum[b][1] = vf_all(0), rest[b] = 0;                         \
    long c = 0;                                                                                             \
    for (; c + 2 * W <= columns; c += 2 * W) {                                                              \
      const vf w0 = LOAD(p + c * BYTES), w1 = LOAD(p + (c + W) * BYTES);                                    \
      for (int b = 0; b < batch; b++) {                                                                     \
        const float *x = job->x + (first + b) * job->x_stride + c;                                          \
        sum[b][0] = vf_fma(w0, vf_load(x), sum[b][0]);                                                      \
        sum[b][1] = vf_fma(w1, vf_load(x + W), sum[b][1]);                                                  \
      }                                                                                                     \
    }                                                                                                       \
    for (; c < columns; c++) {                                                                              \
      const float w = LOAD_ONE(p + c * BYTES);                                                              \
      for (int b = 0; b < batch; b++) rest[b] += w * job->x[(first + b) * job->x_stride + c];               \
    }                                                                                                       \
    for (int b = 0; b < batch; b++)                                                                         \
      job->y[(first + b) * job->y_stride + row] =                                                           \
          vf_sum(sum[b][0] + sum[b][1]) + rest[b] + (job->bias ? job->bias[row] : 0);                       \
  }

INLINE vf load_f32(const unsigned char *p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE float one_f32(const unsigned char *p) {
  float v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE float one_brain(const unsigned char *p) {
  const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
  float v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}

FLOAT_ROW(rows_f32, 4, load_f32, one_f32)
ROWS(rows_f32)
FLOAT_ROW(rows_f16, 2, vf_half, one_half)
ROWS(rows_f16)
FLOAT_ROW(rows_bf16, 2, vf_brain, one_brain)
ROWS(rows_bf16)

static void block_sums(const float *x, long blocks, float *sums) {
  for (long block = 0; block < blocks; block++, x += 32) {
    vf sum = vf_load(x);
    for (int i = 1; i < 32 / W; i++) sum += vf_load(x + i * W);
    sums[block] = vf_sum(sum);
  }
}

// MARK: Expansion to floats

#define EXPAND_BLOCKS(NAME, BLOCK_BYTES, UNPACK, SCALE, MINIMUM)                        \
  static void NAME(const unsigned char *p, long count, float *out) {                    \
    for (long block = 0; block < count / 32; block++, p += BLOCK_BYTES, out += 32) {    \
      vf w[32 / W];                                                                     \
      UNPACK;                                                                           \
      const float scale = SCALE, minimum = MINIMUM;                                     \
      for (int i = 0; i < 32 / W; i++) vf_store(out + i * W, w[i] * scale + minimum);   \
    }                                                                                   \
  }
EXPAND_BLOCKS(expand_q4_0, 18, unpack_nibbles(p + 2, w), one_half(p), one_half(p) * -8)
EXPAND_BLOCKS(expand_q4_1, 20, unpack_nibbles(p + 4, w), one_half(p), one_half(p + 2))
EXPAND_BLOCKS(expand_q8_0, 34, unpack_signed(p + 2, w), one_half(p), 0)

#define EXPAND_FLOATS(NAME, BYTES, LOAD, LOAD_ONE)                                    \
  static void NAME(const unsigned char *p, long count, float *out) {                  \
    long i = 0;                                                                       \
    for (; i + W <= count; i += W) vf_store(out + i, LOAD(p + i * BYTES));            \
    for (; i < count; i++) out[i] = LOAD_ONE(p + i * BYTES);                          \
  }
EXPAND_FLOATS(expand_f32, 4, load_f32, one_f32)
EXPAND_FLOATS(expand_f16, 2, vf_half, one_half)
EXPAND_FLOATS(expand_bf16, 2, vf_brain, one_brain)

// MARK: Norms

static void rms_norm(const float *x, const float *weight, float epsilon, long columns, float *out) {
  vf squares = vf_all(0);
  float rest = 0;
  long i = 0;
  for (; i + W <= columns; i += W) squares = vf_fma(vf_load(x + i), vf_load(x + i), squares);
  for (; i < columns; i++) rest += x[i] * x[i];
  const float factor = 1 / __builtin_sqrtf((vf_sum(squares) + rest) / (float)columns + epsilon);
  for (i = 0; i + W <= columns; i += W) vf_store(out + i, vf_load(x + i) * factor * vf_load(weight + i));
  for (; i < columns; i++) out[i] = x[i] * factor * weight[i];
}

static void layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, long columns, float *out) {
  vf sum = vf_all(0), squares = vf_all(0);
  float rest = 0;
  long i = 0;
  for (; i + W <= columns; i += W) sum += vf_load(x + i);
  for (; i < columns; i++) rest += x[i];
  const float mean = (vf_sum(sum) + rest) / (float)columns;
  rest = 0;
  for (i = 0; i + W <= columns; i += W) {
    const vf d = vf_load(x + i) - mean;
    squares = vf_fma(d, d, squares);
  }
  for (; i < columns; i++) rest += (x[i] - mean) * (x[i] - mean);
  const float factor = 1 / __builtin_sqrtf((vf_sum(squares) + rest) / (float)columns + epsilon);
  for (i = 0; i + W <= columns; i += W)
    vf_store(out + i, vf_fma((vf_load(x + i) - mean) * factor, vf_load(weight + i), vf_load(bias + i)));
  for (; i < columns; i++) out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

// MARK: Elementwise

static void add(float *x, const float *y, long count) {
  long i = 0;
  for (; i + W <= count; i += W) vf_store(x + i, vf_load(x + i) + vf_load(y + i));
  for (; i < count; i++) x[i] += y[i];
}

/// x Phi(x). The normal tail is e^(-z^2 / 2) t Q(t) with t = 1 / (1 + 0.3 z): a least-squares fit over z in [0, 14],
/// weighted for relative error (9e-8).
INLINE vf vf_gelu(vf x) {
  const vf z = vf_select(x < 0, -x, x);
  const vf t = 1.0f / vf_fma(z, vf_all(0.3f), vf_all(1.0f));
  vf q = vf_all(4.381977784e-03f);
  q = vf_fma(q, t, vf_all(1.586942917e-02f));
  q = vf_fma(q, t, vf_all(-1.194124328e-01f));
  q = vf_fma(q, t, vf_all(1.667138385e-01f));
  q = vf_fma(q, t, vf_all(-2.875958274e-02f));
  q = vf_fma(q, t, vf_all(1.189691440e-01f));
  q = vf_fma(q, t, vf_all(1.021152328e-01f));
  q = vf_fma(q, t, vf_all(1.204788083e-01f));
  q = vf_fma(q, t, vf_all(1.196436271e-01f));
  const vf tail = vf_exp(z * z * -0.5f) * (q * t);
  return x * vf_select(x < 0, tail, 1.0f - tail);
}
INLINE vf vf_quick_gelu(vf x) { return x / (1.0f + vf_exp(x * -1.702f)); }
INLINE vf vf_silu(vf x) { return x / (1.0f + vf_exp(-x)); }

/// Runs a vector function over what does not fill a vector: padded with zeros, so that it gets the same formula.
#define TAIL(COUNT, FUNCTION)                              \
  if (i < COUNT) {                                         \
    float last[W] = {0};                                   \
    for (long j = i; j < COUNT; j++) last[j - i] = x[j];   \
    vf_store(last, FUNCTION(vf_load(last)));               \
    for (long j = i; j < COUNT; j++) TAIL_STORE;           \
  }

static void gelu(float *x, long count) {
  long i = 0;
  for (; i + W <= count; i += W) vf_store(x + i, vf_gelu(vf_load(x + i)));
#define TAIL_STORE x[j] = last[j - i]
  TAIL(count, vf_gelu)
#undef TAIL_STORE
}

static void quick_gelu(float *x, long count) {
  long i = 0;
  for (; i + W <= count; i += W) vf_store(x + i, vf_quick_gelu(vf_load(x + i)));
#define TAIL_STORE x[j] = last[j - i]
  TAIL(count, vf_quick_gelu)
#undef TAIL_STORE
}

static void silu_multiply(float *x, const float *y, long count) {
  long i = 0;
  for (; i + W <= count; i += W) vf_store(x + i, vf_silu(vf_load(x + i)) * vf_load(y + i));
#define TAIL_STORE x[j] = last[j - i] * y[j]
  TAIL(count, vf_silu)
#undef TAIL_STORE
}

// MARK: Attention

static void softmax(float *x, long count, float scale) {
  if (count <= 0) return;
  vf highest = vf_all(-__builtin_inff());
  long i = 0;
  for (; i + W <= count; i += W) {
    const vf v = vf_load(x + i);
    highest = vf_select(v > highest, v, highest);
  }
  float top = vf_max(highest);
  for (; i < count; i++) top = x[i] > top ? x[i] : top;
  vf sum = vf_all(0);
  for (i = 0; i + W <= count; i += W) {
    const vf e = vf_exp((vf_load(x + i) - top) * scale);
    sum += e;
    vf_store(x + i, e);
  }
  float rest = 0;
#define TAIL_STORE rest += x[j] = last[j - i]
#define EXP_SCALED(v) vf_exp(((v)-top) * scale)
  TAIL(count, EXP_SCALED)
#undef EXP_SCALED
#undef TAIL_STORE
  const float factor = 1 / (vf_sum(sum) + rest);
  for (i = 0; i + W <= count; i += W) vf_store(x + i, vf_load(x + i) * factor);
  for (; i < count; i++) x[i] *= factor;
}

static void attend(const ck_head *head, long width, long k_stride, long v_stride, float scale) {
  for (long t = 0; t < head->count; t++) {
    const float *k = head->k + t * k_stride;
    vf sum = vf_all(0);
    float rest = 0;
    long i = 0;
    for (; i + W <= width; i += W) sum = vf_fma(vf_load(head->q + i), vf_load(k + i), sum);
    for (; i < width; i++) rest += head->q[i] * k[i];
    head->scores[t] = vf_sum(sum) + rest;
  }
  softmax(head->scores, head->count, scale);
  long i = 0;
  for (; i + 4 * W <= width; i += 4 * W) {
    vf out[4] = {vf_all(0), vf_all(0), vf_all(0), vf_all(0)};
    for (long t = 0; t < head->count; t++) {
      const vf p = vf_all(head->scores[t]);
      const float *v = head->v + t * v_stride + i;
      for (int j = 0; j < 4; j++) out[j] = vf_fma(p, vf_load(v + j * W), out[j]);
    }
    for (int j = 0; j < 4; j++) vf_store(head->out + i + j * W, out[j]);
  }
  for (; i + W <= width; i += W) {
    vf out = vf_all(0);
    for (long t = 0; t < head->count; t++)
      out = vf_fma(vf_all(head->scores[t]), vf_load(head->v + t * v_stride + i), out);
    vf_store(head->out + i, out);
  }
  for (; i < width; i++) {
    float out = 0;
    for (long t = 0; t < head->count; t++) out += head->scores[t] * head->v[t * v_stride + i];
    head->out[i] = out;
  }
}

// MARK: Packed weights times many vectors

/// What a tile's sums take of the registers: rows of x, and vectors of outputs beside one another.
#define TILE_ROWS 6
#if W == 16 || (W == 4 && defined(HAS_FMA))
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

/// Loops over a tile are unrolled, so that its sums are registers and no array.
#define EACH(I, COUNT) _Pragma("unroll") for (int I = 0; I < COUNT; I++)

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

// MARK: Convolution networks

INLINE void snake_part(const float *x, const float *alpha, const float *inverse, float *out, const long count) {
  const vf v = vf_load_some(x, count);
  const vf square = vf_square_sine(vf_load_some(alpha, count) * v);
  vf_store_some(out, vf_fma(square, vf_load_some(inverse, count), v), count);
}

static void snake(const float *x, const float *alpha, const float *inverse, long rows, long columns, float *out) {
  for (long r = 0; r < rows; r++, x += columns, out += columns) {
    long c = 0;
    for (; c + W <= columns; c += W) snake_part(x + c, alpha + c, inverse + c, out + c, W);
    if (c < columns) snake_part(x + c, alpha + c, inverse + c, out + c, columns - c);
  }
}

typedef struct {
  const float *weights, *bias, *alpha, *inverse;
  long columns, step;  // step: floats from one tap's row to the next's
} depthwise_job;

INLINE void depthwise_part(const depthwise_job *job, const float *x, long c, float *out, const long count) {
  vf sum = vf_load_some(job->bias + c, count);
  for (int k = 0; k < 7; k++)
    sum = vf_fma(
        vf_load_some(job->weights + k * job->columns + c, count), vf_load_some(x + k * job->step + c, count), sum);
  if (job->alpha) {
    const vf square = vf_square_sine(vf_load_some(job->alpha + c, count) * sum);
    sum = vf_fma(square, vf_load_some(job->inverse + c, count), sum);
  }
  vf_store_some(out + c, sum, count);
}

static void depthwise(
    const float *x, const float *weights, const float *bias, const float *alpha, const float *inverse, long rows,
    long columns, long dilation, float *out) {
  const depthwise_job job = {weights, bias, alpha, inverse, columns, dilation * columns};
  for (long r = 0; r < rows; r++, x += columns, out += columns) {
    long c = 0;
    for (; c + W <= columns; c += W) depthwise_part(&job, x, c, out, W);
    if (c < columns) depthwise_part(&job, x, c, out, columns - c);
  }
}

static void scale_rows(const float *x, const float *factors, long rows, long columns, float *out) {
  for (long r = 0; r < rows; r++, x += columns, out += columns) {
    const vf factor = vf_all(factors[r]);
    for (long c = 0; c < columns; c += W) vf_store_some(out + c, vf_load_some(x + c, columns - c) * factor, columns - c);
  }
}

INLINE vf vf_tanh(vf x) { return 1.0f - 2.0f / (1.0f + vf_exp(x + x)); }

static void tanh_all(float *x, long count) {
  long i = 0;
  for (; i + W <= count; i += W) vf_store(x + i, vf_tanh(vf_load(x + i)));
#define TAIL_STORE x[j] = last[j - i]
  TAIL(count, vf_tanh)
#undef TAIL_STORE
}

const ck_operations OPERATIONS = {
    .rows = {rows_f32, rows_f16, rows_bf16, rows_q4_0, rows_q4_1, rows_q8_0},
    .dequantize = {expand_f32, expand_f16, expand_bf16, expand_q4_0, expand_q4_1, expand_q8_0},
    .block_sums = block_sums,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .gelu = gelu,
    .quick_gelu = quick_gelu,
    .silu_multiply = silu_multiply,
    .softmax = softmax,
    .attend = attend,
    .multiply = multiply,
    .snake = snake,
    .depthwise = depthwise,
    .scale_rows = scale_rows,
    .tanh = tanh_all,
};
