// Products of bf16 numbers with 32-bit sums, two products a lane. Every element is summed from the first column to the
// last, so results do not depend on how the work is split.

#if defined(HAS_BRAIN)

typedef __bf16 brains __attribute__((vector_size(64)));

INLINE vf dot_brains(vf sum, vi w, vi x) { return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x); }
/// W floats to as many bf16, ties to even.
INLINE vh round_brains(vf v) { return (vh)_mm512_cvtneps_pbh((__m512)v); }

/// Rows of x that a tile takes: six and four vectors of outputs fill the registers.
#define BRAIN_ROWS 6

/// y (+)= w x for a panel of 64 outputs, packed as pairs of columns: [columns / 2, 64, 2].
INLINE void brain_tile(
    const uint16_t *panel, long pairs, const uint16_t *x, long x_stride, const float *start, float *y, long y_stride,
    long outputs, const int rows, const int adding) {
  vf sum[BRAIN_ROWS][4];
  if (adding && outputs == 64) {
    EACH(r, rows) EACH(j, 4) sum[r][j] = vf_load(y + r * y_stride + j * W);
  } else {
    EACH(r, rows) EACH(j, 4) {
      sum[r][j] = adding ? vf_load_some(y + r * y_stride + j * W, outputs - j * W < 0 ? 0 : outputs - j * W)
                  : start ? vf_load(start + j * W) : vf_all(0);
    }
  }
  for (long pair = 0; pair < pairs; pair++, panel += 128) {
    vi w[4];
    EACH(j, 4) w[j] = vi_load(panel + j * 32);
    EACH(r, rows) {
      const vi two = vi_all_bytes((const signed char *)(x + r * x_stride + pair * 2));
      EACH(j, 4) sum[r][j] = dot_brains(sum[r][j], w[j], two);
    }
  }
  if (outputs == 64) {
    EACH(r, rows) EACH(j, 4) vf_store(y + r * y_stride + j * W, sum[r][j]);
  } else {
    EACH(r, rows) EACH(j, 4) {
      if (outputs > j * W) vf_store_some(y + r * y_stride + j * W, sum[r][j], outputs - j * W);
    }
  }
}

INLINE void brain_panel_rows(
    const uint16_t *panel, long pairs, const uint16_t *x, long x_stride, long rows, const float *start, float *y,
    long y_stride, long outputs, const int adding) {
  long r = 0;
  for (; r + BRAIN_ROWS <= rows; r += BRAIN_ROWS)
    brain_tile(panel, pairs, x + r * x_stride, x_stride, start, y + r * y_stride, y_stride, outputs, BRAIN_ROWS, adding);
  if (r + 4 <= rows) {
    brain_tile(panel, pairs, x + r * x_stride, x_stride, start, y + r * y_stride, y_stride, outputs, 4, adding);
    r += 4;
  }
  if (r + 2 <= rows) {
    brain_tile(panel, pairs, x + r * x_stride, x_stride, start, y + r * y_stride, y_stride, outputs, 2, adding);
    r += 2;
  }
  if (r < rows)
    brain_tile(panel, pairs, x + r * x_stride, x_stride, start, y + r * y_stride, y_stride, outputs, 1, adding);
}

/// 16 rows of 16 lanes become 16 columns.
INLINE void transpose(vi *v) {
  vi a[16], b[16];
  EACH(i, 8) {
    a[2 * i] = (vi)_mm512_unpacklo_epi32((__m512i)v[2 * i], (__m512i)v[2 * i + 1]);
    a[2 * i + 1] = (vi)_mm512_unpackhi_epi32((__m512i)v[2 * i], (__m512i)v[2 * i + 1]);
  }
  EACH(i, 4) {
    b[4 * i] = (vi)_mm512_unpacklo_epi64((__m512i)a[4 * i], (__m512i)a[4 * i + 2]);
    b[4 * i + 1] = (vi)_mm512_unpackhi_epi64((__m512i)a[4 * i], (__m512i)a[4 * i + 2]);
    b[4 * i + 2] = (vi)_mm512_unpacklo_epi64((__m512i)a[4 * i + 1], (__m512i)a[4 * i + 3]);
    b[4 * i + 3] = (vi)_mm512_unpackhi_epi64((__m512i)a[4 * i + 1], (__m512i)a[4 * i + 3]);
  }
  EACH(i, 4) {
    a[i] = (vi)_mm512_shuffle_i32x4((__m512i)b[i], (__m512i)b[4 + i], 0x88);
    a[4 + i] = (vi)_mm512_shuffle_i32x4((__m512i)b[i], (__m512i)b[4 + i], 0xdd);
    a[8 + i] = (vi)_mm512_shuffle_i32x4((__m512i)b[8 + i], (__m512i)b[12 + i], 0x88);
    a[12 + i] = (vi)_mm512_shuffle_i32x4((__m512i)b[8 + i], (__m512i)b[12 + i], 0xdd);
  }
  EACH(i, 4) {
    v[i] = (vi)_mm512_shuffle_i32x4((__m512i)a[i], (__m512i)a[8 + i], 0x88);
    v[8 + i] = (vi)_mm512_shuffle_i32x4((__m512i)a[i], (__m512i)a[8 + i], 0xdd);
    v[4 + i] = (vi)_mm512_shuffle_i32x4((__m512i)a[4 + i], (__m512i)a[12 + i], 0x88);
    v[12 + i] = (vi)_mm512_shuffle_i32x4((__m512i)a[4 + i], (__m512i)a[12 + i], 0xdd);
  }
}

