#include "main.h"
#include "weights.h"

#include <math.h>
#include <string.h>

// Packed weights times many vectors, and weights as stored times many.

/// Weights that lie packed, rather than as a type stores them.
enum { PACKED = -1 };

typedef struct {
  int type;
  long outputs, columns, batch;
  long x_stride, y_gap;
  bool biased, adding, exact;
} multiply_case;

/// Rows of weights in panels; zeros where there are no rows.
static float *packed(const double *w, long outputs, long columns) {
  const long padded = (outputs + CK_PANEL - 1) / CK_PANEL * CK_PANEL;
  float *panels = floats(padded * columns);
  memset(panels, 0, (size_t)(padded * columns) * sizeof *panels);
  for (long r = 0; r < outputs; r++)
    for (long i = 0; i < columns; i++)
      panels[(r / CK_PANEL * columns + i) * CK_PANEL + r % CK_PANEL] = (float)w[r * columns + i];
  return panels;
}

static void multiply(
    const multiply_case *c, const void *w, const float *x, long batch, const float *bias, float *y, long y_stride) {
  if (c->type == PACKED)
    ck_multiply(w, c->outputs, c->columns, x, c->x_stride, batch, bias, c->adding, y, y_stride);
  else
    ck_multiply_stored(
        c->type, w, c->outputs, c->columns, x, c->x_stride, batch, bias, c->adding, y, y_stride);
}

static void check(multiply_case c) {
  checking(
      "multiply %s, [%ld, %ld] times %ld, strides %ld and +%ld%s%s%s", c.type == PACKED ? "packed" : type_name(c.type),
      c.outputs, c.columns, c.batch, c.x_stride, c.y_gap, c.biased ? ", bias" : "", c.adding ? ", adding" : "",
      c.exact ? ", whole numbers" : "");
  const long y_stride = c.outputs + c.y_gap, size = span(c.batch, c.outputs, y_stride);
  const long x_size = span(c.batch, c.columns, c.x_stride);
  // Packed weights come with as many offsets as their panels have rows.
  const long offsets = c.type == PACKED ? (c.outputs + CK_PANEL - 1) / CK_PANEL * CK_PANEL : c.outputs;
  const weights w = random_weights(c.type == PACKED ? CK_F32 : c.type, c.outputs * c.columns, c.exact);
  const void *given = c.type == PACKED ? (const void *)packed(w.values, c.outputs, c.columns) : w.bytes;
  float *x = floats(x_size), *y = floats(size), *bias = c.biased ? floats(offsets) : 0;
  if (c.exact) fill_whole(x, x_size, 8), fill_whole(y, size, 8);
  else fill_real(x, x_size, -1, 1), fill_real(y, size, -1, 1);
  if (bias && c.exact) fill_whole(bias, offsets, 8);
  else if (bias) fill_real(bias, offsets, -1, 1);

  double *expected = doubles(size), *bound = doubles(size);
  for (long i = 0; i < size; i++) expected[i] = y[i];
  for (long b = 0; b < c.batch; b++)
    for (long r = 0; r < c.outputs; r++) {
      const long at = b * y_stride + r;
      const double offset = bias ? bias[r] : 0, there = c.adding ? y[at] : 0;
      double sum = offset + there, magnitude = fabs(offset) + fabs(there);
      for (long i = 0; i < c.columns; i++) {
        const double term = w.values[r * c.columns + i] * (double)x[b * c.x_stride + i];
        sum += term, magnitude += fabs(term);
      }
      expected[at] = sum;
      bound[at] = c.exact ? 0 : magnitude * ROUNDING * 2 * sqrt((double)c.columns + 4);
    }
  float *before = copy_of(y, size);
  TWICE(y, size, multiply(&c, given, x, c.batch, bias, y, y_stride));
  expect_near(y, expected, bound, size);

  // One vector at a time gives the same bits.
  for (long b = 0; b < c.batch; b++) multiply(&c, given, x + b * c.x_stride, 1, bias, before + b * y_stride, y_stride);
  expect_same(before, y, size, "one vector at a time against all at once");
  release();
}

static void test_packed(void) {
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
            PACKED, heights[i], columns, batches[j], strides[random_below(3)], random_below(2) * 5, random_below(2),
            random_below(2), exact});
      }
  check((multiply_case){PACKED, 200, 300, 210, 300, 0, true, false, true});
  check((multiply_case){PACKED, 70, 2000, 7, 2000, 0, false, false, false});
  check((multiply_case){PACKED, 64, 16, 0, 16, 0, true, false, true});
}

static void test_stored(int type) {
  static const long heights[] = {1, 3, 4, 15, 17, 62, 63, 64, 65, 130};
  static const long widths[] = {1, 2, 5, 16, 33, 96, 255, 257};
  static const long wide[] = {32, 64, 96, 256, 288};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 13};
  for (long i = 0; i < COUNT_OF(heights); i++)
    for (long j = 0; j < COUNT_OF(batches); j++) {
      const long columns =
          block_of(type) == 1 ? widths[random_below(COUNT_OF(widths))] : wide[random_below(COUNT_OF(wide))];
      const long strides[] = {columns, columns + 3, (columns + 1) / 2};
      check((multiply_case){
          type, heights[i], columns, batches[j], strides[random_below(3)], random_below(2) * 5, random_below(2),
          random_below(2), random_below(2)});
    }
  // More columns than are expanded at once, more rows than one piece of work has.
  check((multiply_case){type, 70, 544, 5, 544, 3, true, false, true});
  check((multiply_case){type, 70, 544, 9, 100, 0, true, true, true});
  check((multiply_case){type, 67, 1216, 7, 1216, 0, false, true, false});
  check((multiply_case){type, 130, 32, 516, 32, 0, true, false, true});
  check((multiply_case){type, 66, 64, 517, 64, 0, true, true, false});
  check((multiply_case){type, 70, 288, 530, 17, 2, false, false, true});
  check((multiply_case){type, 64, 32, 0, 32, 0, true, false, true});
}

void test_multiply(void) {
  test_packed();
  for (int type = CK_F32; type <= CK_Q8_0; type++) test_stored(type);
}
