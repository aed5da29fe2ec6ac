#include "operations.h"

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
