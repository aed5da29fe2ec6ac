// Quantized weights in tiles times quantized vectors: integer products, exact, scaled block by block.

/// Four products a lane, added to the sums: bytes of `w`, unsigned, with the four signed bytes in each lane of `x`.
///
/// `dot_bytes` takes any bytes and means w - 128; its sums begin at `dot_start`, which is -128 times the sum of x where an
/// instruction takes w as it is. `dot_nibbles` takes bytes up to 15.
#if defined(HAS_VNNI)
INLINE vi dot_bytes(vi sum, vi w, vi x) { return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x); }
#define dot_nibbles dot_bytes
#define BYTES_OFFSET (-128)
#elif W == 16
INLINE vi dot_bytes(vi sum, vi w, vi x) {
  // No instruction takes signed with signed bytes: the sign moves from x to w. 2 * 128 * 127 fits 16 bits.
  const __m512i signed_w = _mm512_xor_si512((__m512i)w, _mm512_set1_epi8(-128));
  const __m512i moved =
      _mm512_mask_sub_epi8(signed_w, _mm512_movepi8_mask((__m512i)x), _mm512_setzero_si512(), signed_w);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8((__m512i)x), moved);
  return sum + (vi)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}
INLINE vi dot_nibbles(vi sum, vi w, vi x) {
  return sum + (vi)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)w, (__m512i)x), _mm512_set1_epi16(1));
}
#define BYTES_OFFSET 0
#elif defined(__x86_64__) && W == 8
INLINE vi dot_bytes(vi sum, vi w, vi x) {
  const __m256i signed_w = _mm256_xor_si256((__m256i)w, _mm256_set1_epi8(-128));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)x), _mm256_sign_epi8(signed_w, (__m256i)x));
  return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
INLINE vi dot_nibbles(vi sum, vi w, vi x) {
  return sum + (vi)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)w, (__m256i)x), _mm256_set1_epi16(1));
}
#define BYTES_OFFSET 0
#elif defined(__aarch64__) && defined(HAS_FMA)
INLINE vi dot_signed(vi sum, int8x16_t w, int8x16_t x) {
#if defined(__ARM_FEATURE_DOTPROD)
  return (vi)vdotq_s32((int32x4_t)sum, w, x);
#else
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
  return sum + (vi)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#endif
}
INLINE vi dot_bytes(vi sum, vi w, vi x) {
  return dot_signed(sum, veorq_s8((int8x16_t)w, vdupq_n_s8(-128)), (int8x16_t)x);
}
INLINE vi dot_nibbles(vi sum, vi w, vi x) { return dot_signed(sum, (int8x16_t)w, (int8x16_t)x); }
#define BYTES_OFFSET 0
#else
INLINE vi dot_bytes(vi sum, vi w, vi x) {
  for (int i = 0; i < 4; i++) sum += (vi)((vu)w << (24 - 8 * i) >> 24) * ((vi)((vu)x << (24 - 8 * i)) >> 24);
  return sum;
}
#define dot_nibbles dot_bytes
#define BYTES_OFFSET (-128)
#endif

