#include "main.h"
#include "weights.h"

#include <math.h>
#include <string.h>

// Products of bf16 numbers, where the path has them; where it has none, nothing is touched.

/// The bf16 next to a number, ties to even; and numbers that bf16 holds.
static uint16_t brain_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static double rounded(float x) { return brain_value(brain_of(x)); }

// MARK: Rounding

static void check_rounding(long rows, long columns, long gap) {
  checking("round_rows [%ld, %ld], stride +%ld", rows, columns, gap);
  const long stride = columns + gap, count = rows * columns;
  float *x = rows_of_floats(rows, columns, stride);
  for (long i = 0; i < span(rows, columns, stride); i++) {
    uint32_t bits = random_bits();
    if (i % 3 == 0) bits = (bits & 0xffff0000) | 0x8000;  // halfway
    if ((bits & 0x7f800000) == 0x7f800000) bits &= 0xbfffffff;
    if ((bits & 0x7f800000) == 0) bits &= 0x80000000;  // numbers below 2^-126 may become 0
    memcpy(x + i, &bits, sizeof bits);
  }
  uint16_t *out = guarded((size_t)count * sizeof *out);
  memset(out, 0x55, (size_t)count * sizeof *out);
  ck_set_threads(2);
  ck_round_rows(x, stride, rows, columns, out);
  checks++;
  for (long i = 0; i < count; i++) {
    const float from = x[i / columns * stride + i % columns];
    const uint16_t expected = ck_has_brain_products() ? brain_of(from) : 0x5555;
    if (out[i] == expected) continue;
    fail("%.9g becomes %04x, not %04x", (double)from, out[i], expected);
    break;
  }
  release();
}

// MARK: Products

typedef struct {
  bool few;  // by the product for few vectors, which adds nothing to what is there
  long outputs, columns, batch, x_stride, y_gap;
  bool biased, adding, exact;
} brain_case;

static void multiply(
    const brain_case *c, const void *w, const uint16_t *x, long batch, const float *bias, float *y, long y_stride) {
  if (c->few) ck_matvec_brains(w, c->outputs, c->columns, x, c->x_stride, batch, bias, y, y_stride);
  else ck_multiply_brains(w, c->outputs, c->columns, x, c->x_stride, batch, bias, c->adding, y, y_stride);
}

static void check_product(brain_case c) {
  checking(
      "%s [%ld, %ld] times %ld, strides %ld and +%ld%s%s%s", c.few ? "matvec_brains" : "multiply_brains", c.outputs,
      c.columns, c.batch, c.x_stride, c.y_gap, c.biased ? ", bias" : "", c.adding ? ", adding" : "",
      c.exact ? ", whole numbers" : "");
  const long y_stride = c.outputs + c.y_gap, size = span(c.batch, c.outputs, y_stride);
  const long x_size = span(c.batch, c.columns, c.x_stride);
  const weights w = random_weights(CK_BF16, c.outputs * c.columns, c.exact);
  uint16_t *x = guarded((size_t)x_size * sizeof *x);
  for (long i = 0; i < x_size; i++) x[i] = brain_of(c.exact ? random_whole(8) : random_real(-1, 1));
  float *y = floats(size), *bias = c.biased ? floats(c.outputs) : 0;
  if (c.exact) fill_whole(y, size, 8);
  else fill_real(y, size, -1, 1);
  if (bias && c.exact) fill_whole(bias, c.outputs, 8);
  else if (bias) fill_real(bias, c.outputs, -1, 1);

  double *expected = doubles(size), *bound = doubles(size);
  for (long i = 0; i < size; i++) expected[i] = y[i];
  for (long b = 0; b < c.batch && ck_has_brain_products(); b++)
    for (long r = 0; r < c.outputs; r++) {
      const long at = b * y_stride + r;
      const double offset = bias ? bias[r] : 0, there = c.adding ? y[at] : 0;
      double sum = offset + there, magnitude = fabs(offset) + fabs(there);
      for (long i = 0; i < c.columns; i++) {
        const double term = w.values[r * c.columns + i] * brain_value(x[b * c.x_stride + i]);
        sum += term, magnitude += fabs(term);
      }
      expected[at] = sum;
      bound[at] = c.exact ? 0 : magnitude * ROUNDING * 2 * sqrt((double)c.columns + 4);
    }
  float *before = copy_of(y, size);
  TWICE(y, size, multiply(&c, w.bytes, x, c.batch, bias, y, y_stride));
  expect_near(y, expected, bound, size);
  for (long b = 0; b < c.batch; b++)
    multiply(&c, w.bytes, x + b * c.x_stride, 1, bias, before + b * y_stride, y_stride);
  expect_same(before, y, size, "one vector at a time against all at once");
  release();
}

