#include "main.h"
#include "checks.h"

#include <math.h>
#include <string.h>

// Functions of single numbers.

static double gelu(double x) { return x * 0.5 * erfc(-x * sqrt(0.5)); }
static double quick_gelu(double x) { return x / (1 + exp(-1.702 * x)); }
static double silu(double x) { return x / (1 + exp(-x)); }

/// What may be off: `relative` of the result, of the argument where it is positive, and `absolute`.
typedef struct {
  const char *name;
  void (*kernel)(float *x, long count);
  double (*reference)(double x);
  double of_argument, of_result, absolute;
} function;

static void silu_times_one(float *x, long count) {
  float *ones = floats(count);
  for (long i = 0; i < count; i++) ones[i] = 1;
  ck_silu_multiply(x, ones, count);
}

static const function functions[] = {
    // e^-z^2/2 multiplies the error of its argument by it.
    {"gelu", ck_gelu, gelu, 4e-7, 8e-6, 1e-36},
    {"quick_gelu", ck_quick_gelu, quick_gelu, 4e-7, 8e-6, 1e-33},
    {"silu", silu_times_one, silu, 4e-7, 8e-6, 1e-33},
    {"tanh", ck_tanh, tanh, 0, 0, 2e-7},
};

static void check(const function *f, float *x, long count) {
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) {
    expected[i] = f->reference((double)x[i]);
    bound[i] = (x[i] > 0 ? f->of_argument * (double)x[i] : f->of_result * fabs(expected[i])) + f->absolute;
    bound[i] += fabs((double)x[i]) * 1e-38;  // what is left of it once e to the x is capped
  }
  TWICE(x, count, f->kernel(x, count));
  expect_near(x, expected, bound, count);
  release();
}

static void test_function(const function *f) {
  for (long count = 0; count < 40; count++) {
    checking("%s of %ld numbers", f->name, count);
    float *x = floats(count);
    fill_real(x, count, -6, 6);
    check(f, x, count);
  }
  static const float ranges[] = {1e-30f, 1e-3f, 1, 10, 90, 1000};
  for (long i = 0; i < COUNT_OF(ranges); i++) {
    const long count = 20011;
    checking("%s of %ld numbers up to %g", f->name, count, (double)ranges[i]);
    float *x = floats(count);
    fill_real(x, count, -ranges[i], ranges[i]);
    check(f, x, count);
  }
  static const float special[] = {0.0f, -0.0f, 1e-45f, 1e-38f, -1e-38f, 14.5f, -14.5f, 87.3f, -87.3f, 88.8f, -88.8f,
                                  1e4f, -1e4f, 1e18f, -1e18f, 1e30f, -1e30f, 3e38f};
  checking("%s of extreme numbers", f->name);
  float *x = floats(COUNT_OF(special));
  memcpy(x, special, sizeof special);
  check(f, x, COUNT_OF(special));
}

static void test_silu_multiply(long count) {
  checking("silu_multiply of %ld numbers", count);
  float *x = floats(count), *y = floats(count);
  fill_real(x, count, -10, 10);
  fill_real(y, count, -2, 2);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) {
    expected[i] = silu((double)x[i]) * (double)y[i];
    bound[i] = 8e-7 * fabs(expected[i]);
  }
  TWICE(x, count, ck_silu_multiply(x, y, count));
  expect_near(x, expected, bound, count);
  release();
}

static void test_add(long count) {
  checking("add of %ld numbers", count);
  float *x = floats(count), *y = floats(count);
  fill_real(x, count, -1, 1);
  fill_real(y, count, -1, 1);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) expected[i] = x[i] + y[i];
  TWICE(x, count, ck_add(x, y, count));
  expect_near(x, expected, bound, count);
  release();
}

static void test_add_bias(long rows, long columns, long gap, bool biased) {
  checking("add_bias [%ld, %ld], stride +%ld%s", rows, columns, gap, biased ? "" : ", no bias");
  const long stride = columns + gap, count = span(rows, columns, stride);
  float *x = floats(count), *bias = biased ? floats(columns) : 0;
  fill_real(x, count, -1, 1);
  if (bias) fill_real(bias, columns, -1, 1);
  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) expected[i] = x[i] + (bias && i % stride < columns ? bias[i % stride] : 0);
  TWICE(x, count, ck_add_bias(x, bias, rows, columns, stride));
  expect_near(x, expected, bound, count);
  release();
}

void test_elementwise(void) {
  for (long i = 0; i < COUNT_OF(functions); i++) test_function(&functions[i]);
  static const long counts[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 63, 64, 65, 1000, 50001};
  for (long i = 0; i < COUNT_OF(counts); i++) test_silu_multiply(counts[i]), test_add(counts[i]);
  for (long rows = 1; rows < 8; rows += 3)
    for (long columns = 1; columns < 40; columns += 3) test_add_bias(rows, columns, rows % 3 * 2, columns % 5);
  test_add_bias(300, 301, 7, true);
}
