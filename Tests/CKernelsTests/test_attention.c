#include "main.h"
#include "checks.h"

#include <math.h>

// Attention of one query per head.

static void check(long heads, long width, long most, long k_gap, long v_gap, float range) {
  checking(
      "attend, %ld heads of %ld, up to %ld positions, strides +%ld and +%ld, queries to %g", heads, width, most, k_gap,
      v_gap, (double)range);
  const long k_stride = width + k_gap, v_stride = width + v_gap;
  const float scale = 1 / sqrtf((float)width);
  float *q = floats(heads * width), *out = floats(heads * width);
  double *expected = doubles(heads * width), *bound = doubles(heads * width), *p = doubles(most);
  fill_real(q, heads * width, -range, range);
  ck_head *job = guarded((size_t)heads * sizeof *job);
  for (long h = 0; h < heads; h++) {
    // Heads with as many positions as they like; the first has all.
    const long count = h == 0 ? most : random_below(most + 1);
    float *k = rows_of_floats(count, width, k_stride), *v = rows_of_floats(count, width, v_stride);
    fill_real(k, span(count, width, k_stride), -1, 1);
    fill_real(v, span(count, width, v_stride), -1, 1);
    job[h] = (ck_head){q + h * width, k, v, out + h * width, floats(count), count};
    double top = -INFINITY, sum = 0, shift = 0;
    for (long t = 0; t < count; t++) {
      double dot = 0, magnitude = 0;
      for (long i = 0; i < width; i++) {
        const double term = (double)job[h].q[i] * (double)k[t * k_stride + i];
        dot += term, magnitude += fabs(term);
      }
      p[t] = dot * (double)scale;
      shift = fmax(shift, magnitude * (double)scale);
      top = fmax(top, p[t]);
    }
    for (long t = 0; t < count; t++) sum += p[t] = exp(p[t] - top);
    for (long i = 0; i < width; i++) {
      double value = 0, magnitude = 0;
      for (long t = 0; t < count; t++) {
        const double term = p[t] / sum * (double)v[t * v_stride + i];
        value += term, magnitude += fabs(term);
      }
      expected[h * width + i] = value;
      // Scores off by some roundings change every probability by as much, relatively.
      bound[h * width + i] =
          magnitude * ROUNDING * (2 * shift * sqrt((double)width + 4) + 4 * sqrt((double)count) + 16) + 1e-36;
    }
  }
  TWICE(out, heads * width, ck_attend(job, heads, width, k_stride, v_stride, scale));
  expect_near(out, expected, bound, heads * width);
  release();
}

void test_attention(void) {
  static const long widths[] = {1, 3, 4, 8, 12, 16, 17, 31, 32, 48, 64, 65, 80, 96, 128};
  static const long counts[] = {0, 1, 2, 3, 7, 16, 17, 33, 100};
  for (long i = 0; i < COUNT_OF(widths); i++)
    for (long j = 0; j < COUNT_OF(counts); j++)
      check(1 + random_below(4), widths[i], counts[j], random_below(2) * 3, random_below(2) * 64, j & 1 ? 4 : 1);
  check(14, 64, 400, 64, 64, 4);  // on several threads
  check(2, 64, 50, 0, 0, 1000);   // scores far from one another
}
