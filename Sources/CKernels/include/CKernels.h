#pragma once

#include <stdint.h>

// Inference kernels in C: each operation is written once over vectors of a width chosen at compile time, compiled
// once for every instruction set, and picked at run time. Matrices are row-major. Weights may be unaligned: they are
// read where the file put them. Every result is independent of the number of threads.

/// Instruction sets, from the least to the most capable of each architecture. CK_AVX512_BF16 has the products of bytes
/// (VNNI) too.
enum { CK_PORTABLE = 0, CK_NEON = 1, CK_AVX2 = 2, CK_AVX512 = 3, CK_AVX512_BF16 = 4 };

/// How a weight matrix is stored. Quantized types hold blocks of 32 along a row.
enum {
  CK_F32 = 0,
  CK_F16 = 1,
  CK_BF16 = 2,
  CK_Q4_0 = 3,  // f16 scale, 16 bytes: (q - 8) * scale
  CK_Q4_1 = 4,  // f16 scale, f16 minimum, 16 bytes: q * scale + minimum
  CK_Q8_0 = 5,  // f16 scale, 32 bytes: q * scale
  // In tiles: see ck_tile.
  CK_TILED_Q8 = 6,
  CK_TILED_Q4 = 7,
};

/// Whether this CPU runs the path.
int ck_path_supported(int path);
/// The best path that this CPU runs.
int ck_path_best(void);
/// The path in use, and its choice. An unsupported path is ignored.
int ck_path(void);
void ck_set_path(int path);

/// Threads that one operation may use, the caller's included.
int ck_threads(void);
void ck_set_threads(int count);
/// Runs `body` over [0, count) in chunks of `grain`, on several threads when the pool is free, else on the caller's.
void ck_parallel(long count, long grain, void (*body)(void *context, long begin, long end), void *context);

/// y[b, r] = bias[r] + sum over c of weights[r, c] * x[b, c]; `bias` may be null. Reads the weights once for every eight
/// of `batch`. Columns of quantized types are multiples of 32; at most 131072.
void ck_matvec(
    int type, const void *weights, long rows, long columns, const float *x, long x_stride, long batch,
    const float *bias, float *y, long y_stride);
/// Expands `count` weights to floats; of quantized types, a multiple of 32.
void ck_dequantize(int type, const void *weights, long count, float *out);

/// Stores `count` floats as weights of a type: CK_F32, CK_F16, CK_BF16 (rounded to the nearest, even ones first) or, for
/// a multiple of 32, CK_Q8_0 (scale = greatest magnitude / 127).
void ck_quantize(int type, const float *x, long count, void *out);

/// out = x / rms(x) * weight, row by row.
void ck_rms_norm(const float *x, const float *weight, float epsilon, long rows, long columns, float *out);
/// out = (x - mean) / deviation * weight + bias, row by row.
void ck_layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, long rows, long columns, float *out);

/// x += y.
void ck_add(float *x, const float *y, long count);
/// Every row of x += bias; `bias` may be null.
void ck_add_bias(float *x, const float *bias, long rows, long columns, long stride);
/// x = x * Phi(x), the exact (erf) form.
void ck_gelu(float *x, long count);
/// x = x * sigmoid(1.702 x), the approximation of GELU that CLIP was trained with.
void ck_quick_gelu(float *x, long count);
/// x = silu(x) * y.
void ck_silu_multiply(float *x, const float *y, long count);
/// Softmax of the first valid[row] = min(columns, first_valid + row * step) entries of each row, after scaling; the
/// others become 0.
void ck_softmax(float *x, long rows, long columns, long stride, float scale, long first_valid, long step);

/// One attention head for one query: out[d] = sum over t of softmax(scale * q . k[t]) v[t]. `scores` holds `count`.
typedef struct {
  const float *q, *k, *v;
  float *out, *scores;
  long count;
} ck_head;
void ck_attend(const ck_head *heads, long head_count, long head_width, long k_stride, long v_stride, float scale);

/// Outputs of a panel of packed weights.
enum { CK_PANEL = 64 };
/// y[b, r] = bias[r] + sum over c of w[r, c] * x[b, c], added to what y holds if `adding`; sums go from the first column
/// to the last, whatever the batch. `weights` are packed: for each panel of 64 rows of w, [columns, 64], zeros where w
/// has no more rows. `bias` has an entry for each of these, or is null. Rows of x may overlap.
void ck_multiply(
    const float *weights, long outputs, long columns, const float *x, long x_stride, long batch, const float *bias,
    int adding, float *y, long y_stride);
