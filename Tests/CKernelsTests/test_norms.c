#include "main.h"
#include "checks.h"

#include <math.h>

// Norms, row by row.

/// Random rows about `centre`, and what they become: [rows, columns].
static void check(long rows, long columns, float centre, float spread, bool centred) {
  checking(
      "%s norm [%ld, %ld], values %g +- %g", centred ? "layer" : "rms", rows, columns, (double)centre, (double)spread);
  const long count = rows * columns;
  const float epsilon = 1e-5f;
  float *x = floats(count), *weight = floats(columns), *bias = floats(columns), *out = floats(count);
  fill_real(x, count, centre - spread, centre + spread);
  fill_real(weight, columns, -2, 2);
  fill_real(bias, columns, -1, 1);
  double *expected = doubles(count), *bound = doubles(count);
  for (long r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    double mean = 0, squares = 0, greatest = 0;
    for (long i = 0; i < columns; i++) {
      mean += row[i] / (double)columns;
      greatest = fmax(greatest, fabs((double)row[i]));
    }
    if (!centred) mean = 0;
    for (long i = 0; i < columns; i++) squares += (row[i] - mean) * (row[i] - mean);
    const double factor = 1 / sqrt(squares / (double)columns + (double)epsilon);
    for (long i = 0; i < columns; i++) {
      const double part = (row[i] - mean) * factor;
      expected[r * columns + i] = part * weight[i] + (centred ? bias[i] : 0);
      // The mean is off by some roundings of the greatest value; the rest, by some of its own.
      const double shift = centred ? 8 * greatest * ROUNDING * factor : 0;
      bound[r * columns + i] = (shift + 16 * fabs(part) * ROUNDING) * fabs((double)weight[i]) + 4 * ROUNDING;
    }
  }
  if (centred) TWICE(out, count, ck_layer_norm(x, weight, bias, epsilon, rows, columns, out));
  else TWICE(out, count, ck_rms_norm(x, weight, epsilon, rows, columns, out));
  expect_near(out, expected, bound, count);
  release();
}

void test_norms(void) {
  static const long widths[] = {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 64, 100, 384, 897};
  for (int centred = 0; centred < 2; centred++) {
    for (long i = 0; i < COUNT_OF(widths); i++)
      for (long rows = 1; rows < 9; rows += 3) {
        check(rows, widths[i], 0, 1, centred);
        check(rows, widths[i], 3, 0.5f, centred);
        check(rows, widths[i], 0, 1e15f, centred);   // squares near 1e30
        check(rows, widths[i], 0, 1e-20f, centred);  // squares that vanish: epsilon keeps them finite
        check(rows, widths[i], 0, 0, centred);
      }
    check(150, 500, 0, 1, centred);  // on several threads
  }
}
