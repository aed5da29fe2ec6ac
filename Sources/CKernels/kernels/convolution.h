// What convolution networks need.

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
