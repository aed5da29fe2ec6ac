#include "operations.h"

#include <stdint.h>

int ck_has_brain_products(void) { return ck_selected()->multiply_brains != 0; }

typedef struct {
  void (*kernel)(const float *x, long count, uint16_t *out);
  const float *x;
  long x_stride, columns;
  uint16_t *out;
} round_job;

static void round_chunk(void *context, long begin, long end) {
  const round_job *job = context;
  for (long r = begin; r < end; r++) job->kernel(job->x + r * job->x_stride, job->columns, job->out + r * job->columns);
}

void ck_round_rows(const float *x, long x_stride, long rows, long columns, uint16_t *out) {
  round_job job = {ck_selected()->round_row, x, x_stride, columns, out};
  if (job.kernel) ck_parallel(rows, grain(columns), round_chunk, &job);
}

// MARK: Products

/// Rows of x that are multiplied with a panel in one piece of work; packing the panel should not weigh beside it.
#define PIECE_ROWS 516

typedef struct {
  ck_brain_product product;
  void (*kernel)(const ck_brain_product *job, long panel, long begin, long end);
  long batch, pieces;
} brain_job;

static void brain_chunk(void *context, long begin, long end) {
  const brain_job *job = context;
  for (long piece = begin; piece < end; piece++) {
    const long first = piece % job->pieces * PIECE_ROWS;
    const long last = first + PIECE_ROWS < job->batch ? first + PIECE_ROWS : job->batch;
    job->kernel(&job->product, piece / job->pieces, first, last);
  }
}

void ck_multiply_brains(
    const void *weights, long outputs, long columns, const uint16_t *x, long x_stride, long batch, const float *bias,
    int adding, float *y, long y_stride) {
  brain_job job = {
      {weights, bias, outputs, columns, x, x_stride, adding, y, y_stride},
      ck_selected()->multiply_brains,
      batch,
      (batch + PIECE_ROWS - 1) / PIECE_ROWS};
  if (batch <= 0 || !job.kernel) return;
  const long rows = batch < PIECE_ROWS ? batch : PIECE_ROWS;
  ck_parallel((outputs + 63) / 64 * job.pieces, grain(rows * columns * 64 / 16), brain_chunk, &job);
}

static void brain_rows_chunk(void *context, long begin, long end) {
  const brain_job *job = context;
  ck_selected()->brain_rows(&job->product, begin, end, job->batch);
}

void ck_matvec_brains(
    const void *weights, long outputs, long columns, const uint16_t *x, long x_stride, long batch, const float *bias,
    float *y, long y_stride) {
  if (!ck_has_brain_products()) return;
  for (long first = 0; first < batch; first += 8) {
    brain_job job = {
        .product = {weights, bias, outputs, columns, x + first * x_stride, x_stride, 0, y + first * y_stride, y_stride},
        .batch = batch - first < 8 ? batch - first : 8};
    ck_parallel(outputs, grain(columns / 2), brain_rows_chunk, &job);
  }
}

// MARK: Attention

/// Queries of one head that are one piece of work.
#define PIECE_QUERIES 96

static long even(long width) { return (width + 1) / 2 * 2; }
static long packed_keys(const ck_attention *a) { return (a->keys + 63) / 64 * 64 * even(a->head_width); }
static long packed_values(const ck_attention *a) {
  return (a->head_width + 63) / 64 * ((a->keys + 1) / 2) * 128;
}

int ck_attends_brains(const ck_attention *a) {
  return ck_selected()->attend_brains && a->keys <= CK_ATTENTION_KEYS && a->head_width <= 256;
}

long ck_attention_memory(const ck_attention *a) { return a->key_heads * (packed_keys(a) + packed_values(a)); }

typedef struct {
  const ck_attention *attention;
  const ck_operations *operations;
  uint16_t *memory;
  long pieces;
} attention_job;

static void pack_chunk(void *context, long begin, long end) {
  const attention_job *job = context;
  const ck_attention *a = job->attention;
  for (long head = begin; head < end; head++) {
    uint16_t *keys = job->memory + head * (packed_keys(a) + packed_values(a));
    const long offset = head * a->key_head_stride;
    job->operations->pack_keys(a->k + offset, a->key_stride, a->keys, a->head_width, keys);
    job->operations->pack_values(a->v + offset, a->key_stride, a->keys, a->head_width, keys + packed_keys(a));
  }
}

static void attention_chunk(void *context, long begin, long end) {
  const attention_job *job = context;
  const ck_attention *a = job->attention;
  const long shared = a->heads / a->key_heads;
  for (long piece = begin; piece < end; piece++) {
    const long head = piece / job->pieces, first = piece % job->pieces * PIECE_QUERIES;
    const long last = first + PIECE_QUERIES < a->queries ? first + PIECE_QUERIES : a->queries;
    const uint16_t *keys = job->memory + head / shared * (packed_keys(a) + packed_values(a));
    const ck_brain_head one = {
        .q = a->q + head / shared * a->query_group_stride + head % shared * a->head_width,
        .q_stride = a->query_stride,
        .k = keys,
        .v = keys + packed_keys(a),
        .out = a->out + head * a->head_width,
        .out_stride = a->out_stride,
        .keys = a->keys,
        .width = a->head_width,
        .scale = a->scale,
        .first_valid = a->causal ? a->keys - a->queries + 1 : a->keys,
        .step = a->causal ? 1 : 0};
    job->operations->attend_brains(&one, first, last);
  }
}

void ck_attend_brains(const ck_attention *a, uint16_t *memory) {
  if (!ck_attends_brains(a) || a->queries <= 0 || a->keys <= 0) return;
  attention_job job = {a, ck_selected(), memory, (a->queries + PIECE_QUERIES - 1) / PIECE_QUERIES};
  ck_parallel(a->key_heads, 1, pack_chunk, &job);
  ck_parallel(a->heads * job.pieces, 1, attention_chunk, &job);
}
