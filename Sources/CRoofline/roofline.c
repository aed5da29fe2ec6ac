#include "CRoofline.h"

// Sums that are independent of each other, enough to hide an instruction's latency behind others.
#define CHAINS 12

// A loop of CHAINS multiply-adds; `operations` are those of one of them.
#define MULTIPLY_LOOP(vector, zero, step, operations)                     \
  vector sums[CHAINS];                                                    \
  for (int i = 0; i < CHAINS; i++) sums[i] = zero;                        \
  for (long round = 0; round < rounds; round++) {                         \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++) { \
      sums[i] = step;                                                     \
      __asm__ volatile("" : "+" ROOFLINE_REGISTER(sums[i]));              \
    }                                                                     \
  }                                                                       \
  return (double)rounds * CHAINS * operations

// Four streams at once: one alone does not keep memory busy.
#define READ_LOOP(vector)                                                                                     \
  const size_t part = count / 4;                                                                              \
  const char *from = start;                                                                                   \
  vector sums[4] = {{0}};                                                                                     \
  for (size_t at = 0; at < part; at += 2 * sizeof(vector))                                                    \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) sums[i] +=                                 \
        *(const vector *)(from + i * part + at) + *(const vector *)(from + i * part + at + sizeof(vector));   \
  vector sum = sums[0] + sums[1] + sums[2] + sums[3];                                                         \
  long total = 0;                                                                                             \
  for (unsigned long i = 0; i < sizeof(vector) / sizeof(long); i++) total ^= (long)sum[i];                    \
  return total

#if defined(__x86_64__)
#include <immintrin.h>
#define ROOFLINE_REGISTER(value) "v"(value)

typedef long long longs8 __attribute__((vector_size(64)));
typedef long long longs4 __attribute__((vector_size(32)));
typedef long long longs2 __attribute__((vector_size(16)));

__attribute__((target("avx512f"))) static double fp32_avx512(long rounds) {
  __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  MULTIPLY_LOOP(__m512, b, _mm512_fmadd_ps(sums[i], a, b), 32);
}

__attribute__((target("avx512f,avx512bf16"))) static double bf16_avx512(long rounds) {
  __m512bh a = (__m512bh)_mm512_set1_epi32(0x3a803a80);
  MULTIPLY_LOOP(__m512, _mm512_setzero_ps(), _mm512_dpbf16_ps(sums[i], a, a), 64);
}

__attribute__((target("avx512f,avx512vnni"))) static double int8_avx512(long rounds) {
  __m512i a = _mm512_set1_epi8(1);
  MULTIPLY_LOOP(__m512i, _mm512_setzero_si512(), _mm512_dpbusd_epi32(sums[i], a, a), 128);
}

__attribute__((target("avx2,fma"))) static double fp32_avx2(long rounds) {
  __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  MULTIPLY_LOOP(__m256, b, _mm256_fmadd_ps(sums[i], a, b), 16);
}

// Without VNNI, int8 products take three instructions, of which no two rounds' are the same to the compiler.
__attribute__((target("avx2"))) static __m256i int8_step(__m256i sum, __m256i a, __m256i ones) {
  __asm__ volatile("" : "+" ROOFLINE_REGISTER(a));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), ones));
}

__attribute__((target("avx2"))) static double int8_avx2(long rounds) {
  __m256i a = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
  MULTIPLY_LOOP(__m256i, _mm256_setzero_si256(), int8_step(sums[i], a, ones), 64);
}

static double fp32_portable(long rounds) {
  __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(0.001f);
  MULTIPLY_LOOP(__m128, b, _mm_add_ps(_mm_mul_ps(sums[i], a), b), 8);
}

double roofline_multiply(int kind, long rounds) {
  __builtin_cpu_init();
  int has_avx512 = __builtin_cpu_supports("avx512f"), has_avx2 = __builtin_cpu_supports("avx2");
  switch (kind) {
    case ROOFLINE_FP32:
      if (has_avx512) return fp32_avx512(rounds);
      return has_avx2 && __builtin_cpu_supports("fma") ? fp32_avx2(rounds) : fp32_portable(rounds);
    case ROOFLINE_BF16: return __builtin_cpu_supports("avx512bf16") ? bf16_avx512(rounds) : 0;
    case ROOFLINE_INT8:
      if (__builtin_cpu_supports("avx512vnni")) return int8_avx512(rounds);
      return has_avx2 ? int8_avx2(rounds) : 0;
    default: return 0;
  }
}

__attribute__((target("avx512f"))) static long read_avx512(const void *start, size_t count) { READ_LOOP(longs8); }
__attribute__((target("avx2"))) static long read_avx2(const void *start, size_t count) { READ_LOOP(longs4); }
static long read_portable(const void *start, size_t count) { READ_LOOP(longs2); }

long roofline_read(const void *start, size_t count) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return read_avx512(start, count);
  return __builtin_cpu_supports("avx2") ? read_avx2(start, count) : read_portable(start, count);
}

#else

typedef float floats4 __attribute__((vector_size(16)));
typedef long long longs2 __attribute__((vector_size(16)));
#if defined(__aarch64__)
#define ROOFLINE_REGISTER(value) "w"(value)
#else
#define ROOFLINE_REGISTER(value) "m"(value)
#endif

static double fp32_portable(long rounds) {
  floats4 a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {0.001f, 0.001f, 0.001f, 0.001f};
  MULTIPLY_LOOP(floats4, b, sums[i] * a + b, 8);
}

double roofline_multiply(int kind, long rounds) { return kind == ROOFLINE_FP32 ? fp32_portable(rounds) : 0; }

long roofline_read(const void *start, size_t count) { READ_LOOP(longs2); }

#endif
