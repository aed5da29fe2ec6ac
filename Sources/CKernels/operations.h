#pragma once

#include "CKernels.h"

/// Inputs of the rows kernels, which differ in how they unpack weights alone.
typedef struct {
  const unsigned char *weights;
  long columns;
  const float *x;
  long x_stride;
  const float *sums;  // of x over each block of 32, [batch, columns / 32]; quantized types with a minimum use them
  const float *bias;
  float *y;
  long y_stride;
} ck_rows;

/// A product with packed weights.
typedef struct {
  const float *weights, *bias;
  long outputs, columns;
  const float *x;
  long x_stride;
  int adding;
  float *y;
  long y_stride;
} ck_product;

/// One instruction set's compilation of every kernel.
typedef struct {
  /// Rows [begin, end) for a batch of 1 to 8.
  void (*rows[6])(const ck_rows *job, long begin, long end, long batch);
  void (*dequantize[6])(const unsigned char *weights, long count, float *out);
  void (*block_sums)(const float *x, long blocks, float *sums);
  void (*rms_norm)(const float *x, const float *weight, float epsilon, long columns, float *out);
  void (*layer_norm)(
      const float *x, const float *weight, const float *bias, float epsilon, long columns, float *out);
  void (*add)(float *x, const float *y, long count);
  void (*gelu)(float *x, long count);
  void (*quick_gelu)(float *x, long count);
  void (*silu_multiply)(float *x, const float *y, long count);
  void (*softmax)(float *x, long count, float scale);
  void (*attend)(const ck_head *head, long head_width, long k_stride, long v_stride, float scale);
  /// Rows [begin, end) of one panel.
  void (*multiply)(const ck_product *job, long panel, long begin, long end);
  void (*snake)(const float *x, const float *alpha, const float *inverse, long rows, long columns, float *out);
  void (*depthwise)(
      const float *x, const float *weights, const float *bias, const float *alpha, const float *inverse, long rows,
      long columns, long dilation, float *out);
  void (*scale_rows)(const float *x, const float *factors, long rows, long columns, float *out);
  void (*tanh)(float *x, long count);
} ck_operations;

extern const ck_operations ck_operations_portable;
#if defined(__aarch64__)
extern const ck_operations ck_operations_neon;
#endif
#if defined(__x86_64__)
extern const ck_operations ck_operations_avx2;
extern const ck_operations ck_operations_avx512;
#endif

/// The selected path's kernels.
const ck_operations *ck_selected(void);

/// About as much work as waking a thread costs.
#define GRAIN 32768

static inline long grain(long columns) {
  const long rows = GRAIN / (columns > 0 ? columns : 1);
  return rows > 1 ? rows : 1;
}

/// What operations over rows of floats have in common.
typedef struct {
  const ck_operations *operations;
  float *x;
  const float *y, *weight, *bias;
  float *out;
  float number;
  long columns, stride, first_valid, step;
} rows_job;
