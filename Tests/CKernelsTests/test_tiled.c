#include "main.h"
#include "weights.h"

#include <math.h>
#include <string.h>

// Quantized weights in tiles, quantized vectors, and their products.

static const char *tiled_name(int type) { return type == CK_TILED_Q4 ? "tiled q4" : "tiled q8"; }

/// Where a weight lies, by the words of the header: its byte, the shift within it, what is added to it; its scale.
typedef struct {
  long byte, scale;
  int shift, mask, offset;
} place;

static place place_of(int type, long rows, long columns, long row, long column) {
  const long blocks = columns / 32, groups = (rows + 15) / 16, block = row / 16 * blocks + column / 32;
  const long within = column % 32, all = groups * blocks * (type == CK_TILED_Q4 ? 256 : 512);
  const place p = {.scale = all + (block * 16 + row % 16) * 2};
  if (type == CK_TILED_Q8)
    return (place){block * 512 + within / 4 * 64 + row % 16 * 4 + within % 4, p.scale, 0, 255, 128};
  return (place){block * 256 + within / 8 * 64 + row % 16 * 4 + within % 4, p.scale, within % 8 / 4 * 4, 15, 8};
}

static double tiled_value(int type, const unsigned char *tiles, long rows, long columns, long row, long column) {
  const place p = place_of(type, rows, columns, row, column);
  uint16_t scale;
  memcpy(&scale, tiles + p.scale, sizeof scale);
  return ((tiles[p.byte] >> p.shift & p.mask) - p.offset) * half_value(scale);
}

/// How numbers are made: small ones with scales that keep sums exact, any, or the greatest.
enum { EXACT, ANY, EXTREME };
static const char *const kinds[] = {"whole numbers", "any numbers", "extreme numbers"};

static int random_q(int kind, int most) {
  if (kind == EXTREME) return random_below(2) ? most : -most;
  return (int)random_whole(kind == EXACT && most > 8 ? 8 : most);
}

static unsigned char *random_tiles(int type, long rows, long columns, int kind) {
  const long bytes = ck_tiled_bytes(type, rows, columns), behind = random_below(4);
  unsigned char *tiles = guarded((size_t)(bytes + behind));
  memset(tiles, 0, (size_t)bytes);
  const long all = (rows + 15) / 16 * 16;
  for (long r = 0; r < all; r++)
    for (long c = 0; c < columns; c++) {
      const place p = place_of(type, rows, columns, r, c);
      const int lowest = type == CK_TILED_Q4 && kind != EXACT && random_below(8) == 0 ? -8 : 0;
      const int q = r >= rows ? 0 : lowest ? lowest : random_q(kind, type == CK_TILED_Q4 ? 7 : 127);
      tiles[p.byte] |= (unsigned char)((q + p.offset) << p.shift);
      if (c % 32 != 0) continue;
      // From 2^-9 to 2, of either sign; or 1/4, 1/2, 1.
      const uint16_t scale = kind == EXACT ? (uint16_t)((13 + random_below(3)) << 10)
                                           : (uint16_t)((random_bits() & 0x83ff) | (6 + random_below(10)) << 10);
      if (r < rows) memcpy(tiles + p.scale, &scale, sizeof scale);
    }
  return tiles;
}

// MARK: Weights

