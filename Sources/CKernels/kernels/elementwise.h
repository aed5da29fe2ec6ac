// Elementwise operations.

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
