// Weights as stored times a few vectors.

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