/// Tiles made part by part give back what they were made of, to within half a step (of Q4, on the average).
static void check_tile(int type, long rows, long columns, float range, bool exact) {
  checking(
      "%s of [%ld, %ld], up to %g%s", tiled_name(type), rows, columns, (double)range, exact ? ", multiples" : "");
  const long count = rows * columns, bytes = ck_tiled_bytes(type, rows, columns), blocks = columns / 32;
  expect(
      bytes == (rows + 15) / 16 * blocks * (type == CK_TILED_Q4 ? 256 + 32 : 512 + 32), "tiles have the size they say");
  float *x = floats(count), *out = floats(count);
  fill_real(x, count, -range, range);
  const int most = type == CK_TILED_Q4 ? 7 : 127;
  for (long i = 0; i < count && exact; i++) x[i] = (i % 32 == 5 ? (float)most : random_whole(most)) * range;
  unsigned char *tiles = guarded((size_t)bytes);
  memset(tiles, 0xff, (size_t)bytes);
  ck_set_threads(2);
  // In two parts where there are two groups.
  const long part = rows > 16 ? (rows / 2 + 15) / 16 * 16 : rows;
  ck_tile(type, x, 0, part, rows, columns, tiles);
  if (part < rows) ck_tile(type, x + part * columns, part, rows - part, rows, columns, tiles);

  double *expected = doubles(count), *bound = doubles(count);
  for (long i = 0; i < count; i++) expected[i] = tiled_value(type, tiles, rows, columns, i / columns, i % columns);
  ck_untile(type, tiles, rows, columns, 0, rows, out);
  expect_near(out, expected, bound, count);  // exactly what the bytes say
  const long first = rows / 3, some = rows - first - rows / 4;
  float *middle = floats(some * columns);
  ck_untile(type, tiles, rows, columns, first, some, middle);
  expect_same(middle, out + first * columns, some * columns, "some rows against all");
  for (long r = rows; r < (rows + 15) / 16 * 16; r++)
    for (long c = 0; c < columns; c++)
      if (tiled_value(type, tiles, rows, columns, r, c) != 0) {
        fail("row %ld, which there is none of, is not zero at %ld", r, c);
        break;
      }

  for (long i = 0; i < count; i++) expected[i] = x[i];
  for (long block = 0; block < rows * blocks; block++) {
    double greatest = 0, squares = 0;
    for (long i = block * 32; i < block * 32 + 32; i++) {
      greatest = fmax(greatest, fabs((double)x[i]));
      squares += pow((double)out[i] - (double)x[i], 2);
    }
    // Scales are halves: rounded to 11 bits, or to multiples of 2^-24.
    const double rounded = greatest * 0x1p-11 + most * 0x1p-24, step = greatest / most;
    for (long i = block * 32; i < block * 32 + 32; i++) bound[i] = exact ? 0 : step / 2 * 1.0001 + rounded;
    if (type == CK_TILED_Q8) continue;
    if (!(sqrt(squares / 32) <= bound[block * 32]))
      fail("block %ld is off by %g on the average, %g is allowed", block, sqrt(squares / 32), bound[block * 32]);
    for (long i = block * 32; i < block * 32 + 32 && !exact; i++) bound[i] = INFINITY;
  }
  expect_near(out, expected, bound, count);
  release();
}

static void test_storage(void) {
  static const float ranges[] = {0, 1e-9f, 1e-5f, 0.02f, 1, 1000, 200000};
  for (int type = CK_TILED_Q8; type <= CK_TILED_Q4; type++) {
    static const long heights[] = {1, 2, 15, 16, 17, 32, 33, 50, 100};
    for (long i = 0; i < COUNT_OF(heights); i++)
      for (long blocks = 1; blocks < 9; blocks = blocks * 2 + 1) {
        check_tile(type, heights[i], blocks * 32, ranges[random_below(COUNT_OF(ranges))], false);
        check_tile(type, heights[i], blocks * 32, 0x1p-6f, true);
      }
    check_tile(type, 300, 320, 1, false);
  }
}

// MARK: Vectors

static ck_quantized quantized_memory(long rows, long columns) {
  const long values = rows * columns, blocks = values / 32;
  return (ck_quantized){
      guarded((size_t)values), floats(blocks), guarded((size_t)blocks * sizeof(int))};
}

