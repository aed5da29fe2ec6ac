#include "operations.h"

#include <stdatomic.h>

// MARK: Choosing a path

static const ck_operations *operations_of(int path) {
  switch (path) {
#if defined(__aarch64__)
  case CK_NEON: return &ck_operations_neon;
#endif
#if defined(__x86_64__)
  case CK_AVX2: return &ck_operations_avx2;
  case CK_AVX512: return &ck_operations_avx512;
#endif
  default: return &ck_operations_portable;
  }
}

int ck_path_supported(int path) {
  if (path == CK_PORTABLE) return 1;
#if defined(__aarch64__)
  if (path == CK_NEON) return 1;
#endif
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (path == CK_AVX2) return avx2;
  if (path == CK_AVX512)
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
  return 0;
}

int ck_path_best(void) {
  for (int path = CK_AVX512; path > CK_PORTABLE; path--)
    if (ck_path_supported(path)) return path;
  return CK_PORTABLE;
}

static atomic_int selected = -1;

int ck_path(void) {
  int path = atomic_load_explicit(&selected, memory_order_relaxed);
  if (path < 0) {
    path = ck_path_best();
    atomic_store_explicit(&selected, path, memory_order_relaxed);
  }
  return path;
}

void ck_set_path(int path) {
  if (ck_path_supported(path)) atomic_store_explicit(&selected, path, memory_order_relaxed);
}

const ck_operations *ck_selected(void) { return operations_of(ck_path()); }

// MARK: Weights

/// About as much work as waking a thread costs.
#define GRAIN 32768

static long grain(long columns) {
  const long rows = GRAIN / (columns > 0 ? columns : 1);
  return rows > 1 ? rows : 1;
}

typedef struct {
  ck_rows rows;
  void (*kernel)(const ck_rows *job, long begin, long end, long batch);
  long batch;
} matvec_job;

static void matvec_chunk(void *context, long begin, long end) {
  const matvec_job *job = context;
  job->kernel(&job->rows, begin, end, job->batch);
}

void ck_matvec(
    int type, const void *weights, long rows, long columns, const float *x, long x_stride, long batch,
    const float *bias, float *y, long y_stride) {
  const ck_operations *operations = ck_selected();
  const long blocks = type >= CK_Q4_0 ? columns / 32 : 0;
  float sums[4096];
  const long most = blocks * 8 > 4096 ? 4096 / blocks : 8;
  for (long first = 0; first < batch; first += most) {
    const long count = batch - first < most ? batch - first : most;
    for (long b = 0; b < count && blocks > 0; b++)
      operations->block_sums(x + (first + b) * x_stride, blocks, sums + b * blocks);
    matvec_job job = {
        {weights, columns, x + first * x_stride, x_stride, sums, bias, y + first * y_stride, y_stride},
        operations->rows[type],
        count};
    ck_parallel(rows, grain(columns), matvec_chunk, &job);
  }
}

typedef struct {
  void (*kernel)(const unsigned char *weights, long count, float *out);
  const unsigned char *weights;
  long block_bytes, block, count;
  float *out;
} expand_job;

static void expand_chunk(void *context, long begin, long end) {
  const expand_job *job = context;
  const long last = end * 256 < job->count ? end * 256 : job->count;
  job->kernel(
      job->weights + begin * 256 / job->block * job->block_bytes, last - begin * 256, job->out + begin * 256);
}

void ck_dequantize(int type, const void *weights, long count, float *out) {
  static const long bytes[] = {4, 2, 2, 18, 20, 34}, block[] = {1, 1, 1, 32, 32, 32};
  expand_job job = {ck_selected()->dequantize[type], weights, bytes[type], block[type], count, out};
  ck_parallel((count + 255) / 256, 128, expand_chunk, &job);
}

// MARK: Rows

typedef struct {
  const ck_operations *operations;
  float *x;
  const float *y, *weight, *bias;
  float *out;
  float number;
  long columns, stride, first_valid, step;
} rows_job;

