#pragma once

// What the tests of the kernels share: random inputs, memory that tells when it is left, comparisons with a reference.

#include "CKernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) ((long)(sizeof(array) / sizeof *(array)))

/// Half the distance from 1 to the next float: what one rounding may change, relatively.
#define ROUNDING 0x1p-24

// MARK: What is checked

/// Names the case that runs; failures are printed with it, and with the path.
void checking(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void expect(bool holds, const char *what) {
  if (!holds) fail("not true: %s", what);
}
/// Every found[i] lies within bound[i] of expected[i], or is equal to it where that is infinite.
void expect_near(const float *found, const double *expected, const double *bound, long count);
/// The same bits, NaNs too.
void expect_same(const float *found, const float *expected, long count, const char *what);

// MARK: Inputs; the same ones in every run

uint32_t random_bits(void);
/// From 0 to count - 1.
long random_below(long count);
float random_real(float low, float high);
/// A whole number from -most to most: sums of products of such are exact in any order.
float random_whole(int most);
void fill_real(float *x, long count, float low, float high);
void fill_whole(float *x, long count, int most);

// MARK: Memory; what is taken is given back by `release`, at the end of each case

/// Bytes that end where memory ends: touching the next one ends the test with a message.
void *guarded(size_t bytes);
/// The same, all NaN.
float *floats(long count);
/// A rectangle of rows, `stride` apart, that ends with the last row's last column.
float *rows_of_floats(long rows, long columns, long stride);
/// For references; all 0.
double *doubles(long count);
float *copy_of(const float *x, long count);
void release(void);

// MARK: Threads

/// Runs a statement that changes `count` floats at `out`, alone and on two threads, and expects the same bits.
#define TWICE(out, count, statement)                                     \
  do {                                                                   \
    float *const before_ = copy_of(out, count);                          \
    ck_set_threads(1);                                                   \
    statement;                                                           \
    float *const alone_ = copy_of(out, count);                           \
    __builtin_memcpy(out, before_, (size_t)(count) * sizeof(float));     \
    ck_set_threads(2);                                                   \
    statement;                                                           \
    expect_same(out, alone_, count, "two threads against one");          \
  } while (0)

/// The floats that a rectangle spans, gaps between its rows included.
static inline long span(long rows, long columns, long stride) { return rows > 0 ? (rows - 1) * stride + columns : 0; }