static void check_rows(long rows, long columns, long gap, float range) {
  checking("quantize_rows [%ld, %ld], stride +%ld, up to %g", rows, columns, gap, (double)range);
  const long stride = columns + gap, blocks = columns / 32;
  float *x = rows_of_floats(rows, columns, stride);
  fill_real(x, span(rows, columns, stride), -range, range);
  for (long r = 0; r < rows; r += 3) x[r * stride + random_below(columns)] *= 30;
  ck_quantized out = quantized_memory(rows, columns), alone = quantized_memory(rows, columns);
  ck_set_threads(1);
  ck_quantize_rows(x, stride, rows, columns, alone);
  ck_set_threads(2);
  ck_quantize_rows(x, stride, rows, columns, out);
  expect(
      memcmp(out.values, alone.values, (size_t)(rows * columns)) == 0 &&
          memcmp(out.scales, alone.scales, (size_t)(rows * blocks) * sizeof(float)) == 0,
      "two threads give what one gives");
  checks++;
  for (long block = 0; block < rows * blocks; block++) {
    const float *from = x + block / blocks * stride + block % blocks * 32;
    double greatest = 0;
    int sum = 0;
    for (int i = 0; i < 32; i++) greatest = fmax(greatest, fabs((double)from[i]));
    const double scale = greatest / 127;
    if (!(fabs(out.scales[block] - scale) <= scale * 2 * ROUNDING + 1e-44)) {
      fail("the scale of block %ld is %g, not %g", block, (double)out.scales[block], scale);
      break;
    }
    for (int i = 0; i < 32; i++) {
      const int q = out.values[block * 32 + i];
      sum += q;
      const double exact = scale > 1e-32 ? (double)from[i] / scale : 0;
      if (!(fabs(q - exact) <= 0.50002)) {
        fail("%g of block %ld becomes %d, where it is %g steps", (double)from[i], block, q, exact);
        break;
      }
    }
    if (sum != out.sums[block]) fail("the sum of block %ld is %d, not %d", block, out.sums[block], sum);
  }
  release();
}

static void test_vectors(void) {
  static const float ranges[] = {0, 1e-42f, 1e-32f, 1e-20f, 1e-3f, 1, 1e4f, 1e30f, 1e36f};
  for (long i = 0; i < COUNT_OF(ranges); i++)
    for (long rows = 1; rows < 9; rows += 3)
      for (long blocks = 1; blocks < 30; blocks = blocks * 3 + 1)
        check_rows(rows, blocks * 32, rows % 3 * 5, ranges[i]);
  check_rows(300, 320, 7, 1);
}

// MARK: Products

typedef struct {
  int type, kind;
  long rows, columns, first, count, batch, y_gap;
  bool biased, adding;
} tiled_case;

static void check_product(tiled_case c) {
  checking(
      "multiply %s, rows %ld to %ld of [%ld, %ld] times %ld, stride +%ld%s%s, %s", tiled_name(c.type), c.first,
      c.first + c.count, c.rows, c.columns, c.batch, c.y_gap, c.biased ? ", bias" : "", c.adding ? ", adding" : "",
      kinds[c.kind]);
  const long blocks = c.columns / 32, y_stride = c.count + c.y_gap, size = span(c.batch, c.count, y_stride);
  const unsigned char *tiles = random_tiles(c.type, c.rows, c.columns, c.kind);
  ck_quantized x = quantized_memory(c.batch, c.columns);
  memset(x.sums, 0, (size_t)(c.batch * blocks) * sizeof(int));
  for (long i = 0; i < c.batch * c.columns; i++) x.sums[i / 32] += x.values[i] = (signed char)random_q(c.kind, 127);
  for (long i = 0; i < c.batch * blocks; i++)
    x.scales[i] = c.kind == EXACT ? 0.25f * (float)(1 << random_below(3)) : random_real(0, 2);
  float *y = floats(size), *bias = c.biased ? floats(c.count) : 0;
  if (c.kind == EXACT) fill_whole(y, size, 8);
  else fill_real(y, size, -1, 1);
  if (bias && c.kind == EXACT) fill_whole(bias, c.count, 8);
  else if (bias) fill_real(bias, c.count, -1, 1);

  double *expected = doubles(size), *bound = doubles(size);
  for (long i = 0; i < size; i++) expected[i] = y[i];
  for (long r = 0; r < c.count; r++) {
    double *row = doubles(c.columns);
    for (long i = 0; i < c.columns; i++) row[i] = tiled_value(c.type, tiles, c.rows, c.columns, c.first + r, i);
    for (long b = 0; b < c.batch; b++) {
      const long at = b * y_stride + r;
      const double offset = bias ? bias[r] : 0, there = c.adding ? y[at] : 0;
      double sum = offset + there, magnitude = fabs(offset) + fabs(there);
      for (long block = 0; block < blocks; block++) {
        double part = 0;
        for (long i = block * 32; i < block * 32 + 32; i++) part += row[i] * x.values[b * c.columns + i];
        part *= x.scales[b * blocks + block];
        sum += part, magnitude += fabs(part);
      }
      expected[at] = sum;
      // Blocks are exact but for the product of their scales, and are added in floats.
      bound[at] = c.kind == EXACT ? 0 : magnitude * ROUNDING * (4 + 2 * sqrt((double)blocks));
    }
  }
  float *before = copy_of(y, size);
  TWICE(
      y, size,
      ck_multiply_tiled(
          c.type, tiles, c.rows, c.columns, c.first, c.count, x, c.batch, bias, c.adding, y, y_stride));
  expect_near(y, expected, bound, size);
  for (long b = 0; b < c.batch; b++) {
    const ck_quantized one = {x.values + b * c.columns, x.scales + b * blocks, x.sums + b * blocks};
    ck_multiply_tiled(
        c.type, tiles, c.rows, c.columns, c.first, c.count, one, 1, bias, c.adding, before + b * y_stride, y_stride);
  }
  expect_same(before, y, size, "one vector at a time against all at once");
  release();
}

