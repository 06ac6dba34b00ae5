#include <string.h>

#include "kernels/attention.h"
#include "kernels/x86/math_avx2.h"

enum {
    LANES = 8,
    ROWS = QV__QUERY_TILE / 2,
    VECTORS = 2
}; /* a tile is ROWS x VECTORS accumulators, two registers of b */

static const float zeros[QV__HEAD_DIM_MAX];

/* Eight keys by four dimensions at a time: a register takes the same four floats of keys 0 and 4 (1 and 5, ..), and a
 * 4 x 4 transpose inside each half puts the keys in order. */
static inline __m256 two_rows(const float *const row[], int k) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[0] + k)), _mm_loadu_ps(row[4] + k), 1);
}

static void transpose_lanes(float *out, const float *const row[LANES], int dim) {
    int k = 0;
    for (; k + 4 <= dim; k += 4, out += 4 * QV__KEY_BLOCK) {
        __m256 a = two_rows(row, k), b = two_rows(row + 1, k), c = two_rows(row + 2, k), d = two_rows(row + 3, k);
        __m256d ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
        _mm256_store_ps(out, _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)));
        _mm256_store_ps(out + QV__KEY_BLOCK, _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
        ab = _mm256_castps_pd(_mm256_unpackhi_ps(a, b)), cd = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
        _mm256_store_ps(out + 2 * QV__KEY_BLOCK, _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)));
        _mm256_store_ps(out + 3 * QV__KEY_BLOCK, _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
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
    const float *a, *b;
    int64_t b_stride;
    int depth;
    bool keep;
} product;

static inline __attribute__((always_inline)) void tile(const product *p, const int rows) {
    float *c = p->c; /* copies: stores of vectors may be to anywhere, as far as the compiler knows */
    const float *a = p->a, *b = p->b;
    const int64_t c_stride = p->c_stride, b_stride = p->b_stride;
    __m256 sum[ROWS][VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        sum[r][0] = p->keep ? _mm256_load_ps(c + r * c_stride) : _mm256_setzero_ps();
        sum[r][1] = p->keep ? _mm256_load_ps(c + r * c_stride + LANES) : _mm256_setzero_ps();
    }
    for (int k = 0; k < p->depth; k++, a++, b += b_stride) {
        __m256 left = _mm256_load_ps(b), right = _mm256_load_ps(b + LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m256 y = _mm256_broadcast_ss(a + r * QV__TILE_STRIDE);
            sum[r][0] = _mm256_fmadd_ps(y, left, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(y, right, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        _mm256_store_ps(c + r * c_stride, sum[r][0]);
        _mm256_store_ps(c + r * c_stride + LANES, sum[r][1]);
    }
}

static void tile_of(const product *p, int rows) {
    switch (rows) {
    case 1: tile(p, 1); break;
    case 2: tile(p, 2); break;
    case 3: tile(p, 3); break;
    case 4: tile(p, 4); break;
    case 5: tile(p, 5); break;
    default: tile(p, ROWS); break;
    }
}

static void multiply(float *c, int64_t c_stride, const float *a, int rows, const float *b, int64_t b_stride, int depth,
                     int width, bool keep) {
    for (int n = 0; n < width; n += VECTORS * LANES)
        for (int r = 0; r < rows; r += ROWS) {
            product p = {c + r * c_stride + n, c_stride, a + r * QV__TILE_STRIDE, b + n, b_stride, depth, keep};
            tile_of(&p, rows - r < ROWS ? rows - r : ROWS);
        }
}

/* ---- softmax; two registers are the sixteen lanes of the contract ---- */

static inline __m256 lanes_below(int count) { /* all bits set in the first `count` */
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}

static inline float highest_of(const float *s, int count) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 eight = lowest;
    int j = 0;
    for (; j + LANES <= count; j += LANES) eight = _mm256_max_ps(eight, _mm256_load_ps(s + j));
    if (j < count)
        eight = _mm256_max_ps(eight, _mm256_blendv_ps(lowest, _mm256_load_ps(s + j), lanes_below(count - j)));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* Dots to p, and their sixteen sums. */
static inline void weigh(float *s, int count, float scale, float top, float c, float l[QV__SUM_LANES]) {
    __m256 sums[2];
    for (int i = 0; i < 2; i++) sums[i] = _mm256_mul_ps(_mm256_load_ps(l + i * LANES), _mm256_set1_ps(c));
    for (int j = 0; j < count; j += 2 * LANES)
        for (int i = 0; i < 2; i++) {
            float *at = s + j + i * LANES;
            __m256 p = qv__exp_avx2(_mm256_fmsub_ps(_mm256_set1_ps(scale), _mm256_load_ps(at), _mm256_set1_ps(top)));
            if (count - j < 2 * LANES) p = _mm256_and_ps(lanes_below(count - j - i * LANES), p);
            _mm256_store_ps(at, p);
            sums[i] = _mm256_add_ps(sums[i], p);
        }
    for (int i = 0; i < 2; i++) _mm256_store_ps(l + i * LANES, sums[i]);
}

/* In stages, so that the rows' chains of dependent operations overlap. */
static void softmax(float *s, int rows, const int count[], float scale, float m[], float l[][QV__SUM_LANES],
                    float c[]) {
    float step[2 * LANES] = {0};
    for (int r = 0; r < rows; r++) {
        if (count[r] == 0) continue;
        float highest = highest_of(s + r * QV__TILE_STRIDE, count[r]) * scale;
        if (!(highest > m[r])) highest = m[r];
        step[r] = m[r] - highest;
        m[r] = highest;
    }
    for (int i = 0; i < 2 * LANES; i += LANES) /* exp(0) is 1 */
        _mm256_storeu_ps(step + i, qv__exp_avx2(_mm256_loadu_ps(step + i)));
    for (int r = 0; r < rows; r++) {
        c[r] = step[r];
        if (count[r] > 0) weigh(s + r * QV__TILE_STRIDE, count[r], scale, m[r], c[r], l[r]);
    }
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i += LANES)
        _mm256_store_ps(acc + i, _mm256_mul_ps(_mm256_load_ps(acc + i), _mm256_set1_ps(by)));
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    __m256 eight = _mm256_add_ps(_mm256_load_ps(l), _mm256_load_ps(l + LANES));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    __m256 sum = _mm256_broadcastss_ps(_mm_add_ss(two, _mm_movehdup_ps(two)));
    int i = 0;
    for (; i + LANES <= dim; i += LANES) _mm256_storeu_ps(out + i, _mm256_div_ps(_mm256_load_ps(acc + i), sum));
    for (; i < dim; i++) out[i] = acc[i] / _mm256_cvtss_f32(sum);
}

const qv__attention_kernels qv__attention_avx2 = {transpose, multiply, softmax, rescale, finish};