/// The same with weights [outputs, columns] of any type as stored, columns of quantized ones a multiple of 32: they are
/// expanded as they pass, so a product of few rows is better left to ck_matvec.
void ck_multiply_stored(
    int type, const void *weights, long outputs, long columns, const float *x, long x_stride, long batch,
    const float *bias, int adding, float *y, long y_stride);
/// out = x + sin^2(alpha x) * inverse, with an alpha and an inverse for each column.
void ck_snake(const float *x, const float *alpha, const float *inverse, long rows, long columns, float *out);
/// A convolution of 7 taps in each column for itself: out[t] = bias + sum over k of weights[k] * x[t + k * dilation], with
/// weights in rows of taps; then the snake of the result, if there is an alpha. Reads rows + 6 * dilation rows of x.
void ck_depthwise(
    const float *x, const float *weights, const float *bias, const float *alpha, const float *inverse, long rows,
    long columns, long dilation, float *out);
/// out = x, each row times its factor.
void ck_scale_rows(const float *x, const float *factors, long rows, long columns, float *out);
/// x = tanh(x), to within 1e-7.
void ck_tanh(float *x, long count);

// Products of quantized weights with quantized vectors. Weights lie in tiles: groups of 16 rows (zeros where there are
// none), within each blocks of 32 columns, within each four columns of every row side by side. Of CK_TILED_Q8 these are
// 512 bytes of q + 128; of CK_TILED_Q4 256 bytes, of which the low halves hold q + 8 of columns 0-3, 8-11, ... and the
// high ones of columns 4-7, 12-15, ... The scales follow all weights, halves: [groups, blocks, 16]. A weight is q * scale.

/// Rows of a group.
enum { CK_TILE_ROWS = 16 };
/// Bytes of [rows, columns] weights; columns are a multiple of 32.
long ck_tiled_bytes(int type, long rows, long columns);
/// Quantizes rows [first, first + count) of [rows, columns] weights, given as floats [count, columns]; `first` is a
/// multiple of 16, and so is `count` unless these are the last.
void ck_tile(int type, const float *x, long first, long count, long rows, long columns, void *tiles);
/// Rows [first, first + count) as floats.
void ck_untile(int type, const void *tiles, long rows, long columns, long first, long count, float *out);

/// Vectors in blocks of 32: q = round(x / scale), scale = greatest magnitude / 127.
typedef struct {
  signed char *values;  // [rows, columns]
  float *scales;        // [rows, columns / 32]
  int *sums;            // of values, [rows, columns / 32]
} ck_quantized;
void ck_quantize_rows(const float *x, long x_stride, long rows, long columns, ck_quantized out);
/// y[b, r] (+)= bias[r] + sum over c of w[first + r, c] * x[b, c] for r below `count`; products and the sums of a block are
/// integers, so every path and every batch gives the same up to the order of adding blocks, which is theirs too.
void ck_multiply_tiled(
    int type, const void *tiles, long rows, long columns, long first, long count, ck_quantized x, long batch,
    const float *bias, int adding, float *y, long y_stride);

// Products of bf16 numbers summed in 32 bits. Not every path has them; others do nothing.

int ck_has_brain_products(void);
/// Rounds rows of floats to bf16, [rows, columns], ties to even.
void ck_round_rows(const float *x, long x_stride, long rows, long columns, uint16_t *out);
/// y[b, r] (+)= bias[r] + sum over c of w[r, c] * x[b, c]; `columns` and `x_stride` are even, `weights` row-major bf16.
void ck_multiply_brains(
    const void *weights, long outputs, long columns, const uint16_t *x, long x_stride, long batch, const float *bias,
    int adding, float *y, long y_stride);
/// The same for few vectors, each of which gets what it would alone.
void ck_matvec_brains(
    const void *weights, long outputs, long columns, const uint16_t *x, long x_stride, long batch, const float *bias,
    float *y, long y_stride);

/// The most keys that ck_attend_brains takes.
enum { CK_ATTENTION_KEYS = 4096 };
/// Attention of all heads: positions in rows, heads within them.
typedef struct {
  long heads, key_heads, head_width, queries, keys;
  const float *q, *k, *v;
  // From one query to the next, from the queries that share one key head to the next such group, from one key (value) to
  // the next, from one key head to the next, from one output to the next: floats.
  long query_stride, query_group_stride, key_stride, key_head_stride, out_stride;
  float *out;
  float scale;
  int causal;  // each query before the last sees one key less
} ck_attention;
/// Whether this path has it for such sizes, and how many 16-bit numbers it borrows.
int ck_attends_brains(const ck_attention *attention);
long ck_attention_memory(const ck_attention *attention);
/// out = softmax(scale q k') v, with q, k, v and the exponentials rounded to bf16.
void ck_attend_brains(const ck_attention *attention, uint16_t *memory);
