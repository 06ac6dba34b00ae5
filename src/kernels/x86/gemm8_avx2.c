/* gemm8.h without an instruction for 8-bit products that is exact: the codes of a block are widened to 16 bits, for
 * which there is one. Tiles of up to 4 rows and one panel, 8 accumulators: products need a register of their own
 * before they are added, and a compiler that runs out of them loses a third of the speed. */
#include "kernels/gemm8.h"

#include <immintrin.h>
#include <math.h>

enum { GROUP = QV__INT8_GROUP, PANEL = QV__INT8_PANEL, LANES = QV__GEMM8_LANES, K_BLOCK = QV__GEMM8_K_BLOCK };
enum { TILE_ROWS = 4, WIDE = GROUP * PANEL }; /* 16-bit values of a group of a panel */

/* ---- quantising ---- */

/* The first `count` lanes, 0 to 8. */
static inline __m256i mask_of(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline int32_t largest_of(__m256i a) {
    __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1));
    return _mm_cvtsi128_si32(b);
}

static inline int32_t sum_of(__m256i a) {
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1));
    return _mm_cvtsi128_si32(b);
}

/* 32 codes as bytes, in order; *sum gets theirs added. */
static inline __m256i encode(const __m256 *x, __m256 inverse, __m256i *sum) {
    __m256i q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse));
        *sum = _mm256_add_epi32(*sum, q[i]);
    }
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Values i..i+7 of `count`, zeros behind them. */
static inline __m256 load(const float *x, int i, int count) {
    if (count >= i + 8) return _mm256_loadu_ps(x + i);
    return count > i ? _mm256_maskload_ps(x + i, mask_of(count - i)) : _mm256_setzero_ps();
}

static void quantize_group(qv__gemm8_x *out, int g, const float *x, const float *factors, int count) {
    __m256 value[8];
    __m256i most = _mm256_setzero_si256(), sum = most;
    for (int i = 0; i < 8; i++) {
        value[i] = load(x, i * 8, count);
        if (factors) value[i] = _mm256_mul_ps(value[i], load(factors, i * 8, count));
        most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(value[i]), _mm256_set1_epi32(0x7fffffff)));
    }
    float m = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest_of(most))));
    __m256i *codes = (void *)(out->code + g * GROUP);
    if (!(isfinite(m) && m >= 0x1p-100f)) {
        _mm256_store_si256(codes, _mm256_setzero_si256());
        _mm256_store_si256(codes + 1, _mm256_setzero_si256());
        out->scale[g] = isfinite(m) ? 0 : NAN;
        out->offset[g] = 0;
        return;
    }
    __m256 inverse = _mm256_set1_ps(127 / m);
    _mm256_store_si256(codes, encode(value, inverse, &sum));
    _mm256_store_si256(codes + 1, encode(value + 4, inverse, &sum));
    out->scale[g] = m / 127;
    out->offset[g] = -128 * sum_of(sum);
}

static void quantize(qv__gemm8_x *out, const float *x, const float *factors, int count) {
    for (int g = 0; g * GROUP < count; g++)
        quantize_group(out, g, x + g * GROUP, factors ? factors + g * GROUP : NULL, count - g * GROUP);
}

/* ---- widening ---- */

/* Codes [k / 4][16][4] to pairs [k / 2][16][2] of 16-bit values, still 128 too large. */
static void widen(int16_t *out, const uint8_t *codes, int groups) {
    for (int k = 0; k < groups * GROUP; k += 4)
        for (int half = 0; half < 2; half++) { /* 8 lanes */
            const __m128i *from = (const void *)(codes + k * PANEL + half * 32);
            __m256 a = _mm256_castsi256_ps(_mm256_cvtepu8_epi16(_mm_loadu_si128(from)));
            __m256 b = _mm256_castsi256_ps(_mm256_cvtepu8_epi16(_mm_loadu_si128(from + 1)));
            __m256i low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)); /* lanes 0 1 4 5, 2 3 6 7 */
            __m256i high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
            int16_t *to = out + k * PANEL + half * 16;
            _mm256_store_si256((void *)to, _mm256_permute4x64_epi64(low, 0xd8));
            _mm256_store_si256((void *)(to + 2 * PANEL), _mm256_permute4x64_epi64(high, 0xd8));
        }
}

static void widen_row(int16_t *out, const int8_t *codes, int groups) {
    for (int k = 0; k < groups * GROUP; k += 16)
        _mm256_store_si256((void *)(out + k), _mm256_cvtepi8_epi16(_mm_load_si128((const void *)(codes + k))));
}

/* ---- tiles ---- */

/* Adds one group to the sums of `rows` rows of one panel. */
static inline __attribute__((always_inline)) void group(float *sums, const int16_t *wide_x, const qv__gemm8_x *x,
                                                        const int16_t *w, const float *scales, int g, const int rows) {
    __m256i sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm256_set1_epi32(x[r].offset[g]);
    wide_x += g * GROUP;
    for (int k = 0; k < GROUP; k += 2) {
        __m256i w0 = _mm256_load_si256((const void *)(w + k * PANEL));
        __m256i w1 = _mm256_load_si256((const void *)(w + k * PANEL + PANEL));
        for (int r = 0; r < rows; r++) {
            __m256i pair = _mm256_castps_si256(_mm256_broadcast_ss((const void *)(wide_x + r * K_BLOCK + k)));
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(pair, w0));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(pair, w1));
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) {
            float *to = sums + r * LANES + i * 8;
            __m256 scale = _mm256_mul_ps(_mm256_set1_ps(x[r].scale[g]), _mm256_loadu_ps(scales + i * 8));
            _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][i]), scale, _mm256_loadu_ps(to)));
        }
}

static inline __attribute__((always_inline)) void tile(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w,
                                                       const int16_t *strip, const int rows) {
    _Alignas(32) int16_t wide[TILE_ROWS * K_BLOCK];
    for (int r = 0; r < rows; r++) widen_row(wide + r * K_BLOCK, x[r].code, w->groups);
    for (int panel = 0; panel < 2; panel++)
        for (int g = 0; g < w->groups; g++)
            group(sums + panel * PANEL, wide, x, strip + panel * PANEL * K_BLOCK + g * WIDE,
                  w->scales[panel] + g * PANEL, g, rows);
}

static void block(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w, int64_t rows, bool first,
                  void *scratch) {
    int16_t *strip = scratch;
    for (int panel = 0; panel < 2; panel++) widen(strip + panel * PANEL * K_BLOCK, w->codes[panel], w->groups);
    if (first)
        for (int64_t i = 0; i < rows * LANES; i += 8) _mm256_storeu_ps(sums + i, _mm256_setzero_ps());
    int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        int64_t from = rows * i / tiles;
        float *sum = sums + from * LANES;
        switch (rows * (i + 1) / tiles - from) {
        case 1: tile(sum, x + from, w, strip, 1); break;
        case 2: tile(sum, x + from, w, strip, 2); break;
        case 3: tile(sum, x + from, w, strip, 3); break;
        default: tile(sum, x + from, w, strip, 4); break;
        }
    }
}

const qv__gemm8_kernels qv__gemm8_avx2 = {quantize, block};