static void rms_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  for (long r = begin; r < end; r++)
    job->operations->rms_norm(
        job->y + r * job->columns, job->weight, job->number, job->columns, job->out + r * job->columns);
}

void ck_rms_norm(const float *x, const float *weight, float epsilon, long rows, long columns, float *out) {
  rows_job job = {.operations = ck_selected(), .y = x, .weight = weight, .number = epsilon, .columns = columns, .out = out};
  ck_parallel(rows, grain(columns), rms_chunk, &job);
}

static void layer_norm_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  for (long r = begin; r < end; r++)
    job->operations->layer_norm(
        job->y + r * job->columns, job->weight, job->bias, job->number, job->columns, job->out + r * job->columns);
}

void ck_layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, long rows, long columns, float *out) {
  rows_job job = {
      .operations = ck_selected(), .y = x, .weight = weight, .bias = bias, .number = epsilon, .columns = columns, .out = out};
  ck_parallel(rows, grain(columns), layer_norm_chunk, &job);
}

static void bias_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  for (long r = begin; r < end; r++) job->operations->add(job->x + r * job->stride, job->bias, job->columns);
}

void ck_add_bias(float *x, const float *bias, long rows, long columns, long stride) {
  if (!bias) return;
  rows_job job = {.operations = ck_selected(), .x = x, .bias = bias, .columns = columns, .stride = stride};
  ck_parallel(rows, grain(columns), bias_chunk, &job);
}

static void softmax_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  for (long r = begin; r < end; r++) {
    const long reach = job->first_valid + r * job->step;
    const long valid = reach < job->columns ? reach : job->columns;
    float *x = job->x + r * job->stride;
    job->operations->softmax(x, valid, job->number);
    for (long i = valid; i < job->columns; i++) x[i] = 0;
  }
}

void ck_softmax(float *x, long rows, long columns, long stride, float scale, long first_valid, long step) {
  rows_job job = {
      .operations = ck_selected(), .x = x, .number = scale, .columns = columns, .stride = stride,
      .first_valid = first_valid, .step = step};
  ck_parallel(rows, grain(columns * 4), softmax_chunk, &job);
}

// MARK: Elementwise, in chunks of 64 floats so that no chunk leaves a tail in the middle

static void add_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  const long last = end * 64 < job->columns ? end * 64 : job->columns;
  job->operations->add(job->x + begin * 64, job->y + begin * 64, last - begin * 64);
}

void ck_add(float *x, const float *y, long count) {
  rows_job job = {.operations = ck_selected(), .x = x, .y = y, .columns = count};
  ck_parallel((count + 63) / 64, GRAIN / 64, add_chunk, &job);
}

static void gelu_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  const long last = end * 64 < job->columns ? end * 64 : job->columns;
  job->operations->gelu(job->x + begin * 64, last - begin * 64);
}

void ck_gelu(float *x, long count) {
  rows_job job = {.operations = ck_selected(), .x = x, .columns = count};
  ck_parallel((count + 63) / 64, GRAIN / 512, gelu_chunk, &job);
}

static void quick_gelu_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  const long last = end * 64 < job->columns ? end * 64 : job->columns;
  job->operations->quick_gelu(job->x + begin * 64, last - begin * 64);
}

void ck_quick_gelu(float *x, long count) {
  rows_job job = {.operations = ck_selected(), .x = x, .columns = count};
  ck_parallel((count + 63) / 64, GRAIN / 512, quick_gelu_chunk, &job);
}

static void silu_chunk(void *context, long begin, long end) {
  const rows_job *job = context;
  const long last = end * 64 < job->columns ? end * 64 : job->columns;
  job->operations->silu_multiply(job->x + begin * 64, job->y + begin * 64, last - begin * 64);
}

void ck_silu_multiply(float *x, const float *y, long count) {
  rows_job job = {.operations = ck_selected(), .x = x, .y = y, .columns = count};
  ck_parallel((count + 63) / 64, GRAIN / 512, silu_chunk, &job);
}

// MARK: Attention

typedef struct {
  const ck_operations *operations;
  const ck_head *heads;
  long width, k_stride, v_stride;
  float scale;
} attend_job;

