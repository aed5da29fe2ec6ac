#include "weights.h"

#include <math.h>
#include <string.h>

double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                           : exponent == 0 ? ldexp(fraction, -24)
                                           : ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

double brain_value(uint16_t bits) {
  const int exponent = bits >> 7 & 255, fraction = bits & 127;
  const double magnitude = exponent == 255 ? (fraction ? NAN : INFINITY)
                           : exponent == 0 ? ldexp(fraction, -133)
                                           : ldexp(128 + fraction, exponent - 134);
  return bits & 0x8000 ? -magnitude : magnitude;
}

long block_of(int type) { return type >= CK_Q4_0 ? 32 : 1; }

long block_bytes(int type) {
  static const long bytes[] = {4, 2, 2, 18, 20, 34};
  return bytes[type];
}

const char *type_name(int type) {
  static const char *const names[] = {"f32", "f16", "bf16", "q4_0", "q4_1", "q8_0"};
  return names[type];
}

static uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// A half's bits, of a number that a half holds.
static uint16_t half_of(float x) {
  if (x == 0) return 0;
  const uint32_t bits = float_bits(x);
  return (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 1023));
}

/// A random half of magnitude 2^-9 to 2, at times 0 or subnormal.
static uint16_t random_half(void) {
  const uint32_t bits = random_bits();
  if (bits % 64 == 0) return (uint16_t)(bits >> 16 & 0x83ff);
  return (uint16_t)((bits >> 16 & 0x83ff) | (6 + (bits >> 8) % 10) << 10);
}

static void put(unsigned char *p, uint16_t bits) { memcpy(p, &bits, sizeof bits); }

static void random_block(int type, unsigned char *p, double *values, bool exact) {
  if (type == CK_F32) {
    const float w = exact ? random_whole(8) : random_real(-1, 1);
    memcpy(p, &w, sizeof w);
    values[0] = w;
  } else if (type == CK_F16) {
    const uint16_t bits = exact ? half_of(random_whole(8)) : random_half();
    put(p, bits), values[0] = half_value(bits);
  } else if (type == CK_BF16) {
    const uint16_t bits = (uint16_t)(float_bits(exact ? random_whole(8) : random_real(-1, 1)) >> 16);
    put(p, bits), values[0] = brain_value(bits);
  } else {
    const uint16_t scale = exact ? half_of((float)(1 << random_below(3)) / 4) : random_half();
    const uint16_t minimum = exact ? half_of(random_whole(16) / 4) : random_half();
    put(p, scale), p += 2;
    if (type == CK_Q4_1) put(p, minimum), p += 2;
    for (int i = 0; i < (type == CK_Q8_0 ? 32 : 16); i++) p[i] = (unsigned char)random_bits();
    for (int i = 0; i < 32; i++) {
      const int q = type == CK_Q8_0 ? (signed char)p[i] : i < 16 ? p[i] & 15 : p[i - 16] >> 4;
      values[i] = type == CK_Q4_0   ? (q - 8) * half_value(scale)
                  : type == CK_Q4_1 ? q * half_value(scale) + half_value(minimum)
                                    : q * half_value(scale);
    }
  }
}

weights random_weights(int type, long count, bool exact) {
  const long block = block_of(type), bytes = count / block * block_bytes(type);
  // A few bytes before and behind bring them to any address, whether arrays end at a page's end or begin aligned.
  const long before = random_below(4), behind = random_below(4);
  unsigned char *start = guarded((size_t)(before + bytes + behind));
  const weights all = {start + before, doubles(count)};
  for (long i = 0; i < count / block; i++)
    random_block(type, start + before + i * block_bytes(type), all.values + i * block, exact);
  return all;
}
