#include "main.h"
#include "weights.h"

#include <math.h>

// Weights, as files store them, times a few vectors.

typedef struct {
  int type;
  long rows, columns, batch;
  long x_gap, y_gap;  // between one vector and the next
  bool biased, exact;
} matvec_case;

static void check(matvec_case c) {
  checking(
      "matvec %s, [%ld, %ld] times %ld, strides +%ld and +%ld%s%s", type_name(c.type), c.rows, c.columns, c.batch,
      c.x_gap, c.y_gap, c.biased ? ", bias" : "", c.exact ? ", whole numbers" : "");
  const long x_stride = c.columns + c.x_gap, y_stride = c.rows + c.y_gap, size = span(c.batch, c.rows, y_stride);
  const weights w = random_weights(c.type, c.rows * c.columns, c.exact);
  float *x = rows_of_floats(c.batch, c.columns, x_stride), *y = floats(size);
  float *bias = c.biased ? floats(c.rows) : 0;
  for (long b = 0; b < c.batch; b++) {
    if (c.exact) fill_whole(x + b * x_stride, c.columns, 8);
    else fill_real(x + b * x_stride, c.columns, -1, 1);
  }
  if (bias && c.exact) fill_whole(bias, c.rows, 8);
  else if (bias) fill_real(bias, c.rows, -1, 1);
  for (long i = 0; i < size; i++) y[i] = 77;
  TWICE(
      y, size, ck_matvec(c.type, w.bytes, c.rows, c.columns, x, x_stride, c.batch, bias, y, y_stride));

  double *expected = doubles(size), *bound = doubles(size);
  for (long i = 0; i < size; i++) expected[i] = 77;
  for (long b = 0; b < c.batch; b++)
    for (long r = 0; r < c.rows; r++) {
      double sum = bias ? bias[r] : 0, magnitude = fabs(sum);
      const double *row = w.values + r * c.columns;
      for (long i = 0; i < c.columns; i++) {
        const double term = row[i] * (double)x[b * x_stride + i];
        sum += term, magnitude += fabs(term);
      }
      // Quantized weights with an offset cancel: q and its minimum are each up to 16 times what they add up to.
      if (c.type >= CK_Q4_0) magnitude += (double)c.columns * 2;
      expected[b * y_stride + r] = sum;
      bound[b * y_stride + r] = c.exact ? 0 : magnitude * ROUNDING * 2 * sqrt((double)c.columns + 4);
    }
  expect_near(y, expected, bound, size);
  release();
}

void test_matvec(void) {
  static const long widths[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 96, 100, 160, 257, 896};
  static const long heights[] = {1, 2, 3, 5, 8, 17, 33};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17};
  for (int type = CK_F32; type <= CK_Q8_0; type++)
    for (long i = 0; i < COUNT_OF(widths); i++) {
      if (widths[i] % block_of(type) != 0) continue;
      for (long j = 0; j < COUNT_OF(batches); j++)
        for (int exact = 0; exact < 2; exact++)
          check((matvec_case){
              type, heights[random_below(COUNT_OF(heights))], widths[i], batches[j], random_below(2) * 3,
              random_below(2) * 5, random_below(2), exact});
    }
  // Large enough for several threads; more sums of blocks than fit for eight vectors, and the most there may be.
  for (int type = CK_F32; type <= CK_Q8_0; type++) {
    check((matvec_case){type, 301, 320, 2, 0, 0, true, true});
    check((matvec_case){type, 3, 20000, 9, 0, 0, true, false});
    check((matvec_case){type, 2, 131072, 3, 1, 1, false, false});
  }
}