static void attend_chunk(void *context, long begin, long end) {
  const attend_job *job = context;
  for (long h = begin; h < end; h++)
    job->operations->attend(&job->heads[h], job->width, job->k_stride, job->v_stride, job->scale);
}

void ck_attend(const ck_head *heads, long head_count, long head_width, long k_stride, long v_stride, float scale) {
  attend_job job = {ck_selected(), heads, head_width, k_stride, v_stride, scale};
  long work = 0;
  for (long h = 0; h < head_count; h++) work += heads[h].count * head_width * 2;
  const long each = head_count > 0 ? work / head_count : 0;
  ck_parallel(head_count, grain(each), attend_chunk, &job);
}

// MARK: Packed weights

/// Rows that are multiplied with a panel in one piece of work.
#define PRODUCT_ROWS 96

typedef struct {
  ck_product product;
  void (*kernel)(const ck_product *job, long panel, long begin, long end);
  long batch, groups;
} product_job;

static void product_chunk(void *context, long begin, long end) {
  const product_job *job = context;
  for (long piece = begin; piece < end; piece++) {
    const long first = piece % job->groups * PRODUCT_ROWS;
    const long last = first + PRODUCT_ROWS < job->batch ? first + PRODUCT_ROWS : job->batch;
    job->kernel(&job->product, piece / job->groups, first, last);
  }
}

void ck_multiply(
    const float *weights, long outputs, long columns, const float *x, long x_stride, long batch, const float *bias,
    int adding, float *y, long y_stride) {
  if (batch <= 0) return;
  product_job job = {
      {weights, bias, outputs, columns, x, x_stride, adding, y, y_stride},
      ck_selected()->multiply,
      batch,
      (batch + PRODUCT_ROWS - 1) / PRODUCT_ROWS};
  const long rows = batch < PRODUCT_ROWS ? batch : PRODUCT_ROWS;
  ck_parallel((outputs + CK_PANEL - 1) / CK_PANEL * job.groups, grain(rows * columns * CK_PANEL / 8), product_chunk, &job);
}

// MARK: Convolution networks

typedef struct {
  const ck_operations *operations;
  const float *x, *weights, *bias, *alpha, *inverse;
  long columns, dilation;
  float *out;
} columns_job;

static void snake_chunk(void *context, long begin, long end) {
  const columns_job *job = context;
  const long start = begin * job->columns;
  job->operations->snake(job->x + start, job->alpha, job->inverse, end - begin, job->columns, job->out + start);
}

void ck_snake(const float *x, const float *alpha, const float *inverse, long rows, long columns, float *out) {
  columns_job job = {
      .operations = ck_selected(), .x = x, .alpha = alpha, .inverse = inverse, .columns = columns, .out = out};
  ck_parallel(rows, grain(columns * 4), snake_chunk, &job);
}

static void depthwise_chunk(void *context, long begin, long end) {
  const columns_job *job = context;
  const long start = begin * job->columns;
  job->operations->depthwise(
      job->x + start, job->weights, job->bias, job->alpha, job->inverse, end - begin, job->columns, job->dilation,
      job->out + start);
}

void ck_depthwise(
    const float *x, const float *weights, const float *bias, const float *alpha, const float *inverse, long rows,
    long columns, long dilation, float *out) {
  columns_job job = {ck_selected(), x, weights, bias, alpha, inverse, columns, dilation, out};
  ck_parallel(rows, grain(columns * 8), depthwise_chunk, &job);
}

static void scale_chunk(void *context, long begin, long end) {
  const columns_job *job = context;
  const long start = begin * job->columns;
  job->operations->scale_rows(job->x + start, job->weights + begin, end - begin, job->columns, job->out + start);
}

void ck_scale_rows(const float *x, const float *factors, long rows, long columns, float *out) {
  columns_job job = {.operations = ck_selected(), .x = x, .weights = factors, .columns = columns, .out = out};
  ck_parallel(rows, grain(columns), scale_chunk, &job);
}

void ck_tanh(float *x, long count) { ck_selected()->tanh(x, count); }