static void test_products(void) {
  static const long heights[] = {1, 3, 15, 16, 17, 31, 48, 63, 64, 65, 100, 130};
  static const long widths[] = {2, 4, 16, 30, 32, 34, 66, 96};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13};
  for (long i = 0; i < COUNT_OF(heights); i++)
    for (long j = 0; j < COUNT_OF(batches); j++)
      for (int exact = 0; exact < 2; exact++) {
        const long columns = widths[random_below(COUNT_OF(widths))];
        const long strides[] = {columns, columns + 6, (columns / 2 + 1) / 2 * 2};  // rows of x may overlap
        check_product((brain_case){
            false, heights[i], columns, batches[j], strides[random_below(3)], random_below(2) * 5, random_below(2),
            random_below(2), exact});
      }
  // More columns than are packed at once, more rows than one piece of work has.
  check_product((brain_case){false, 70, 510, 5, 510, 0, true, false, true});
  check_product((brain_case){false, 70, 514, 5, 514, 3, true, true, true});
  check_product((brain_case){false, 130, 1200, 9, 1200, 0, false, true, false});
  check_product((brain_case){false, 130, 64, 530, 64, 0, true, false, false});
  check_product((brain_case){false, 64, 16, 0, 16, 0, true, false, true});
}

static void test_products_of_few(void) {
  static const long heights[] = {1, 2, 3, 17, 64, 65, 130};
  static const long widths[] = {2, 4, 30, 32, 34, 62, 64, 66, 94, 96, 98, 126, 128, 130, 896};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17};
  for (long i = 0; i < COUNT_OF(widths); i++)
    for (long j = 0; j < COUNT_OF(batches); j++)
      for (int exact = 0; exact < 2; exact++) {
        const long strides[] = {widths[i], widths[i] + 6, (widths[i] / 2 + 1) / 2 * 2};
        check_product((brain_case){
            true, heights[random_below(COUNT_OF(heights))], widths[i], batches[j], strides[random_below(3)],
            random_below(2) * 5, random_below(2), false, exact});
      }
  check_product((brain_case){true, 301, 320, 2, 320, 0, true, false, true});  // large enough for several threads
  check_product((brain_case){true, 3, 20000, 9, 20000, 0, true, false, false});
  check_product((brain_case){true, 130, 64, 530, 64, 3, true, false, false});
  check_product((brain_case){true, 64, 16, 0, 16, 0, true, false, true});
}

// MARK: Attention

typedef struct {
  long key_heads, shared, width, queries, keys, gap;
  bool causal;
  float range;  // of queries; 0: every key counts the same, and what is expected is exact
} attention_case;

