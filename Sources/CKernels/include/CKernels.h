#pragma once

// Inference kernels in C: each operation is written once over vectors of a width chosen at compile time, compiled
// once for every instruction set, and picked at run time. Matrices are row-major. Weights may be unaligned: they are
// read where the file put them. Every result is independent of the number of threads.

/// Instruction sets, from the least to the most capable of each architecture.
enum { CK_PORTABLE = 0, CK_NEON = 1, CK_AVX2 = 2, CK_AVX512 = 3 };

/// How a weight matrix is stored. Quantized types hold blocks of 32 along a row.
enum {
  CK_F32 = 0,
  CK_F16 = 1,
  CK_BF16 = 2,
  CK_Q4_0 = 3,  // f16 scale, 16 bytes: (q - 8) * scale
  CK_Q4_1 = 4,  // f16 scale, f16 minimum, 16 bytes: q * scale + minimum
  CK_Q8_0 = 5,  // f16 scale, 32 bytes: q * scale
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
