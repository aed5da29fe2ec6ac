#include "operations.h"

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
