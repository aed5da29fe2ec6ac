#include "operations.h"

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
