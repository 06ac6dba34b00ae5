/* Fixed point on 16-bit multiplies: a weight is split into w = high * 2^15 + low, 0 <= low < 2^15, and vpmaddwd sums
 * two taps at once for each half. The sums wrap modulo 2^32, where the true result lies, so the split is exact. */
#include <immintrin.h>
#include <string.h>

#include "kernels/resample.h"

enum { FRACTION = 22, LOW = 15 };

typedef struct {
    __m256i low, high; /* int16 pairs: (w0,w1) four times, (w2,w3) four times */
} four_taps;

static inline four_taps split_weights(const int32_t *w) {
    __m128i x = _mm_loadu_si128((const __m128i *)w);
    __m128i low = _mm_and_si128(x, _mm_set1_epi32((1 << LOW) - 1)), high = _mm_srai_epi32(x, LOW);
    __m256i packed = _mm256_castsi128_si256(_mm_packs_epi32(low, high)); /* pairs: low 01, low 23, high 01, high 23 */
    return (four_taps){_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)),
                       _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3))};
}

/* Pixels 0..3 of 12 bytes as int16 pairs: r0r1 g0g1 b0b1 0 | r2r3 g2g3 b2b3 0. */
static inline __m256i pair_pixels(const uint8_t *p) {
    const __m256i order =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* pixels 0 and 1 */
                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)), order);
}

/* (2^21 + low + high * 2^15) >> 22, two halves summed; lanes r g b 0. */
static inline __m128i finish_pixel(__m256i low, __m256i high) {
    __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, LOW));
    __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (FRACTION - 1))), FRACTION);
}

static inline void store_pixel(uint8_t *out, __m128i rgb) {
    __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(rgb, rgb), rgb);
    uint32_t v = (uint32_t)_mm_cvtsi128_si32(bytes);
    memcpy(out, &v, 2);
    out[2] = (uint8_t)(v >> 16);
}

static inline __attribute__((always_inline)) void columns_fixed_of(int rows, uint8_t *out, int64_t out_stride,
                                                                   const uint8_t *in, int64_t in_stride,
                                                                   const qv__axis *axis) {
    for (int32_t i = 0; i < axis->outputs; i++) {
        const int32_t *w = axis->weights.fixed + (int64_t)i * axis->stride;
        const uint8_t *p = in + 3 * (int64_t)axis->windows[i].first;
        __m256i low[4], high[4];
        for (int r = 0; r < rows; r++) low[r] = high[r] = _mm256_setzero_si256();
        for (int32_t j = 0; j < axis->windows[i].taps; j += 4) {
            four_taps t = split_weights(w + j);
            for (int r = 0; r < rows; r++) {
                __m256i x = pair_pixels(p + 3 * j + r * in_stride);
                low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(x, t.low));
                high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(x, t.high));
            }
        }
        for (int r = 0; r < rows; r++) store_pixel(out + r * out_stride + 3 * i, finish_pixel(low[r], high[r]));
    }
}

static void columns_fixed(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                          const qv__axis *axis) {
    for (; rows >= 4; rows -= 4, out += 4 * out_stride, in += 4 * in_stride)
        columns_fixed_of(4, out, out_stride, in, in_stride, axis);
    for (; rows > 0; rows--, out += out_stride, in += in_stride)
        columns_fixed_of(1, out, out_stride, in, in_stride, axis);
}

