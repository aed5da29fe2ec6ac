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

/// A product with weights as stored.
typedef struct {
  void (*expand)(const unsigned char *weights, long count, float *out);
  const unsigned char *weights;
  long block, block_bytes;  // numbers and bytes of a block
  const float *bias;
  long outputs, columns;
  const float *x;
  long x_stride;
  int adding;
  float *y;
  long y_stride;
} ck_stored_product;

/// A product of tiled weights with quantized vectors.
typedef struct {
  const unsigned char *weights, *scales;
  long columns, first_row, rows;
  ck_quantized x;
  const float *bias;
  int adding;
  float *y;
  long y_stride;
} ck_tiled_product;

/// A product of bf16 weights with rounded vectors.
typedef struct {
  const unsigned char *weights;
  const float *bias;
  long outputs, columns;
  const uint16_t *x;
  long x_stride;
  int adding;
  float *y;
  long y_stride;
} ck_brain_product;

/// A head of queries, and its packed keys and values.
typedef struct {
  const float *q;
  long q_stride;
  const uint16_t *k, *v;
  float *out;
  long out_stride, keys, width, first_valid, step;
  float scale;
} ck_brain_head;

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
  void (*multiply_stored)(const ck_stored_product *job, long panel, long begin, long end);
  void (*snake)(const float *x, const float *alpha, const float *inverse, long rows, long columns, float *out);
  void (*depthwise)(
      const float *x, const float *weights, const float *bias, const float *alpha, const float *inverse, long rows,
      long columns, long dilation, float *out);
  void (*scale_rows)(const float *x, const float *factors, long rows, long columns, float *out);
  void (*tanh)(float *x, long count);
  void (*quantize_row)(const float *x, long columns, signed char *values, float *scales, int *sums);
  /// Of bytes and of halves of bytes: groups [group, last) times inputs [begin, end).
  void (*tiled[2])(const ck_tiled_product *job, long group, long last, long begin, long end);
  // Null where the path has no products of bf16.
  void (*round_row)(const float *x, long count, uint16_t *out);
  /// Rows [begin, end) of weights for a batch of 1 to 8.
  void (*brain_rows)(const ck_brain_product *job, long begin, long end, long batch);
  void (*multiply_brains)(const ck_brain_product *job, long panel, long begin, long end);
  void (*pack_keys)(const float *k, long stride, long keys, long width, uint16_t *out);
  void (*pack_values)(const float *v, long stride, long keys, long width, uint16_t *out);
  void (*attend_brains)(const ck_brain_head *head, long begin, long end);
} ck_operations;

extern const ck_operations ck_operations_portable;
#if defined(__aarch64__)
extern const ck_operations ck_operations_neon;
#endif
#if defined(__x86_64__)
extern const ck_operations ck_operations_avx2;
extern const ck_operations ck_operations_avx512;
extern const ck_operations ck_operations_avx512_bf16;
#endif

/// The selected path's kernels.
const ck_operations *ck_selected(void);

/// A half's bits, rounded to the nearest, ties to even; and its value.
uint16_t ck_half_bits(float x);
float ck_half_value(uint16_t bits);

/// Numbers and bytes of a block of weights as stored.
static inline long ck_block_count(int type) { return type >= CK_Q4_0 ? 32 : 1; }
static inline long ck_block_bytes(int type) {
  static const long bytes[] = {4, 2, 2, 18, 20, 34};
  return bytes[type];
}

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
