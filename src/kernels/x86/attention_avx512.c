#include <string.h>

#include "kernels/attention.h"
#include "kernels/x86/math_avx512.h"

enum { LANES = 16, VECTORS = 2 }; /* a tile is QV__QUERY_TILE x VECTORS accumulators, two registers of b, one of a */

static const float zeros[QV__HEAD_DIM_MAX];

static inline __mmask16 lanes_below(int count) {
    return count >= LANES ? 0xffff : (__mmask16)((1u << count) - 1);
}

static inline __m512 unpack_pairs(__m512 a, __m512 b, bool high) {
    __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
}

/* Sixteen keys by sixteen dimensions in registers, so that a cache line of a key is read once: rows that lie a power of
 * two apart would evict each other between reads. First 4 x 4 inside the quarters of a register, then the quarters. */
static inline void transpose_square(__m512 x[LANES]) {
    __m512 y[LANES];
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4) { /* y[i + c], quarter q: keys i .. i + 3 of dimension 4 q + c */
        __m512 ab = _mm512_unpacklo_ps(x[i], x[i + 1]), cd = _mm512_unpacklo_ps(x[i + 2], x[i + 3]);
        y[i] = unpack_pairs(ab, cd, false);
        y[i + 1] = unpack_pairs(ab, cd, true);
        ab = _mm512_unpackhi_ps(x[i], x[i + 1]), cd = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i + 2] = unpack_pairs(ab, cd, false);
        y[i + 3] = unpack_pairs(ab, cd, true);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512 even = _mm512_shuffle_f32x4(y[c], y[4 + c], 0x88), odd = _mm512_shuffle_f32x4(y[c], y[4 + c], 0xdd);
        __m512 even2 = _mm512_shuffle_f32x4(y[8 + c], y[12 + c], 0x88);
        __m512 odd2 = _mm512_shuffle_f32x4(y[8 + c], y[12 + c], 0xdd);
        x[c] = _mm512_shuffle_f32x4(even, even2, 0x88);
        x[4 + c] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        x[8 + c] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        x[12 + c] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}

static void transpose_lanes(float *out, const float *const row[LANES], int dim) {
    for (int k = 0; k < dim; k += LANES) {
        __m512 x[LANES];
        __mmask16 m = lanes_below(dim - k);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) x[j] = _mm512_maskz_loadu_ps(m, row[j] + k);
        transpose_square(x);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++)
            if (j < dim - k) _mm512_store_ps(out + (k + j) * QV__KEY_BLOCK, x[j]);
    }
}

static void transpose(float *out, const float *const row[], int count, int dim) {
    const float *all[QV__KEY_BLOCK];
    for (int j = 0; j < QV__KEY_BLOCK; j++) all[j] = j < count ? row[j] : zeros;
    for (int j = 0; j < QV__KEY_BLOCK; j += LANES) transpose_lanes(out + j, all + j, dim);
}

/* ---- multiply ---- */

typedef struct {
    float *c;
    int64_t c_stride;
    const float *a, *b;
    int64_t b_stride;
    int depth;
    bool keep;
} product;

static inline __attribute__((always_inline)) void tile(const product *p, const int rows, const int vectors) {
    float *c = p->c; /* copies: stores of vectors may be to anywhere, as far as the compiler knows */
    const float *a = p->a, *b = p->b;
    const int64_t c_stride = p->c_stride, b_stride = p->b_stride;
    __m512 sum[QV__QUERY_TILE][VECTORS], x[VECTORS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[r][v] = p->keep ? _mm512_load_ps(c + r * c_stride + v * LANES) : _mm512_setzero_ps();
    for (int k = 0; k < p->depth; k++, a++, b += b_stride) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) x[v] = _mm512_load_ps(b + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            __m512 y = _mm512_set1_ps(a[r * QV__TILE_STRIDE]);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_fmadd_ps(y, x[v], sum[r][v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) _mm512_store_ps(c + r * c_stride + v * LANES, sum[r][v]);
}

#define TILES(rows)                                                                                                    \
    static void tile_##rows##_1(const product *p) {                                                                    \
        tile(p, rows, 1);                                                                                              \
    }                                                                                                                  \
    static void tile_##rows##_2(const product *p) {                                                                    \
        tile(p, rows, 2);                                                                                              \
    }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)

