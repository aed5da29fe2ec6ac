#include "main.h"
#include "checks.h"

#include <math.h>
#include <string.h>

// Packed weights times many vectors.

typedef struct {
  long outputs, columns, batch;
  long x_stride, y_gap;
  bool biased, adding, exact;
} multiply_case;

static void check(multiply_case c) {
  checking(
      "multiply [%ld, %ld] times %ld, strides %ld and +%ld%s%s%s", c.outputs, c.columns, c.batch, c.x_stride, c.y_gap,
      c.biased ? ", bias" : "", c.adding ? ", adding" : "", c.exact ? ", whole numbers" : "");
  const long panels = (c.outputs + CK_PANEL - 1) / CK_PANEL, padded = panels * CK_PANEL;
  const long y_stride = c.outputs + c.y_gap, size = span(c.batch, c.outputs, y_stride);
  const long x_size = span(c.batch, c.columns, c.x_stride);
  float *w = floats(padded * c.columns), *x = floats(x_size), *y = floats(size), *bias = c.biased ? floats(padded) : 0;
  memset(w, 0, (size_t)(padded * c.columns) * sizeof *w);
  for (long r = 0; r < c.outputs; r++)
    for (long i = 0; i < c.columns; i++)
      w[(r / CK_PANEL * c.columns + i) * CK_PANEL + r % CK_PANEL] = c.exact ? random_whole(8) : random_real(-1, 1);
  if (c.exact) fill_whole(x, x_size, 8), fill_whole(y, size, 8);
  else fill_real(x, x_size, -1, 1), fill_real(y, size, -1, 1);
  if (bias && c.exact) fill_whole(bias, padded, 8);
  else if (bias) fill_real(bias, padded, -1, 1);

  double *expected = doubles(size), *bound = doubles(size);
  for (long i = 0; i < size; i++) expected[i] = y[i];
  for (long b = 0; b < c.batch; b++)
    for (long r = 0; r < c.outputs; r++) {
      const long at = b * y_stride + r;
      const double offset = bias ? bias[r] : 0, there = c.adding ? y[at] : 0;
      double sum = offset + there, magnitude = fabs(offset) + fabs(there);
      for (long i = 0; i < c.columns; i++) {
        const double term =
            (double)w[(r / CK_PANEL * c.columns + i) * CK_PANEL + r % CK_PANEL] * (double)x[b * c.x_stride + i];
        sum += term, magnitude += fabs(term);
      }
      expected[at] = sum;
      bound[at] = c.exact ? 0 : magnitude * ROUNDING * 2 * sqrt((double)c.columns + 4);
    }
  float *before = copy_of(y, size);
  TWICE(
      y, size, ck_multiply(w, c.outputs, c.columns, x, c.x_stride, c.batch, bias, c.adding, y, y_stride));
  expect_near(y, expected, bound, size);

  // One vector at a time gives the same bits.
  for (long b = 0; b < c.batch; b++)
    ck_multiply(
        w, c.outputs, c.columns, x + b * c.x_stride, c.x_stride, 1, bias, c.adding, before + b * y_stride, y_stride);
  expect_same(before, y, size, "one vector at a time against all at once");
  release();
}

void test_multiply(void) {
  static const long heights[] = {1, 3, 15, 16, 17, 31, 48, 63, 64, 65, 100, 130};
  static const long widths[] = {1, 2, 5, 16, 33, 96};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 95, 96, 97};
  for (long i = 0; i < COUNT_OF(heights); i++)
    for (long j = 0; j < COUNT_OF(batches); j++)
      for (int exact = 0; exact < 2; exact++) {
        const long columns = widths[random_below(COUNT_OF(widths))];
        // Rows of x may overlap, as a convolution's do.
        const long strides[] = {columns, columns + 3, (columns + 1) / 2};
        check((multiply_case){
            heights[i], columns, batches[j], strides[random_below(3)], random_below(2) * 5, random_below(2),
            random_below(2), exact});
      }
  check((multiply_case){200, 300, 210, 300, 0, true, false, true});
  check((multiply_case){70, 2000, 7, 2000, 0, false, false, false});
  check((multiply_case){64, 16, 0, 16, 0, true, false, true});
}
