#include "operations.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// MARK: Storage

/// Bytes of a block of 32 columns of a group of 16 rows, without its scales.
static long block_bytes(int type) { return type == CK_TILED_Q4 ? 256 : 512; }
static long group_count(long rows) { return (rows + CK_TILE_ROWS - 1) / CK_TILE_ROWS; }

long ck_tiled_bytes(int type, long rows, long columns) {
  return group_count(rows) * (columns / 32) * (block_bytes(type) + 2 * CK_TILE_ROWS);
}

/// The scales follow all weights.
static unsigned char *scales_of(int type, const void *tiles, long rows, long columns) {
  return (unsigned char *)tiles + group_count(rows) * (columns / 32) * block_bytes(type);
}

/// Where a row's four columns of a step lie in a block, and in which half of the byte.
static void store_q8(const signed char *q, long row, unsigned char *block) {
  for (int i = 0; i < 32; i++) block[i / 4 * 64 + row * 4 + i % 4] = (unsigned char)(q[i] + 128);
}
static void store_q4(const signed char *q, long row, unsigned char *block) {
  for (int i = 0; i < 32; i++) {
    unsigned char *byte = &block[i / 8 * 64 + row * 4 + i % 4];
    const int shift = i / 4 % 2 * 4;
    *byte = (unsigned char)((*byte & (0xf0 >> shift)) | (q[i] + 8) << shift);
  }
}

static float round_block(const float *x, float scale, int least, int most, signed char *q) {
  const float inverse = scale != 0 ? 1 / scale : 0;
  float error = 0;
  for (int i = 0; i < 32; i++) {
    float v = nearbyintf(x[i] * inverse);
    v = v > (float)least ? v < (float)most ? v : (float)most : (float)least;  // NaN is `least`
    q[i] = (signed char)v;
    const float off = v * scale - x[i];
    error += off * off;
  }
  return error;
}

/// The scale, and numbers from -127 to 127.
static uint16_t quantize_q8(const float *x, signed char *q) {
  float most = 0;
  for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
  const uint16_t scale = ck_half_bits(most / 127);
  round_block(x, ck_half_value(scale), -127, 127, q);
  return scale;
}

/// The scale, and numbers from -8 to 7. The number of the greatest magnitude may become -8 (then the scale has the other
/// sign) or stay within 7; of a few scales about that, the one with the least squared error is taken.
static uint16_t quantize_q4(const float *x, signed char *q) {
  float most = 0;
  for (int i = 0; i < 32; i++) most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
  uint16_t best = 0;
  float least = INFINITY;
  for (int step = 0; step < 9; step++) {
    const uint16_t scale = ck_half_bits(most / (-8.5f + 0.25f * (float)step));
    signed char rounded[32];
    const float error = round_block(x, ck_half_value(scale), -8, 7, rounded);
    if (error < least) {
      least = error;
      best = scale;
      memcpy(q, rounded, 32);
    }
  }
  if (least == INFINITY) memset(q, 0, 32);
  return best;
}

typedef struct {
  int type;
  const float *x;
  long first, count, rows, columns;
  unsigned char *tiles;
} tile_job;

static void tile_chunk(void *context, long begin, long end) {
  const tile_job *job = context;
  const long blocks = job->columns / 32, bytes = block_bytes(job->type);
  unsigned char *scales = scales_of(job->type, job->tiles, job->rows, job->columns);
  for (long group = begin; group < end; group++) {
    for (long r = 0; r < CK_TILE_ROWS; r++) {
      const long row = group * CK_TILE_ROWS + r;  // of x
      const long place = job->first / CK_TILE_ROWS + group;
      for (long block = 0; block < blocks; block++) {
        signed char q[32] = {0};
        uint16_t scale = 0;
        if (row < job->count) {
          const float *x = job->x + row * job->columns + block * 32;
          scale = job->type == CK_TILED_Q4 ? quantize_q4(x, q) : quantize_q8(x, q);
        }
        unsigned char *out = job->tiles + (place * blocks + block) * bytes;
        if (job->type == CK_TILED_Q4) store_q4(q, r, out);
        else store_q8(q, r, out);
        memcpy(scales + ((place * blocks + block) * CK_TILE_ROWS + r) * 2, &scale, 2);
      }
    }
  }
}

