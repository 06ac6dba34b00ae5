#include <string.h>

#include "kernels/attention.h"
#include "kernels/x86/math_avx512.h"

enum { LANES = 16, VECTORS = 4 }; /* a tile is QV__QUERY_TILE x VECTORS accumulators, four registers of b, one of a */

static const float zeros[QV__HEAD_DIM_MAX];

/* Sixteen keys by four dimensions at a time: a register takes the same four floats of keys 0, 4, 8, 12 (1, 5, ..), and
 * a 4 x 4 transpose inside each quarter puts the keys in order. */
static inline __m512 four_rows(const float *const row[], int k) {
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(row[0] + k));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(row[4] + k), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(row[8] + k), 2);
    return _mm512_insertf32x4(x, _mm_loadu_ps(row[12] + k), 3);
}

static void transpose_lanes(float *out, const float *const row[LANES], int dim) {
    int k = 0;
    for (; k + 4 <= dim; k += 4, out += 4 * QV__KEY_BLOCK) {
        __m512 a = four_rows(row, k), b = four_rows(row + 1, k), c = four_rows(row + 2, k), d = four_rows(row + 3, k);
        __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        _mm512_store_ps(out, _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)));
        _mm512_store_ps(out + QV__KEY_BLOCK, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
        ab = _mm512_castps_pd(_mm512_unpackhi_ps(a, b)), cd = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        _mm512_store_ps(out + 2 * QV__KEY_BLOCK, _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)));
        _mm512_store_ps(out + 3 * QV__KEY_BLOCK, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    }
    for (; k < dim; k++, out += QV__KEY_BLOCK)
        for (int j = 0; j < LANES; j++) out[j] = row[j][k];
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
    const float *const *a;
    const float *b;
    int64_t b_stride;
    int depth;
    bool keep;
} product;

static inline __attribute__((always_inline)) void tile(const product *p, const int rows, const int vectors) {
    const float *a[QV__QUERY_TILE], *b = p->b;
    __m512 sum[QV__QUERY_TILE][VECTORS], x[VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        a[r] = p->a[r];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = p->keep ? _mm512_load_ps(p->c + r * p->c_stride + v * LANES) : _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < p->depth; k++, b += p->b_stride) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) x[v] = _mm512_load_ps(b + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m512 y = _mm512_set1_ps(a[r][k]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_fmadd_ps(y, x[v], sum[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) _mm512_store_ps(p->c + r * p->c_stride + v * LANES, sum[r][v]);
}

#define TILE(rows, vectors)                                                                                            \
    static void tile_##rows##_##vectors(const product *p) {                                                            \
        tile(p, rows, vectors);                                                                                        \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3) TILE(rows, 4)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

#define NAMES(rows)                                                                                                    \
    { tile_##rows##_1, tile_##rows##_2, tile_##rows##_3, tile_##rows##_4 }
static void (*const tiles[QV__QUERY_TILE][VECTORS])(const product *) = {NAMES(1), NAMES(2), NAMES(3),
                                                                        NAMES(4), NAMES(5), NAMES(6)};

static void multiply(float *c, int64_t c_stride, const float *const a[], int rows, const float *b, int64_t b_stride,
                     int depth, int width, bool keep) {
    for (int left = width / LANES, now; left > 0; left -= now, c += now * LANES, b += now * LANES) {
        now = left <= VECTORS ? left : left < 2 * VECTORS ? (left + 1) / 2 : VECTORS; /* no thin rest */
        product p = {c, c_stride, a, b, b_stride, depth, keep};
        tiles[rows - 1][now - 1](&p);
    }
}

/* ---- softmax ---- */

static inline __mmask16 lanes_below(int count) {
    return count >= LANES ? 0xffff : (__mmask16)((1u << count) - 1);
}

static float softmax(float *s, int count, float scale, float *m, float l[QV__SUM_LANES]) {
    const __m512 by = _mm512_set1_ps(scale), lowest = _mm512_set1_ps(-INFINITY);
    __m512 highest = lowest;
    for (int j = 0; j < count; j += LANES) {
        __m512 x = _mm512_mul_ps(_mm512_loadu_ps(s + j), by);
        _mm512_storeu_ps(s + j, x);
        highest = _mm512_mask_max_ps(highest, lanes_below(count - j), highest, x);
    }
    float before = *m, most = _mm512_reduce_max_ps(highest);
    if (!(most > before)) most = before;
    float c = most == before ? 1.0f : qv__exp(before - most); /* exp(0) is 1 */
    *m = most;
    __m512 sums = _mm512_mul_ps(_mm512_loadu_ps(l), _mm512_set1_ps(c)), top = _mm512_set1_ps(most);
    for (int j = 0; j < count; j += LANES) {
        __m512 p = qv__exp_avx512(_mm512_sub_ps(_mm512_loadu_ps(s + j), top));
        p = _mm512_maskz_mov_ps(lanes_below(count - j), p);
        _mm512_storeu_ps(s + j, p);
        sums = _mm512_add_ps(sums, p);
    }
    _mm512_storeu_ps(l, sums);
    return c;
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i += LANES)
        _mm512_store_ps(acc + i, _mm512_mul_ps(_mm512_load_ps(acc + i), _mm512_set1_ps(by)));
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    __m512 sums = _mm512_loadu_ps(l);
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    __m512 sum = _mm512_broadcastss_ps(_mm_add_ss(two, _mm_movehdup_ps(two)));
    for (int i = 0; i < dim; i += LANES)
        _mm512_mask_storeu_ps(out + i, lanes_below(dim - i), _mm512_div_ps(_mm512_load_ps(acc + i), sum));
}

const qv__attention_kernels qv__attention_avx512 = {transpose, multiply, softmax, rescale, finish};