/// Rows of bf16 weights as a panel of 64; zeros where there are no rows.
INLINE void pack_brains(const unsigned char *rows, long row_bytes, long count, long pairs, uint16_t *panel) {
  for (long group = 0; group < 4; group++) {
    for (long pair = 0; pair < pairs; pair += 16) {
      vi v[16];
      const long some = pairs - pair < 16 ? pairs - pair : 16;
      const __mmask16 mask = (__mmask16)((1u << some) - 1);
      EACH(i, 16) {
        const long row = group * 16 + i;
        v[i] = row < count ? (vi)_mm512_maskz_loadu_epi32(mask, rows + row * row_bytes + pair * 4) : (vi){0};
      }
      transpose(v);
      for (long i = 0; i < some; i++) __builtin_memcpy(panel + (pair + i) * 128 + group * 32, &v[i], sizeof v[i]);
    }
  }
}

/// Columns that are multiplied before the sums are put down: a panel of them stays near.
#define BRAIN_COLUMNS 512

static void multiply_brains(const ck_brain_product *job, long panel, long begin, long end) {
  uint16_t packed[BRAIN_COLUMNS * 64] __attribute__((aligned(64)));
  const long first = panel * 64, outputs = job->outputs - first < 64 ? job->outputs - first : 64;
  float bias[64] = {0};
  if (job->bias) __builtin_memcpy(bias, job->bias + first, (size_t)outputs * 4);
  for (long column = 0; column < job->columns; column += BRAIN_COLUMNS) {
    const long count = job->columns - column < BRAIN_COLUMNS ? job->columns - column : BRAIN_COLUMNS;
    pack_brains(
        job->weights + (first * job->columns + column) * 2, job->columns * 2, outputs, count / 2, packed);
    const uint16_t *x = job->x + begin * job->x_stride + column;
    float *y = job->y + begin * job->y_stride + first;
    if (column == 0 && !job->adding)
      brain_panel_rows(packed, count / 2, x, job->x_stride, end - begin, bias, y, job->y_stride, outputs, 0);
    else {
      if (column == 0 && job->bias)
        for (long r = 0; r < end - begin; r++)
          for (long i = 0; i < outputs; i++) y[r * job->y_stride + i] += bias[i];
      brain_panel_rows(packed, count / 2, x, job->x_stride, end - begin, 0, y, job->y_stride, outputs, 1);
    }
  }
}

/// Rows [begin, end) of weights times up to eight vectors, which lie one behind the other and are read as they are.
INLINE void brain_row(const ck_brain_product *job, long row, long first, const int batch) {
  const uint16_t *w = (const uint16_t *)job->weights + row * job->columns;
  const uint16_t *x = job->x + first * job->x_stride;
  vf sum[8][2];
  EACH(b, batch) sum[b][0] = sum[b][1] = vf_all(0);
  long c = 0;
  for (; c + 64 <= job->columns; c += 64) {
    const vi w0 = vi_load(w + c), w1 = vi_load(w + c + 32);
    EACH(b, batch) {
      sum[b][0] = dot_brains(sum[b][0], w0, vi_load(x + b * job->x_stride + c));
      sum[b][1] = dot_brains(sum[b][1], w1, vi_load(x + b * job->x_stride + c + 32));
    }
  }
  for (; c < job->columns; c += 32) {
    const long pairs = (job->columns - c) / 2;
    const __mmask16 mask = pairs >= 16 ? (__mmask16)-1 : (__mmask16)((1u << pairs) - 1);
    const vi w0 = (vi)_mm512_maskz_loadu_epi32(mask, w + c);
    EACH(b, batch)
      sum[b][0] = dot_brains(sum[b][0], w0, (vi)_mm512_maskz_loadu_epi32(mask, x + b * job->x_stride + c));
  }
  EACH(b, batch)
    job->y[(first + b) * job->y_stride + row] = vf_sum(sum[b][0] + sum[b][1]) + (job->bias ? job->bias[row] : 0);
}

static void brain_rows(const ck_brain_product *job, long begin, long end, long batch) {
  for (long row = begin; row < end; row++) {
    long first = 0;
    for (; first + 4 <= batch; first += 4) brain_row(job, row, first, 4);
    if (first + 2 <= batch) brain_row(job, row, first, 2), first += 2;
    if (first < batch) brain_row(job, row, first, 1);
  }
}

static void round_row(const float *x, long count, uint16_t *out) {
  long i = 0;
  for (; i + W <= count; i += W) {
    const vh h = round_brains(vf_load(x + i));
    __builtin_memcpy(out + i, &h, sizeof h);
  }
  if (i < count) {
    const vh h = round_brains(vf_load_some(x + i, count - i));
    __builtin_memcpy(out + i, &h, (size_t)(count - i) * 2);
  }
}