INLINE vi vi_load(const void *p) {
  vi v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
/// The four bytes at p in every lane.
INLINE vi vi_all_bytes(const signed char *p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return four - (vi){0};
}

/// Vectors of a group of 16 rows.
#define GROUP_VECTORS (CK_TILE_ROWS / W)

/// A tile's sums take two registers for each vector of rows and input: W == 16 has 32 registers of such vectors, the
/// others 16 (NEON 32).
#if W == 16
#define TILED_GROUPS 2
#define TILED_BATCH 6
#else
#define TILED_GROUPS 1
#define TILED_BATCH 2
#endif

/// With so few inputs memory takes the time, not arithmetic, and it is read fastest in one stream: a group at a time.
#define STREAMED_BATCH 4

/// Groups [group, group + groups) times `batch` inputs from `first` on.
INLINE void tiled_tile(
    const ck_tiled_product *job, long group, long first, const int groups, const int batch, const int is_nibbles) {
  const long blocks = job->columns / 32, columns = job->columns;
  const int bytes = is_nibbles ? 256 : 512;
  const unsigned char *weights = job->weights + group * blocks * bytes;
  const unsigned char *scales = job->scales + group * blocks * 2 * CK_TILE_ROWS;
  const signed char *x = job->x.values + first * columns;
  const float *x_scales = job->x.scales + first * blocks;
  const int *x_sums = job->x.sums + first * blocks;
  vf sum[TILED_BATCH][TILED_GROUPS * GROUP_VECTORS];
  EACH(b, batch) EACH(v, groups * GROUP_VECTORS) sum[b][v] = vf_all(0);
  for (long block = 0; block < blocks; block++) {
    vi part[TILED_BATCH][TILED_GROUPS * GROUP_VECTORS];
    EACH(b, batch) {
      const vi start = (is_nibbles ? -8 : BYTES_OFFSET) * x_sums[b * blocks + block] - (vi){0};
      EACH(v, groups * GROUP_VECTORS) part[b][v] = start;
    }
    if (is_nibbles) {
      EACH(pair, 4) {
        vi low[TILED_GROUPS * GROUP_VECTORS], high[TILED_GROUPS * GROUP_VECTORS];
        EACH(g, groups) EACH(v, GROUP_VECTORS) {
          const vi both = vi_load(weights + (g * blocks + block) * 256 + pair * 64 + v * 4 * W);
          low[g * GROUP_VECTORS + v] = both & 0x0f0f0f0f;
          high[g * GROUP_VECTORS + v] = (vi)((vu)both >> 4) & 0x0f0f0f0f;
        }
        EACH(b, batch) {
          const vi x0 = vi_all_bytes(x + b * columns + block * 32 + pair * 8);
          const vi x1 = vi_all_bytes(x + b * columns + block * 32 + pair * 8 + 4);
          EACH(v, groups * GROUP_VECTORS) part[b][v] = dot_nibbles(part[b][v], low[v], x0);
          EACH(v, groups * GROUP_VECTORS) part[b][v] = dot_nibbles(part[b][v], high[v], x1);
        }
      }
    } else {
      EACH(step, 8) {
        vi w[TILED_GROUPS * GROUP_VECTORS];
        EACH(g, groups) EACH(v, GROUP_VECTORS)
          w[g * GROUP_VECTORS + v] = vi_load(weights + (g * blocks + block) * 512 + step * 64 + v * 4 * W);
        EACH(b, batch) {
          const vi four = vi_all_bytes(x + b * columns + block * 32 + step * 4);
          EACH(v, groups * GROUP_VECTORS) part[b][v] = dot_bytes(part[b][v], w[v], four);
        }
      }
    }
    vf scale[TILED_GROUPS * GROUP_VECTORS];
    EACH(g, groups) EACH(v, GROUP_VECTORS)
      scale[g * GROUP_VECTORS + v] = vf_half(scales + ((g * blocks + block) * CK_TILE_ROWS + v * W) * 2);
    EACH(b, batch) {
      const vf x_scale = vf_all(x_scales[b * blocks + block]);
      EACH(v, groups * GROUP_VECTORS)
        sum[b][v] = vf_fma(__builtin_convertvector(part[b][v], vf), scale[v] * x_scale, sum[b][v]);
    }
  }
  // Rows of y before the first or behind the last that are wanted come from the same groups.
  const long row = group * CK_TILE_ROWS - job->first_row;
  EACH(b, batch) EACH(v, groups * GROUP_VECTORS) {
    const long r = row + v * W;
    float *y = job->y + (first + b) * job->y_stride + r;
    if (r >= 0 && r + W <= job->rows) {
      vf result = sum[b][v];
      if (job->bias) result += vf_load(job->bias + r);
      if (job->adding) result += vf_load(y);
      vf_store(y, result);
    } else {
      float lanes[W];
      vf_store(lanes, sum[b][v]);
      for (int i = 0; i < W; i++)
        if (r + i >= 0 && r + i < job->rows)
          y[i] = lanes[i] + (job->bias ? job->bias[r + i] : 0) + (job->adding ? y[i] : 0);
    }
  }
}

#define TILED_PRODUCT(NAME, IS_NIBBLES)                                                                  \
  INLINE void NAME##_groups(const ck_tiled_product *job, long group, long begin, long end, const int groups) { \
    long b = begin;                                                                                      \
    for (; b + TILED_BATCH <= end; b += TILED_BATCH) tiled_tile(job, group, b, groups, TILED_BATCH, IS_NIBBLES); \
    if (TILED_BATCH > 4 && b + 4 <= end) tiled_tile(job, group, b, groups, TILED_BATCH > 4 ? 4 : 1, IS_NIBBLES), b += 4; \
    if (TILED_BATCH > 2 && b + 2 <= end) tiled_tile(job, group, b, groups, 2, IS_NIBBLES), b += 2;       \
    if (b < end) tiled_tile(job, group, b, groups, 1, IS_NIBBLES);                                       \
  }                                                                                                      \
  static void NAME(const ck_tiled_product *job, long group, long last, long begin, long end) {           \
    for (; end - begin > STREAMED_BATCH && group + TILED_GROUPS <= last; group += TILED_GROUPS)          \
      NAME##_groups(job, group, begin, end, TILED_GROUPS);                                               \
    for (; group < last; group++) NAME##_groups(job, group, begin, end, 1);                              \
  }
TILED_PRODUCT(tiled_q8, 0)
TILED_PRODUCT(tiled_q4, 1)

/// Floats to signed bytes, block by block: scale = greatest magnitude / 127.
static void quantize_row(const float *x, long columns, signed char *values, float *scales, int *sums) {
  for (long block = 0; block < columns / 32; block++, x += 32, values += 32) {
    vf most = vf_all(0);
    for (int i = 0; i < 32 / W; i++) {
      const vf v = vf_load(x + i * W), magnitude = vf_select(v < 0, -v, v);
      most = vf_select(magnitude > most, magnitude, most);
    }
    const float greatest = vf_max(most);
    const float inverse = greatest > 1e-30f ? 127 / greatest : 0;
    vi total = (vi){0};
    for (int i = 0; i < 32 / W; i++) {
      // Adding and subtracting 1.5 * 2^23 rounds to the nearest, even ones first.
      const vf rounded = vf_load(x + i * W) * inverse + 12582912.0f - 12582912.0f;
      // NaN, of NaN and of infinities, is no number of the range, and becomes the least.
      const vi q = __builtin_convertvector(vf_select(rounded > -127, rounded, vf_all(-127)), vi);
      total += q;
      const vc narrow = __builtin_convertvector(q, vc);
      __builtin_memcpy(values + i * W, &narrow, sizeof narrow);
    }
    int lanes[W], sum = 0;
    __builtin_memcpy(lanes, &total, sizeof total);
    for (int i = 0; i < W; i++) sum += lanes[i];
    scales[block] = greatest / 127;
    sums[block] = sum;
  }
}
