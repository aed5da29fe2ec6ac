#include "main.h"
#include "checks.h"

#include <math.h>

// What the codec's convolution networks need beside products.

/// sin^2 of the product as the kernel forms it, in floats.
static double square_sine(float alpha, double x) {
  const double s = sin((double)(float)((double)alpha * x));
  return s * s;
}

/// Values to `range`, alphas to `steepest`.
static void test_snake(long rows, long columns, float range, float steepest) {
  checking("snake [%ld, %ld], values to %g, alphas to %g", rows, columns, (double)range, (double)steepest);
  const long count = rows * columns;
  float *x = floats(count), *alpha = floats(columns), *inverse = floats(columns), *out = floats(count);
  fill_real(x, count, -range, range);
  fill_real(alpha, columns, 0.1f, steepest);
  fill_real(inverse, columns, -2, 2);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) {
    const float a = alpha[i % columns], b = inverse[i % columns];
    expected[i] = x[i] + square_sine(a, (double)x[i]) * (double)b;
    bound[i] = 3e-7 * fabs((double)b) + 2 * fabs(expected[i]) * ROUNDING;
  }
  TWICE(out, count, ck_snake(x, alpha, inverse, rows, columns, out));
  expect_near(out, expected, bound, count);
  release();
}

/// Far away, the square of the sine is still one from 0 to 1.
static void test_far_snake(void) {
  static const float far[] = {2e6f, -1e8f, 1e12f, -1e20f, 1e30f, -1e38f};
  for (long i = 0; i < COUNT_OF(far); i++) {
    checking("snake of %g", (double)far[i]);
    const long columns = 19;
    float *x = floats(columns), *alpha = floats(columns), *inverse = floats(columns), *out = floats(columns);
    for (long c = 0; c < columns; c++) x[c] = far[i], alpha[c] = 1, inverse[c] = fabsf(far[i]);
    ck_snake(x, alpha, inverse, 1, columns, out);
    for (long c = 0; c < columns; c++) {
      const float part = out[c] / fabsf(far[i]) - (far[i] < 0 ? -1 : 1);
      if (!(part >= -1e-6f && part <= 1 + 1e-6f)) fail("the square of the sine is %g", (double)part);
    }
    checks++;
    release();
  }
}

static void test_depthwise(long rows, long columns, long dilation, bool snaked, bool exact) {
  checking(
      "depthwise [%ld, %ld], dilation %ld%s%s", rows, columns, dilation, snaked ? ", snake" : "",
      exact ? ", whole numbers" : "");
  const long count = rows * columns, inputs = (rows + 6 * dilation) * columns;
  float *x = floats(inputs), *w = floats(7 * columns), *bias = floats(columns), *out = floats(count);
  float *alpha = snaked ? floats(columns) : 0, *inverse = snaked ? floats(columns) : 0;
  if (exact) fill_whole(x, inputs, 8), fill_whole(w, 7 * columns, 8), fill_whole(bias, columns, 8);
  else fill_real(x, inputs, -1, 1), fill_real(w, 7 * columns, -1, 1), fill_real(bias, columns, -1, 1);
  for (long i = 0; i < columns && snaked; i++) inverse[i] = 1 / (alpha[i] = random_real(0.1f, 3));
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) {
    const long c = i % columns;
    double sum = bias[c], magnitude = fabs(sum);
    for (long k = 0; k < 7; k++) {
      const double term = (double)w[k * columns + c] * (double)x[i + k * dilation * columns];
      sum += term, magnitude += fabs(term);
    }
    const double off = exact ? 0 : 8 * magnitude * ROUNDING;
    expected[i] = sum, bound[i] = off;
    if (!snaked) continue;
    // sin^2(alpha x) / alpha is no steeper than 1.
    expected[i] += square_sine(alpha[c], sum) * (double)inverse[c];
    bound[i] = 2 * off + 4e-7 * (double)inverse[c] + 4 * fabs(expected[i]) * ROUNDING + 2 * magnitude * ROUNDING;
  }
  TWICE(out, count, ck_depthwise(x, w, bias, alpha, inverse, rows, columns, dilation, out));
  expect_near(out, expected, bound, count);
  release();
}

static void test_scale_rows(long rows, long columns) {
  checking("scale_rows [%ld, %ld]", rows, columns);
  const long count = rows * columns;
  float *x = floats(count), *factors = floats(rows), *out = floats(count);
  fill_real(x, count, -1, 1);
  fill_real(factors, rows, -4, 4);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) expected[i] = x[i] * factors[i / columns];
  TWICE(out, count, ck_scale_rows(x, factors, rows, columns, out));
  expect_near(out, expected, bound, count);
  release();
}

void test_convolution(void) {
  for (long columns = 1; columns < 36; columns++) {
    test_snake(1 + columns % 3, columns, 3, 3);
    test_snake(2, columns, 1000, 3);
    test_scale_rows(1 + columns % 4, columns);
    for (long dilation = 1; dilation <= 9; dilation *= 3)
      for (int way = 0; way < 4; way++) test_depthwise(1 + columns % 5, columns, dilation, way & 1, way & 2);
  }
  test_far_snake();
  for (float steepest = 1; steepest <= 1e4f; steepest *= 10) test_snake(3, 5000, 1, steepest);
  test_snake(3000, 33, 10, 3);
  test_scale_rows(3000, 33);
  test_depthwise(1500, 33, 9, true, false);
}