// MARK: Attention

/// Keys of a head as panels of 64: [keys / 64, width / 2, 64, 2].
static void pack_keys(const float *k, long stride, long keys, long width, uint16_t *out) {
  const long padded = (width + 1) / 2 * 2;
  for (long first = 0; first < keys; first += 64, out += padded * 64) {
    uint16_t rows[64 * 256];
    const long count = keys - first < 64 ? keys - first : 64;
    for (long r = 0; r < count; r++) {
      round_row(k + (first + r) * stride, width, rows + r * padded);
      if (padded > width) rows[r * padded + width] = 0;
    }
    pack_brains((const unsigned char *)rows, padded * 2, count, padded / 2, out);
  }
}

/// Values of a head as panels of 64 components: [width / 64, keys / 2, 64, 2].
static void pack_values(const float *v, long stride, long keys, long width, uint16_t *out) {
  for (long first = 0; first < width; first += 64) {
    for (long t = 0; t < keys; t += 2, out += 128) {
      EACH(j, 4) {
        const long left = width - first - j * W;
        vi pair = {0};
        if (left > 0) {
          const vf even = vf_load_some(v + t * stride + first + j * W, left);
          const vf odd = t + 1 < keys ? vf_load_some(v + (t + 1) * stride + first + j * W, left) : vf_all(0);
          const vu low = __builtin_convertvector(round_brains(even), vu);
          const vu high = __builtin_convertvector(round_brains(odd), vu);
          pair = (vi)(low | high << 16);
        }
        __builtin_memcpy(out + j * 32, &pair, sizeof pair);
      }
    }
  }
}

/// The exponentials of a row of scores, as bf16; what follows `count` becomes zero up to `padded`.
///
/// Returns the inverse of their sum.
INLINE float exponentials(float *scores, long count, long padded, float scale) {
  vf highest = vf_all(-__builtin_inff());
  for (long i = 0; i < count; i += W) {
    const vf v = i + W <= count ? vf_load(scores + i)
                                : (vf)_mm512_mask_loadu_ps(
                                      (__m512)vf_all(-__builtin_inff()), (__mmask16)((1u << (count - i)) - 1), scores + i);
    highest = vf_select(v > highest, v, highest);
  }
  const float top = vf_max(highest);
  vf sum = vf_all(0);
  // A row of bf16 is half as long: it may be written over what has been read.
  uint16_t *out = (uint16_t *)scores;
  for (long i = 0; i < padded; i += W) {
    vf e = vf_exp((vf_load(scores + i) - top) * scale);
    if (i + W > count)
      e = i >= count ? vf_all(0) : (vf)_mm512_maskz_mov_ps((__mmask16)((1u << (count - i)) - 1), (__m512)e);
    sum += e;
    const vh h = round_brains(e);
    __builtin_memcpy(out + i, &h, sizeof h);
  }
  return 1 / vf_sum(sum);
}

/// Queries whose scores are held at once.
#define ATTENTION_ROWS 12

/// Queries [begin, end) of a head against its packed keys and values.
static void attend_brains(const ck_brain_head *head, long begin, long end) {
  const long width = head->width, even = (width + 1) / 2 * 2, stride = (head->keys + 63) / 64 * 64;
  float scores[ATTENTION_ROWS * CK_ATTENTION_KEYS] __attribute__((aligned(64)));
  uint16_t q[ATTENTION_ROWS * 256];
  for (long first = begin; first < end; first += ATTENTION_ROWS) {
    const long rows = end - first < ATTENTION_ROWS ? end - first : ATTENTION_ROWS;
    for (long r = 0; r < rows; r++) {
      round_row(head->q + (first + r) * head->q_stride, width, q + r * even);
      if (even > width) q[r * even + width] = 0;
    }
    const long seen = head->first_valid + (first + rows - 1) * head->step;
    const long reach = seen < head->keys ? seen : head->keys;
    for (long t = 0; t < reach; t += 64)
      brain_panel_rows(head->k + t * even, even / 2, q, even, rows, 0, scores + t, stride, 64, 0);
    const long padded = (reach + W - 1) / W * W;
    float inverse[ATTENTION_ROWS];
    for (long r = 0; r < rows; r++) {
      const long valid = head->first_valid + (first + r) * head->step;
      inverse[r] = exponentials(scores + r * stride, valid < head->keys ? valid : head->keys, padded, head->scale);
    }
    for (long d = 0; d < width; d += 64) {
      float *out = head->out + first * head->out_stride + d;
      const long some = width - d < 64 ? width - d : 64;
      brain_panel_rows(
          head->v + d / 64 * ((head->keys + 1) / 2 * 128), (reach + 1) / 2, (const uint16_t *)scores, stride * 2, rows, 0,
          out, head->out_stride, some, 0);
      for (long r = 0; r < rows; r++)
        for (long i = 0; i < some; i++) out[r * head->out_stride + i] *= inverse[r];
    }
  }
}

#endif
