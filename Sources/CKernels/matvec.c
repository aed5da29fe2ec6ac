#include "operations.h"

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
  expand_job job = {ck_selected()->dequantize[type], weights, ck_block_bytes(type), ck_block_count(type), count, out};
  ck_parallel((count + 255) / 256, 128, expand_chunk, &job);
}