#define NAMES(rows)                                                                                                    \
    { tile_##rows##_1, tile_##rows##_2 }
static void (*const tiles[QV__QUERY_TILE][VECTORS])(const product *) = {NAMES(1), NAMES(2),  NAMES(3),  NAMES(4),
                                                                        NAMES(5), NAMES(6),  NAMES(7),  NAMES(8),
                                                                        NAMES(9), NAMES(10), NAMES(11), NAMES(12)};

static void multiply(float *c, int64_t c_stride, const float *a, int rows, const float *b, int64_t b_stride, int depth,
                     int width, bool keep) {
    product p = {c, c_stride, a, b, b_stride, depth, keep};
    for (; width > 0; width -= VECTORS * LANES, p.c += VECTORS * LANES, p.b += VECTORS * LANES)
        tiles[rows - 1][width > LANES](&p);
}

/* ---- softmax ---- */

static inline float highest_of(const float *s, int count) {
    __m512 highest = _mm512_set1_ps(-INFINITY);
    int j = 0;
    for (; j + LANES <= count; j += LANES) highest = _mm512_max_ps(highest, _mm512_load_ps(s + j));
    highest = _mm512_mask_max_ps(highest, lanes_below(count - j), highest, _mm512_load_ps(s + j));
    return _mm512_reduce_max_ps(highest);
}

/* Dots to p; returns their sixteen sums added to `sums`. */
static inline __m512 weigh(float *s, int count, __m512 scale, __m512 top, __m512 sums) {
    int j = 0;
    for (; j + LANES <= count; j += LANES) {
        __m512 p = qv__exp_avx512(_mm512_fmsub_ps(scale, _mm512_load_ps(s + j), top));
        _mm512_store_ps(s + j, p);
        sums = _mm512_add_ps(sums, p);
    }
    if (j == count) return sums;
    __m512 p = qv__exp_avx512(_mm512_fmsub_ps(scale, _mm512_load_ps(s + j), top));
    p = _mm512_maskz_mov_ps(lanes_below(count - j), p);
    _mm512_store_ps(s + j, p);
    return _mm512_add_ps(sums, p);
}

/* In stages, so that the rows' chains of dependent operations overlap. */
static void softmax(float *s, int rows, const int count[], float scale, float m[], float l[][QV__SUM_LANES],
                    float c[]) {
    float step[LANES] = {0};
    for (int r = 0; r < rows; r++) {
        if (count[r] == 0) continue;
        float highest = highest_of(s + r * QV__TILE_STRIDE, count[r]) * scale;
        if (!(highest > m[r])) highest = m[r];
        step[r] = m[r] - highest;
        m[r] = highest;
    }
    _mm512_mask_storeu_ps(c, lanes_below(rows), qv__exp_avx512(_mm512_loadu_ps(step))); /* exp(0) is 1 */
    for (int r = 0; r < rows; r++) {
        __m512 sums = _mm512_mul_ps(_mm512_load_ps(l[r]), _mm512_set1_ps(c[r]));
        if (count[r] == 0) continue;
        sums = weigh(s + r * QV__TILE_STRIDE, count[r], _mm512_set1_ps(scale), _mm512_set1_ps(m[r]), sums);
        _mm512_store_ps(l[r], sums);
    }
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i += LANES)
        _mm512_store_ps(acc + i, _mm512_mul_ps(_mm512_load_ps(acc + i), _mm512_set1_ps(by)));
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    __m512 sums = _mm512_load_ps(l);
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    __m512 sum = _mm512_broadcastss_ps(_mm_add_ss(two, _mm_movehdup_ps(two)));
    for (int i = 0; i < dim; i += LANES)
        _mm512_mask_storeu_ps(out + i, lanes_below(dim - i), _mm512_div_ps(_mm512_load_ps(acc + i), sum));
}

const qv__attention_kernels qv__attention_avx512 = {transpose, multiply, softmax, rescale, finish};
