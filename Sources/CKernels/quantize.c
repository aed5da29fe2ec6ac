#include "operations.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// Floats to weights. It runs once, when a model is loaded; every path gets the same bytes.

/// The bits of the nearest half; IEEE 754, ties to even.
uint16_t ck_half_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves the rounded number in the last bits
    float shifted;
    memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    memcpy(&bits, &shifted, sizeof bits);
    return (uint16_t)(sign | (bits - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

float ck_half_value(uint16_t bits) {
  const uint32_t magnitude = (uint32_t)(bits & 0x7fff) << 13;
  float value;
  memcpy(&value, &magnitude, sizeof value);
  value *= 0x1p112f;  // moves the exponent's bias; right for subnormals too
  uint32_t all;
  memcpy(&all, &value, sizeof all);
  if (magnitude >= 0x0f800000) all |= 0x7f800000;
  all |= (uint32_t)(bits & 0x8000) << 16;
  memcpy(&value, &all, sizeof value);
  return value;
}

static uint16_t brain_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void quantize_block(const float *x, unsigned char *out) {
  float most = 0;
  for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
  const uint16_t scale = ck_half_bits(most / 127);
  memcpy(out, &scale, sizeof scale);
  const float inverse = most > 0 ? 127 / most : 0;
  for (int i = 0; i < 32; i++) out[2 + i] = (unsigned char)(signed char)lrintf(x[i] * inverse);
}

typedef struct {
  int type;
  const float *x;
  long count;
  unsigned char *out;
} quantize_job;

/// Chunks of 1024 numbers.
static void quantize_chunk(void *context, long begin, long end) {
  const quantize_job *job = context;
  const long first = begin * 1024, last = end * 1024 < job->count ? end * 1024 : job->count;
  switch (job->type) {
  case CK_F32: memcpy(job->out + first * 4, job->x + first, (size_t)(last - first) * 4); break;
  case CK_F16:
    for (long i = first; i < last; i++) {
      const uint16_t bits = ck_half_bits(job->x[i]);
      memcpy(job->out + i * 2, &bits, sizeof bits);
    }
    break;
  case CK_BF16:
    for (long i = first; i < last; i++) {
      const uint16_t bits = brain_bits(job->x[i]);
      memcpy(job->out + i * 2, &bits, sizeof bits);
    }
    break;
  case CK_Q8_0:
    for (long i = first; i + 32 <= last; i += 32) quantize_block(job->x + i, job->out + i / 32 * 34);
    break;
  default: break;
  }
}

void ck_quantize(int type, const float *x, long count, void *out) {
  quantize_job job = {type, x, count, out};
  ck_parallel((count + 1023) / 1024, 16, quantize_chunk, &job);
}
