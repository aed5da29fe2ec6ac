// Softmax, and attention of single queries.

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
