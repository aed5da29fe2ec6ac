#include "main.h"
#include "weights.h"

#include <math.h>
#include <string.h>

// Floats to weights.

/// The bits are those of the number nearest to x, even ones where two are. Beyond the greatest number, the infinity
/// counts as the number that would come next.
static bool is_nearest(float x, uint16_t bits, double (*value)(uint16_t), uint16_t infinity, double next) {
  if (isnan(x)) return isnan(value(bits));
  const uint16_t sign = signbit(x) ? 0x8000 : 0, magnitude = bits & 0x7fff;
  if ((bits & 0x8000) != sign || magnitude > infinity) return false;
  if (isinf(x)) return magnitude == infinity;
  const double target = fabs((double)x), found = magnitude == infinity ? next : value(magnitude);
  const double error = fabs(target - found);
  if (magnitude > 0) {
    const double below = fabs(target - value(magnitude - 1));
    if (below < error || (below == error && magnitude & 1)) return false;
  }
  if (magnitude < infinity) {
    const double above = fabs(target - (magnitude + 1 == infinity ? next : value(magnitude + 1)));
    if (above < error || (above == error && magnitude & 1)) return false;
  }
  return true;
}

static void test_nearest(int type, double (*value)(uint16_t), uint16_t infinity, double next) {
  enum { most = 70000 };
  static float x[most];
  long count = 0;
  // Every finite number, the middle to the next, and the floats beside both.
  for (uint32_t magnitude = 0; magnitude < infinity; magnitude += type == CK_F16 ? 7 : 9) {
    const double low = value((uint16_t)magnitude);
    const double high = magnitude + 1 == infinity ? next : value((uint16_t)(magnitude + 1));
    const float middle = (float)((low + high) / 2);
    const float sign = magnitude & 2 ? -1 : 1;
    x[count++] = sign * (float)low;
    x[count++] = sign * middle;
    x[count++] = sign * nextafterf(middle, 0);
    x[count++] = sign * nextafterf(middle, INFINITY);
  }
  const float others[] = {0.0f, -0.0f, 1e-45f, -1e-45f, 65519.99f, 65520, 3.4e38f, -3.4e38f, INFINITY, -INFINITY, NAN};
  for (long i = 0; i < COUNT_OF(others); i++) x[count++] = others[i];
  while (count < most - 5000) {
    const uint32_t bits = random_bits();
    memcpy(&x[count++], &bits, sizeof bits);
  }
  float *input = floats(count);
  memcpy(input, x, (size_t)count * sizeof *x);
  unsigned char *out = guarded((size_t)count * 2);
  long wrong = 0, first = 0;
  ck_set_threads(2);
  ck_quantize(type, input, count, out);
  for (long i = count - 1; i >= 0; i--) {
    uint16_t bits;
    memcpy(&bits, out + i * 2, sizeof bits);
    if (!is_nearest(x[i], bits, value, infinity, next)) wrong++, first = i;
  }
  checks++;
  checking("quantize %s, %ld numbers", type_name(type), count);
  if (wrong > 0) {
    uint16_t bits;
    memcpy(&bits, out + first * 2, sizeof bits);
    fail("%ld are not the nearest, the first %.9g -> %.9g (%04x)", wrong, (double)x[first], value(bits), bits);
  }
  release();
}

/// What a block of Q8_0 gives back is within half a step, and what rounding the scale to a half changes.
static void test_blocks(void) {
  static const float magnitudes[] = {0, 1e-42f, 1e-30f, 1e-6f, 0.01f, 1, 1000, 6e6f};
  for (long size = 0; size < COUNT_OF(magnitudes); size++)
    for (long blocks = 1; blocks < 200; blocks = blocks * 3 + 2) {
      const long count = blocks * 32;
      checking("quantize q8_0, %ld numbers of up to %g", count, (double)magnitudes[size]);
      float *x = floats(count), *back = floats(count);
      fill_real(x, count, -magnitudes[size], magnitudes[size]);
      unsigned char *out = guarded((size_t)blocks * 34);
      ck_set_threads(2);
      ck_quantize(CK_Q8_0, x, count, out);
      double *expected = doubles(count), *bound = doubles(count);
      for (long i = 0; i < count; i++) {
        double most = 0;
        for (long j = i / 32 * 32; j < i / 32 * 32 + 32; j++) most = fmax(most, fabs((double)x[j]));
        uint16_t scale;
        memcpy(&scale, out + i / 32 * 34, sizeof scale);
        back[i] = (float)((signed char)out[i / 32 * 34 + 2 + i % 32] * half_value(scale));
        expected[i] = x[i];
        bound[i] = most / 127 * 0.5001 + most * 0x1p-11 + 127 * 0x1p-25;
      }
      expect_near(back, expected, bound, count);
      release();
    }
}

/// Blocks beside one that is no weights at all are as they would be without it.
static void test_hostile(void) {
  static const float numbers[] = {NAN, INFINITY, -INFINITY, 3e38f};
  for (long i = 0; i < COUNT_OF(numbers); i++) {
    checking("quantize q8_0, %g", (double)numbers[i]);
    float *x = floats(96);
    fill_real(x, 96, -1, 1);
    unsigned char *clean = guarded(3 * 34), *out = guarded(3 * 34);
    ck_quantize(CK_Q8_0, x, 96, clean);
    for (long j = 32; j < 64; j += 3) x[j] = numbers[i];
    ck_quantize(CK_Q8_0, x, 96, out);
    checks++;
    expect(memcmp(out, clean, 34) == 0 && memcmp(out + 68, clean + 68, 34) == 0, "other blocks are unchanged");
    release();
  }
}

void test_quantize(void) {
  test_nearest(CK_F16, half_value, 0x7c00, 65536);
  test_nearest(CK_BF16, brain_value, 0x7f80, 0x1p128);
  test_blocks();
  test_hostile();
  // Floats are kept, bit by bit.
  for (long count = 1; count < 5000; count = count * 2 + 1) {
    checking("quantize f32, %ld numbers", count);
    float *x = floats(count), *out = floats(count);
    fill_real(x, count, -1e9f, 1e9f);
    ck_quantize(CK_F32, x, count, out);
    expect_same(out, x, count, "as they were");
    release();
  }
}
