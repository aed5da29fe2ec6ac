#include "operations.h"

// In chunks of 64 floats, so that no chunk leaves a tail in the middle.

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