static void check_attention(attention_case c) {
  checking(
      "attend_brains, %ld x %ld heads of %ld, %ld queries, %ld keys, strides +%ld%s, queries to %g", c.key_heads,
      c.shared, c.width, c.queries, c.keys, c.gap, c.causal ? ", causal" : "", (double)c.range);
  const long heads = c.key_heads * c.shared, group = c.shared * c.width;
  ck_attention job = {
      .heads = heads, .key_heads = c.key_heads, .head_width = c.width, .queries = c.queries, .keys = c.keys,
      .query_group_stride = group + c.gap, .query_stride = c.key_heads * (group + c.gap),
      .key_head_stride = c.width + c.gap, .key_stride = c.key_heads * (c.width + c.gap) + 2 * c.gap,
      .out_stride = heads * c.width + c.gap, .scale = 1 / sqrtf((float)c.width), .causal = c.causal};
  const long q_size = span(c.queries, c.key_heads * (group + c.gap) - c.gap, job.query_stride);
  const long k_size = span(c.keys, c.key_heads * (c.width + c.gap) - c.gap, job.key_stride);
  const long size = span(c.queries, heads * c.width, job.out_stride);
  float *q = floats(q_size), *k = floats(k_size), *v = floats(k_size), *out = floats(size);
  fill_real(q, q_size, -c.range, c.range);
  fill_real(k, k_size, -1, 1);
  if (c.range == 0) fill_whole(v, k_size, 8);
  else fill_real(v, k_size, -1, 1);
  for (long i = 0; i < size; i++) out[i] = 77;
  job.q = q, job.k = k, job.v = v, job.out = out;
  uint16_t *memory = guarded((size_t)ck_attention_memory(&job) * sizeof *memory);
  TWICE(out, size, ck_attend_brains(&job, memory));

  const bool has = ck_attends_brains(&job) != 0;
  expect(has == (ck_has_brain_products() && c.keys <= CK_ATTENTION_KEYS && c.width <= 256), "it is told what is taken");
  double *expected = doubles(size), *bound = doubles(size), *p = doubles(c.keys);
  for (long i = 0; i < size; i++) expected[i] = 77;
  for (long h = 0; h < heads && has; h++)
    for (long i = 0; i < c.queries; i++) {
      const long seen = c.causal ? c.keys - (c.queries - 1 - i) : c.keys;
      const float *query = q + i * job.query_stride + h / c.shared * job.query_group_stride + h % c.shared * c.width;
      double top = -INFINITY, sum = 0, shift = 0;
      for (long t = 0; t < seen; t++) {
        const float *key = k + t * job.key_stride + h / c.shared * job.key_head_stride;
        double dot = 0, magnitude = 0;
        for (long d = 0; d < c.width; d++) {
          const double term = rounded(query[d]) * rounded(key[d]);
          dot += term, magnitude += fabs(term);
        }
        p[t] = dot * (double)job.scale;
        top = fmax(top, p[t]), shift = fmax(shift, magnitude * (double)job.scale);
      }
      for (long t = 0; t < seen; t++) sum += p[t] = exp(p[t] - top);
      for (long d = 0; d < c.width; d++) {
        double value = 0, magnitude = 0;
        for (long t = 0; t < seen; t++) {
          const double term = p[t] / sum * rounded(v[t * job.key_stride + h / c.shared * job.key_head_stride + d]);
          value += term, magnitude += fabs(term);
        }
        const long at = i * job.out_stride + h * c.width + d;
        expected[at] = value;
        // Exponentials of 1 are exact; others are rounded to 8 bits, and follow the error of their scores.
        const double of_scores = 2 * shift * sqrt((double)c.width + 4) + 4 * sqrt((double)seen) + 16;
        bound[at] = magnitude * (ROUNDING * of_scores + (c.range == 0 ? 0 : 0x1p-8)) + 1e-36;
      }
    }
  expect_near(out, expected, bound, size);
  release();
}

static void test_attention_of_brains(void) {
  static const long widths[] = {1, 2, 15, 16, 31, 48, 63, 64, 65, 80, 128};
  static const long counts[] = {1, 2, 3, 15, 16, 17, 31, 63, 64, 65, 130};
  for (long i = 0; i < COUNT_OF(widths); i++)
    for (long j = 0; j < COUNT_OF(counts); j++)
      for (int way = 0; way < 4; way++) {
        const bool causal = way & 1;
        const long keys = counts[j], queries = 1 + random_below(causal ? (keys < 14 ? keys : 14) : 14);
        check_attention((attention_case){
            1 + random_below(2), 1 + random_below(3), widths[i], queries, keys, random_below(2) * 3, causal,
            way & 2 ? 3 : 0});
      }
  check_attention((attention_case){2, 1, 64, 100, 100, 0, true, 3});  // more queries than one piece of work has
  check_attention((attention_case){1, 2, 32, 99, 99, 5, false, 0});
  check_attention((attention_case){1, 1, 256, 2, 20, 0, false, 100});
  check_attention((attention_case){1, 1, 4, 1, CK_ATTENTION_KEYS, 0, false, 0});
  // What it does not take.
  check_attention((attention_case){1, 1, 4, 1, CK_ATTENTION_KEYS + 1, 0, false, 0});
  check_attention((attention_case){1, 1, 257, 1, 3, 0, false, 0});
}

void test_brain(void) {
  for (long columns = 1; columns < 40; columns++) check_rounding(1 + columns % 3, columns, columns % 2 * 3);
  check_rounding(300, 301, 3);
  test_products();
  test_products_of_few();
  test_attention_of_brains();
}
