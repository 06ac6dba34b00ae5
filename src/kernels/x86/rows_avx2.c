/* Whole vectors of eight, then the rest one by one in the same operations; a sum's sixteen lanes are two registers. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/rows.h"

enum { LANES = 8 };

/* The tree over sixteen partial sums. */
static inline float sum_of_lanes(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __m256i lanes_below(int64_t count) { /* all bits set in the first `count` */
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count < LANES ? (int)count : LANES), lane);
}

/* (x - mean)², or x itself, summed; lanes beyond the width add a zero, which changes nothing. */
static inline float sum_of(const float *x, int64_t width, bool squares, float mean) {
    const __m256 middle = _mm256_set1_ps(mean);
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t i = 0; i < width; i += 2 * LANES)
        for (int half = 0; half < 2; half++) {
            int64_t at = i + half * LANES;
            __m256i m = lanes_below(width - at);
            __m256 y = width - at >= LANES ? _mm256_loadu_ps(x + at) : _mm256_maskload_ps(x + at, m);
            __m256 d = _mm256_and_ps(_mm256_sub_ps(y, middle), _mm256_castsi256_ps(m));
            sum[half] = squares ? _mm256_fmadd_ps(d, d, sum[half]) : _mm256_add_ps(sum[half], y);
        }
    return sum_of_lanes(sum[0], sum[1]);
}

static void rmsnorm(float *out, const float *x, int64_t width, const float *weight, float eps) {
    float scale = 1.0f / sqrtf(sum_of(x, width, true, 0.0f) / (float)width + eps);
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(y, _mm256_loadu_ps(weight + i)));
    }
    for (; i < width; i++) out[i] = x[i] * scale * weight[i];
}

static void layernorm(float *out, const float *x, int64_t width, const float *weight, const float *bias, float eps) {
    float mean = sum_of(x, width, false, 0.0f) / (float)width;
    float scale = 1.0f / sqrtf(sum_of(x, width, true, mean) / (float)width + eps);
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        __m256 y = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(mean)), _mm256_set1_ps(scale));
        _mm256_storeu_ps(out + i, _mm256_fmadd_ps(y, _mm256_loadu_ps(weight + i), _mm256_loadu_ps(bias + i)));
    }
    for (; i < width; i++) out[i] = fmaf((x[i] - mean) * scale, weight[i], bias[i]);
}

static void rope(float *x, int64_t half, const float *cos, const float *sin) {
    int64_t k = 0;
    for (; k + LANES <= half; k += LANES) {
        __m256 a = _mm256_loadu_ps(x + k), b = _mm256_loadu_ps(x + half + k);
        __m256 c = _mm256_loadu_ps(cos + k), s = _mm256_loadu_ps(sin + k);
        _mm256_storeu_ps(x + k, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + half + k, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
    }
    for (; k < half; k++) {
        float a = x[k], b = x[k + half];
        x[k] = fmaf(a, cos[k], -(b * sin[k]));
        x[k + half] = fmaf(b, cos[k], a * sin[k]);
    }
}

static inline __m256 stored(const void *x, qv__dtype dtype, int64_t i) {
    if (dtype == QV__F32) return _mm256_loadu_ps((const float *)((const char *)x + 4 * i));
    __m128i halves = _mm_loadu_si128((const void *)((const char *)x + 2 * i));
    if (dtype == QV__F16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline float stored_at(const void *x, qv__dtype dtype, int64_t i) {
    return qv__stored_to_float(dtype, (const unsigned char *)x + (size_t)i * qv__dtype_size(dtype));
}

static void widen(float *out, const void *x, qv__dtype dtype, int64_t width) {
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) _mm256_storeu_ps(out + i, stored(x, dtype, i));
    for (; i < width; i++) out[i] = stored_at(x, dtype, i);
}

static void add(float *x, const float *from, int64_t width) {
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        _mm256_storeu_ps(x + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(from + i)));
    for (; i < width; i++) x[i] += from[i];
}

static void add_weighted(float *x, const float weights[4], const void *const table[4], qv__dtype dtype, int64_t width) {
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        __m256 sum = _mm256_mul_ps(_mm256_set1_ps(weights[0]), stored(table[0], dtype, i));
        for (int t = 1; t < 4; t++)
            sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(weights[t]), stored(table[t], dtype, i)));
        _mm256_storeu_ps(x + i, _mm256_add_ps(_mm256_loadu_ps(x + i), sum));
    }
    for (; i < width; i++) {
        float sum = weights[0] * stored_at(table[0], dtype, i);
        for (int t = 1; t < 4; t++) sum += weights[t] * stored_at(table[t], dtype, i);
        x[i] += sum;
    }
}

const qv__rows_kernels qv__rows_avx2 = {rmsnorm, layernorm, rope, widen, add, add_weighted};
