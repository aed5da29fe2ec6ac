#include "main.h"
#include "checks.h"

#include <math.h>

// Softmax of the first entries of each row.

static void check(long rows, long columns, long gap, float scale, float range, long first_valid, long step) {
  checking(
      "softmax [%ld, %ld], stride +%ld, scale %g, values to %g, valid %ld + %ld a row", rows, columns, gap,
      (double)scale, (double)range, first_valid, step);
  const long stride = columns + gap, count = span(rows, columns, stride);
  float *x = floats(count);
  fill_real(x, count, -range, range);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) expected[i] = x[i];
  for (long r = 0; r < rows; r++) {
    const long reach = first_valid + r * step, valid = reach < columns ? reach : columns;
    const float *row = x + r * stride;
    double top = -INFINITY, sum = 0;
    for (long i = 0; i < valid; i++) top = fmax(top, (double)row[i]);
    for (long i = 0; i < valid; i++) sum += exp((row[i] - top) * (double)scale);
    for (long i = 0; i < columns; i++) {
      const double away = (row[i] - top) * (double)scale;
      expected[r * stride + i] = i < valid ? exp(away) / sum : 0;
      // The exponent is off by a rounding of itself; what e cannot go below is left of the least.
      bound[r * stride + i] =
          i < valid ? expected[r * stride + i] * (fabs(away) * 2 + 2 * sqrt((double)valid) + 8) * ROUNDING + 2e-38 : 0;
    }
  }
  TWICE(x, count, ck_softmax(x, rows, columns, stride, scale, first_valid, step));
  expect_near(x, expected, bound, count);
  release();
}

void test_softmax(void) {
  for (long columns = 1; columns < 70; columns++) {
    check(1, columns, 0, 1, 5, columns, 0);
    check(3, columns, 2, 0.125f, 60, 1, 1);             // causal
    check(2, columns, 0, 1, 1000, columns + 5, 0);      // only the greatest is left
    check(2, columns, 1, 1, 0, columns / 2, 1);         // all equal; the first row may have none
    check(1, columns, 0, 1e-30f, 3e37f, columns, 0);
  }
  check(200, 200, 0, 0.125f, 20, 1, 1);  // on several threads
  check(3, 1500, 4, 0.125f, 20, 1500, 0);
}
