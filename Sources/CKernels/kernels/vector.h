// Vectors of W floats for the path that includes this file. A path defines W and, where it has them, HAS_FMA (fused
// multiply-add), HAS_HALF (conversion from 16-bit floats), HAS_VNNI (products of bytes) and HAS_BRAIN (products of bf16).

#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/// Loops over a tile are unrolled, so that its sums are registers and no array.
#define EACH(I, COUNT) _Pragma("unroll") for (int I = 0; I < COUNT; I++)

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef uint16_t vh __attribute__((vector_size(W * 2)));
typedef uint8_t vb __attribute__((vector_size(W)));
typedef int8_t vc __attribute__((vector_size(W)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

INLINE vf vf_load(const float *p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE void vf_store(float *p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
/// The first `count` floats, zeros behind them; all W if there are more.
INLINE vf vf_load_some(const float *p, long count) {
  if (count >= W) return vf_load(p);
  float lanes[W] = {0};
  for (long i = 0; i < count; i++) lanes[i] = p[i];
  return vf_load(lanes);
}
INLINE void vf_store_some(float *p, vf v, long count) {
  if (count >= W) {
    vf_store(p, v);
    return;
  }
  float lanes[W];
  vf_store(lanes, v);
  for (long i = 0; i < count; i++) p[i] = lanes[i];
}
INLINE vf vf_all(float x) { return x - (vf){0}; }

/// a where the mask's lanes are set, b elsewhere.
INLINE vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

INLINE vf vf_fma(vf a, vf b, vf c) {
#ifdef HAS_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// The sum of all lanes, halves added pairwise.
INLINE float vf_sum(vf v) {
  float lanes[W];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (int step = W / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
}
INLINE float vf_max(vf v) {
  float lanes[W];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (int step = W / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] = lanes[i] > lanes[i + step] ? lanes[i] : lanes[i + step];
  return lanes[0];
}

/// W half-precision floats from any address.
INLINE vf vf_half(const unsigned char *p) {
#ifdef HAS_HALF
  typedef _Float16 half __attribute__((vector_size(W * 2)));
  half h;
  __builtin_memcpy(&h, p, sizeof h);
  return __builtin_convertvector(h, vf);
#else
  vh h;
  __builtin_memcpy(&h, p, sizeof h);
  vu bits = __builtin_convertvector(h, vu);
  vu magnitude = (bits & 0x7fff) << 13;
  vf value = (vf)magnitude * 0x1p112f;  // moves the exponent's bias; right for subnormals too
  vu infinite = (vu)(magnitude >= 0x0f800000u) & 0x7f800000u;
  return (vf)((vu)value | infinite | (bits & 0x8000) << 16);
#endif
}
INLINE float one_half(const unsigned char *p) {
  unsigned char padded[W * 2] = {p[0], p[1]};
  return vf_half(padded)[0];
}
INLINE vf vf_brain(const unsigned char *p) {
  vh h;
  __builtin_memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}

/// Vector `i` of the 16 bytes' low or high nibbles, bytes in order.
INLINE vf vf_bytes(bytes16 all, int i) {
  vb part;
  __builtin_memcpy(&part, (const unsigned char *)&all + i * W, sizeof part);
  return __builtin_convertvector(part, vf);
}
INLINE vf vf_signed(const unsigned char *p) {
  vc part;
  __builtin_memcpy(&part, p, sizeof part);
  return __builtin_convertvector(part, vf);
}

/// e to the x to within 2 units in the last place; 0 below -87, capped above 88.
INLINE vf vf_exp(vf x) {
  x = vf_select(x < -87.3f, vf_all(-87.3f), x);
  x = vf_select(x > 88.0f, vf_all(88.0f), x);
  // x = n ln 2 + r; ln 2 in two parts keeps r exact. Adding and subtracting 1.5 * 2^23 rounds.
  vf n = vf_fma(x, vf_all(1.44269504f), vf_all(12582912.0f)) - 12582912.0f;
  vf r = vf_fma(n, vf_all(-0.693359375f), x);
  r = vf_fma(n, vf_all(2.12194440e-4f), r);
  // A least-squares fit of (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, weighted for relative error (4e-9).
  vf p = vf_all(1.375138214e-03f);
  p = vf_fma(p, r, vf_all(8.368923427e-03f));
  p = vf_fma(p, r, vf_all(4.166953422e-02f));
  p = vf_fma(p, r, vf_all(1.666651840e-01f));
  p = vf_fma(p, r, vf_all(4.999998859e-01f));
  vf result = vf_fma(p * r, r, r) + 1.0f;
  vi exponent = (__builtin_convertvector(n, vi) + 127) << 23;
  return result * (vf)exponent;
}

/// The square of the sine, to within 3e-7 while |x| is below 10,000; beyond, something from 0 to 1.
INLINE vf vf_square_sine(vf x) {
  // It repeats every pi = two parts: x = n pi + r with |r| <= pi / 2.
  vf n = vf_fma(x, vf_all(0.318309886f), vf_all(12582912.0f)) - 12582912.0f;
  vf r = vf_fma(n, vf_all(-3.140625f), x);
  r = vf_fma(n, vf_all(-9.67653590e-4f), r);
  vf u = r * r;
  u = vf_select(u > 2.4674011f, vf_all(2.4674011f), u);
  // A least-squares fit of (sin^2 r - u) / u^2 in u = r^2 (1e-8).
  vf p = vf_all(-3.577485586e-06f);
  p = vf_fma(p, u, vf_all(1.389997924e-04f));
  p = vf_fma(p, u, vf_all(-3.171592485e-03f));
  p = vf_fma(p, u, vf_all(4.444241896e-02f));
  p = vf_fma(p, u, vf_all(-3.333328366e-01f));
  return vf_fma(p * u, u, u);
}
