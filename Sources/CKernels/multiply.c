#include "operations.h"

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

// MARK: Weights as stored

/// Rows of x that are multiplied with a panel in one piece of work; expanding the panel should not weigh beside it.
#define STORED_ROWS 516

typedef struct {
  ck_stored_product product;
  void (*kernel)(const ck_stored_product *job, long panel, long begin, long end);
  long batch, pieces;
} stored_job;

static void stored_chunk(void *context, long begin, long end) {
  const stored_job *job = context;
  for (long piece = begin; piece < end; piece++) {
    const long first = piece % job->pieces * STORED_ROWS;
    const long last = first + STORED_ROWS < job->batch ? first + STORED_ROWS : job->batch;
    job->kernel(&job->product, piece / job->pieces, first, last);
  }
}

void ck_multiply_stored(
    int type, const void *weights, long outputs, long columns, const float *x, long x_stride, long batch,
    const float *bias, int adding, float *y, long y_stride) {
  if (batch <= 0) return;
  const ck_operations *operations = ck_selected();
  stored_job job = {
      {operations->dequantize[type], weights, ck_block_count(type), ck_block_bytes(type), bias, outputs, columns, x, x_stride,
       adding, y, y_stride},
      operations->multiply_stored,
      batch,
      (batch + STORED_ROWS - 1) / STORED_ROWS};
  const long rows = batch < STORED_ROWS ? batch : STORED_ROWS;
  ck_parallel((outputs + CK_PANEL - 1) / CK_PANEL * job.pieces, grain(rows * columns * CK_PANEL / 8), stored_chunk, &job);
}
