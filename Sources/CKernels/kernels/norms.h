// Norms, row by row.

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