static void test_products(void) {
  static const long heights[] = {1, 5, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 130};
  static const long batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 23, 25};
  for (int type = CK_TILED_Q8; type <= CK_TILED_Q4; type++) {
    for (long i = 0; i < COUNT_OF(heights); i++)
      for (long j = 0; j < COUNT_OF(batches); j++)
        for (int kind = EXACT; kind <= EXTREME; kind++) {
          const long rows = heights[i];
          // All rows, or some from the middle of a group on.
          const long first = random_below(2) ? random_below(rows) : 0;
          const long count = random_below(2) ? rows - first : 1 + random_below(rows - first);
          check_product((tiled_case){
              type, kind, rows, 32 * (1 + random_below(5)), first, count, batches[j], random_below(2) * 3,
              random_below(2), random_below(2)});
        }
    check_product((tiled_case){type, ANY, 300, 896, 0, 300, 3, 0, true, false});
    check_product((tiled_case){type, ANY, 80, 20000, 3, 70, 26, 2, true, true});  // pieces of the batch
    check_product((tiled_case){type, EXTREME, 20, 4864, 0, 20, 2, 0, false, false});
    check_product((tiled_case){type, EXACT, 20, 64, 4, 0, 2, 0, false, false});
    check_product((tiled_case){type, EXACT, 20, 64, 4, 8, 0, 0, false, false});
  }
}

/// No number that comes as a weight or a vector does harm, nor changes what other rows give.
static void test_hostile(void) {
  static const float numbers[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f};
  enum { rows = 20, columns = 96, count = rows * columns };
  for (int type = CK_TILED_Q8; type <= CK_TILED_Q4; type++)
    for (long i = 0; i < COUNT_OF(numbers); i++)
      for (int many = 0; many < 2; many++) {
        checking("%s of %s %g", tiled_name(type), many ? "many times" : "once", (double)numbers[i]);
        float *clean = floats(count), *x = floats(count);
        fill_real(clean, count, -1, 1);
        memcpy(x, clean, count * sizeof *x);
        for (long c = 0; c < (many ? columns : 1); c++) x[3 * columns + c] = numbers[i];
        float *y[2];
        for (int hostile = 0; hostile < 2; hostile++) {
          unsigned char *tiles = guarded((size_t)ck_tiled_bytes(type, rows, columns));
          ck_quantized q = quantized_memory(rows, columns);
          y[hostile] = floats(rows * rows);
          ck_tile(type, hostile ? x : clean, 0, rows, rows, columns, tiles);
          ck_quantize_rows(hostile ? x : clean, columns, rows, columns, q);
          ck_multiply_tiled(type, tiles, rows, columns, 0, rows, q, rows, 0, 0, y[hostile], rows);
        }
        for (long b = 0; b < rows; b++) y[1][b * rows + 3] = y[0][b * rows + 3];
        memcpy(y[1] + 3 * rows, y[0] + 3 * rows, rows * sizeof(float));
        expect_same(y[1], y[0], rows * rows, "the other rows");
        release();
      }
}

void test_tiled(void) {
  test_storage();
  test_vectors();
  test_products();
  test_hostile();
}
