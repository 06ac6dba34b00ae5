#include <string.h>

#include "kernels/attention.h"
#include "kernels/x86/math_avx2.h"

enum { LANES = 8, VECTORS = 2 }; /* a tile is QV__QUERY_TILE x VECTORS accumulators, two registers of b, one of a */

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
    const float *const *a;
    const float *b;
    int64_t b_stride;
    int depth;
    bool keep;
} product;

static inline __attribute__((always_inline)) void tile(const product *p, const int rows) {
    const float *a[QV__QUERY_TILE], *b = p->b;
    __m256 sum[QV__QUERY_TILE][VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        a[r] = p->a[r];
        sum[r][0] = p->keep ? _mm256_load_ps(p->c + r * p->c_stride) : _mm256_setzero_ps();
        sum[r][1] = p->keep ? _mm256_load_ps(p->c + r * p->c_stride + LANES) : _mm256_setzero_ps();
    }
    for (int64_t k = 0; k < p->depth; k++, b += p->b_stride) {
        __m256 left = _mm256_load_ps(b), right = _mm256_load_ps(b + LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m256 y = _mm256_broadcast_ss(a[r] + k);
            sum[r][0] = _mm256_fmadd_ps(y, left, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(y, right, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        _mm256_store_ps(p->c + r * p->c_stride, sum[r][0]);
        _mm256_store_ps(p->c + r * p->c_stride + LANES, sum[r][1]);
    }
}

static void multiply(float *c, int64_t c_stride, const float *const a[], int rows, const float *b, int64_t b_stride,
                     int depth, int width, bool keep) {
    for (int n = 0; n < width; n += VECTORS * LANES) {
        product p = {c + n, c_stride, a, b + n, b_stride, depth, keep};
        switch (rows) {
        case 1: tile(&p, 1); break;
        case 2: tile(&p, 2); break;
        case 3: tile(&p, 3); break;
        case 4: tile(&p, 4); break;
        case 5: tile(&p, 5); break;
        default: tile(&p, 6); break;
        }
    }
}

/* ---- softmax; two registers are the sixteen lanes of the contract ---- */

static inline __m256 lanes_below(int count) { /* all bits set in the first `count` */
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}

static float highest_of(__m256 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static float softmax(float *s, int count, float scale, float *m, float l[QV__SUM_LANES]) {
    const __m256 by = _mm256_set1_ps(scale), lowest = _mm256_set1_ps(-INFINITY);
    __m256 highest = lowest;
    for (int j = 0; j < count; j += LANES) {
        __m256 x = _mm256_mul_ps(_mm256_loadu_ps(s + j), by);
        _mm256_storeu_ps(s + j, x);
        highest = _mm256_max_ps(highest, _mm256_blendv_ps(lowest, x, lanes_below(count - j)));
    }
    float before = *m, most = highest_of(highest);
    if (!(most > before)) most = before;
    float c = most == before ? 1.0f : qv__exp(before - most); /* exp(0) is 1 */
    *m = most;
    __m256 rescaling = _mm256_set1_ps(c), top = _mm256_set1_ps(most), sums[2];
    for (int i = 0; i < 2; i++) sums[i] = _mm256_mul_ps(_mm256_loadu_ps(l + i * LANES), rescaling);
    for (int j = 0; j < count; j += LANES) {
        __m256 p = qv__exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(s + j), top));
        p = _mm256_and_ps(lanes_below(count - j), p);
        _mm256_storeu_ps(s + j, p);
        sums[j / LANES % 2] = _mm256_add_ps(sums[j / LANES % 2], p);
    }
    for (int i = 0; i < 2; i++) _mm256_storeu_ps(l + i * LANES, sums[i]);
    return c;
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i += LANES)
        _mm256_store_ps(acc + i, _mm256_mul_ps(_mm256_load_ps(acc + i), _mm256_set1_ps(by)));
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    __m256 eight = _mm256_add_ps(_mm256_loadu_ps(l), _mm256_loadu_ps(l + LANES));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    __m256 sum = _mm256_broadcastss_ps(_mm_add_ss(two, _mm_movehdup_ps(two)));
    int i = 0;
    for (; i + LANES <= dim; i += LANES) _mm256_storeu_ps(out + i, _mm256_div_ps(_mm256_load_ps(acc + i), sum));
    for (; i < dim; i++) out[i] = acc[i] / _mm256_cvtss_f32(sum);
}

const qv__attention_kernels qv__attention_avx2 = {transpose, multiply, softmax, rescale, finish};
