#include "main.h"
#include "weights.h"

#include <math.h>
#include <string.h>

// Weights to floats.

/// All 65536 numbers of 16 bits; NaNs stay NaNs.
static void test_all(int type, double (*value)(uint16_t)) {
  enum { count = 65536 };
  checking("dequantize %s, all numbers", type_name(type));
  uint16_t *bits = guarded(count * sizeof *bits);
  for (long i = 0; i < count; i++) bits[i] = (uint16_t)i;
  float *out = floats(count);
  double *expected = doubles(count), *bound = doubles(count);
  TWICE(out, count, ck_dequantize(type, bits, count, out));
  for (long i = 0; i < count; i++) {
    expected[i] = value((uint16_t)i);
    if (!isnan(expected[i])) continue;
    if (!isnan(out[i])) fail("%04lx is %.9g, not NaN", i, (double)out[i]);
    expected[i] = out[i] = 0;
  }
  expect_near(out, expected, bound, count);
  release();
}

void test_dequantize(void) {
  test_all(CK_F16, half_value);
  test_all(CK_BF16, brain_value);
  static const long counts[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 100, 256, 257, 1000, 70001};
  for (int type = CK_F32; type <= CK_Q8_0; type++)
    for (long i = 0; i < COUNT_OF(counts); i++) {
      const long count = counts[i] * (block_of(type) > 1 && counts[i] > 1000 ? 1 : block_of(type)) / block_of(type) *
                         block_of(type);
      checking("dequantize %s, %ld numbers", type_name(type), count);
      const weights w = random_weights(type, count, i & 1);
      float *out = floats(count);
      double *bound = doubles(count);
      TWICE(out, count, ck_dequantize(type, w.bytes, count, out));
      // A product and a sum of halves and small whole numbers: rounded twice at most.
      for (long j = 0; j < count && type >= CK_Q4_0; j++) bound[j] = (fabs(w.values[j]) + 64) * ROUNDING * 2;
      if (i & 1) memset(bound, 0, (size_t)count * sizeof *bound);
      expect_near(out, w.values, bound, count);
      release();
    }
}