void ck_tile(int type, const float *x, long first, long count, long rows, long columns, void *tiles) {
  tile_job job = {type, x, first, count, rows, columns, tiles};
  ck_parallel(group_count(count), grain(columns * CK_TILE_ROWS * 8), tile_chunk, &job);
}

void ck_untile(int type, const void *tiles, long rows, long columns, long first, long count, float *out) {
  const long blocks = columns / 32, bytes = block_bytes(type);
  const unsigned char *scales = scales_of(type, tiles, rows, columns);
  for (long row = first; row < first + count; row++) {
    const long group = row / CK_TILE_ROWS, r = row % CK_TILE_ROWS;
    for (long block = 0; block < blocks; block++) {
      const unsigned char *p = (const unsigned char *)tiles + (group * blocks + block) * bytes;
      uint16_t half;
      memcpy(&half, scales + ((group * blocks + block) * CK_TILE_ROWS + r) * 2, 2);
      const float scale = ck_half_value(half);
      for (int i = 0; i < 32; i++)
        *out++ = scale * (float)(type == CK_TILED_Q4 ? (p[i / 8 * 64 + r * 4 + i % 4] >> i / 4 % 2 * 4 & 15) - 8
                                                     : p[i / 4 * 64 + r * 4 + i % 4] - 128);
    }
  }
}

// MARK: Products

typedef struct {
  const ck_operations *operations;
  const float *x;
  long x_stride, columns;
  ck_quantized out;
} quantize_job;

static void quantize_chunk(void *context, long begin, long end) {
  const quantize_job *job = context;
  const long blocks = job->columns / 32;
  for (long r = begin; r < end; r++)
    job->operations->quantize_row(
        job->x + r * job->x_stride, job->columns, job->out.values + r * job->columns, job->out.scales + r * blocks,
        job->out.sums + r * blocks);
}

void ck_quantize_rows(const float *x, long x_stride, long rows, long columns, ck_quantized out) {
  quantize_job job = {ck_selected(), x, x_stride, columns, out};
  ck_parallel(rows, grain(columns), quantize_chunk, &job);
}

/// Groups of 16 rows of weights that are one piece of work.
#define PIECE_GROUPS 4

typedef struct {
  ck_tiled_product product;
  void (*kernel)(const ck_tiled_product *job, long group, long last, long begin, long end);
  long first_group, last_group, batch, piece_rows, pieces;
} tiled_job;

static void tiled_chunk(void *context, long begin, long end) {
  const tiled_job *job = context;
  for (long piece = begin; piece < end; piece++) {
    const long group = job->first_group + piece / job->pieces * PIECE_GROUPS;
    const long last = group + PIECE_GROUPS < job->last_group ? group + PIECE_GROUPS : job->last_group;
    const long first = piece % job->pieces * job->piece_rows;
    const long end_row = first + job->piece_rows < job->batch ? first + job->piece_rows : job->batch;
    job->kernel(&job->product, group, last, first, end_row);
  }
}

void ck_multiply_tiled(
    int type, const void *tiles, long rows, long columns, long first, long count, ck_quantized x, long batch,
    const float *bias, int adding, float *y, long y_stride) {
  if (batch <= 0 || count <= 0) return;
  tiled_job job = {
      .product = {tiles, scales_of(type, tiles, rows, columns), columns, first, count, x, bias, adding, y, y_stride},
      .kernel = ck_selected()->tiled[type == CK_TILED_Q4],
      .first_group = first / CK_TILE_ROWS,
      .last_group = (first + count + CK_TILE_ROWS - 1) / CK_TILE_ROWS,
      .batch = batch};
  // So many inputs that they stay near while groups of weights pass.
  const long near = (256 << 10) / columns / 12 * 12;
  job.piece_rows = near < 24 ? 24 : near;
  job.pieces = (batch + job.piece_rows - 1) / job.piece_rows;
  const long groups = (job.last_group - job.first_group + PIECE_GROUPS - 1) / PIECE_GROUPS;
  ck_parallel(
      groups * job.pieces, grain(columns * CK_TILE_ROWS * PIECE_GROUPS * (batch < job.piece_rows ? batch : job.piece_rows) / 4),
      tiled_chunk, &job);
}
