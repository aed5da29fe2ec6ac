// Weights to floats.

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