/* Sixteen columns. An odd last tap is paired with itself at weight 0. */
static inline __m128i sixteen_fixed(const uint8_t *in, int64_t in_stride, const int32_t *weights, int taps) {
    __m256i low[2], high[2];
    for (int h = 0; h < 2; h++) low[h] = high[h] = _mm256_setzero_si256();
    for (int j = 0; j < taps; j += 2) {
        int32_t w0 = weights[j], w1 = j + 1 < taps ? weights[j + 1] : 0, mask = (1 << LOW) - 1;
        const uint8_t *p = in + j * in_stride, *q = j + 1 < taps ? p + in_stride : p;
        __m256i wl = _mm256_set1_epi32((w0 & mask) | (w1 & mask) << 16);
        __m256i wh = _mm256_set1_epi32((int32_t)(((uint32_t)(w0 >> LOW) & 0xFFFF) | (uint32_t)(w1 >> LOW) << 16));
        __m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)q);
        __m256i x[2] = {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b))};
        for (int h = 0; h < 2; h++) {
            low[h] = _mm256_add_epi32(low[h], _mm256_madd_epi16(x[h], wl));
            high[h] = _mm256_add_epi32(high[h], _mm256_madd_epi16(x[h], wh));
        }
    }
    __m256i v[2];
    for (int h = 0; h < 2; h++) {
        __m256i sum = _mm256_add_epi32(low[h], _mm256_slli_epi32(high[h], LOW));
        v[h] = _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (FRACTION - 1))), FRACTION);
    }
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v[0], v[1]), 0xD8); /* undo the lanes' interleaving */
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static void rows_fixed(uint8_t *out, const uint8_t *in, int64_t in_stride, const int32_t *weights, int taps,
                       int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        _mm_storeu_si128((__m128i *)(out + i), sixteen_fixed(in + i, in_stride, weights, taps));
    if (i < count) qv__resample_c.rows_fixed(out + i, in + i, in_stride, weights, taps, count - i);
}

static inline __m128 real_pixel(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(v)));
}

static inline __attribute__((always_inline)) void
columns_real_of(int rows, float *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, const qv__axis *axis) {
    for (int32_t i = 0; i < axis->outputs; i++) {
        const float *w = axis->weights.real + (int64_t)i * axis->stride;
        const uint8_t *p = in + 3 * (int64_t)axis->windows[i].first;
        int32_t taps = axis->windows[i].taps, plain = 1 + (taps - 1) / 4 * 4, j = 1;
        __m128 sum[4], k = _mm_set1_ps(w[0]);
        for (int r = 0; r < rows; r++) sum[r] = _mm_mul_ps(k, real_pixel(p + r * in_stride));
        for (; j < plain; j++) {
            k = _mm_set1_ps(w[j]);
            for (int r = 0; r < rows; r++)
                sum[r] = _mm_add_ps(sum[r], _mm_mul_ps(k, real_pixel(p + 3 * j + r * in_stride)));
        }
        for (; j < taps; j++) {
            k = _mm_set1_ps(w[j]);
            for (int r = 0; r < rows; r++) sum[r] = _mm_fmadd_ps(real_pixel(p + 3 * j + r * in_stride), k, sum[r]);
        }
        for (int r = 0; r < rows; r++) {
            float *to = out + r * out_stride + 3 * i;
            _mm_storel_pi((__m64 *)to, sum[r]);
            _mm_store_ss(to + 2, _mm_movehl_ps(sum[r], sum[r]));
        }
    }
}

static void columns_real(float *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                         const qv__axis *axis) {
    for (; rows >= 4; rows -= 4, out += 4 * out_stride, in += 4 * in_stride)
        columns_real_of(4, out, out_stride, in, in_stride, axis);
    for (; rows > 0; rows--, out += out_stride, in += in_stride)
        columns_real_of(1, out, out_stride, in, in_stride, axis);
}

static inline __m256i eight_real(const float *in, int64_t in_stride, const float *weights, int taps) {
    int plain = 1 + (taps - 1) / 4 * 4, j = 1;
    __m256 sum = _mm256_mul_ps(_mm256_set1_ps(weights[0]), _mm256_loadu_ps(in));
    for (; j < plain; j++)
        sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(weights[j]), _mm256_loadu_ps(in + j * in_stride)));
    for (; j < taps; j++) sum = _mm256_fmadd_ps(_mm256_loadu_ps(in + j * in_stride), _mm256_set1_ps(weights[j]), sum);
    sum = _mm256_min_ps(_mm256_max_ps(sum, _mm256_setzero_ps()), _mm256_set1_ps(255));
    return _mm256_cvtps_epi32(sum); /* half to even */
}

static void rows_real(uint8_t *out, const float *in, int64_t in_stride, const float *weights, int taps, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i a = eight_real(in + i, in_stride, weights, taps), b = eight_real(in + i + 8, in_stride, weights, taps);
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(out + i), bytes);
    }
    if (i < count) qv__resample_c.rows_real(out + i, in + i, in_stride, weights, taps, count - i);
}

const qv__resample_kernels qv__resample_avx2 = {columns_fixed, rows_fixed, columns_real, rows_real};
