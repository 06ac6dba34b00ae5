#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/rows.h"

enum { LANES = 16 };

static inline __mmask16 lanes_below(int64_t count) {
    return count >= LANES ? 0xffff : (__mmask16)((1u << count) - 1);
}

/* The tree over sixteen partial sums. */
static inline float sum_of_lanes(__m512 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float sum_of_squares(const float *x, int64_t width, float mean) {
    const __m512 middle = _mm512_set1_ps(mean);
    __m512 sum = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), middle);
        sum = _mm512_fmadd_ps(d, d, sum);
    }
    __mmask16 rest = lanes_below(width - i);
    __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(rest, x + i), middle);
    return sum_of_lanes(_mm512_mask3_fmadd_ps(d, d, sum, rest));
}

static void rmsnorm(float *out, const float *x, int64_t width, const float *weight, float eps) {
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum_of_squares(x, width, 0.0f) / (float)width + eps));
    for (int64_t i = 0; i < width; i += LANES) {
        __mmask16 m = lanes_below(width - i);
        __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), scale);
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(y, _mm512_maskz_loadu_ps(m, weight + i)));
    }
}

static void layernorm(float *out, const float *x, int64_t width, const float *weight, const float *bias, float eps) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += LANES)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes_below(width - i), x + i));
    float mean = sum_of_lanes(sum) / (float)width;
    const __m512 middle = _mm512_set1_ps(mean);
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum_of_squares(x, width, mean) / (float)width + eps));
    for (int64_t i = 0; i < width; i += LANES) {
        __mmask16 m = lanes_below(width - i);
        __m512 y = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), middle), scale);
        y = _mm512_fmadd_ps(y, _mm512_maskz_loadu_ps(m, weight + i), _mm512_maskz_loadu_ps(m, bias + i));
        _mm512_mask_storeu_ps(out + i, m, y);
    }
}

static void rope(float *x, int64_t half, const float *cos, const float *sin) {
    for (int64_t k = 0; k < half; k += LANES) {
        __mmask16 m = lanes_below(half - k);
        __m512 a = _mm512_maskz_loadu_ps(m, x + k), b = _mm512_maskz_loadu_ps(m, x + half + k);
        __m512 c = _mm512_maskz_loadu_ps(m, cos + k), s = _mm512_maskz_loadu_ps(m, sin + k);
        _mm512_mask_storeu_ps(x + k, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + k, m, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

/* Elements i .. of a stored row, as many as m has. */
static inline __m512 stored(const void *x, qv__dtype dtype, int64_t i, __mmask16 m) {
    if (dtype == QV__F32) return _mm512_maskz_loadu_ps(m, (const char *)x + 4 * i);
    __m256i halves = _mm256_maskz_loadu_epi16(m, (const char *)x + 2 * i);
    if (dtype == QV__F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static void widen(float *out, const void *x, qv__dtype dtype, int64_t width) {
    for (int64_t i = 0; i < width; i += LANES) {
        __mmask16 m = lanes_below(width - i);
        _mm512_mask_storeu_ps(out + i, m, stored(x, dtype, i, m));
    }
}

static void add(float *x, const float *from, int64_t width) {
    for (int64_t i = 0; i < width; i += LANES) {
        __mmask16 m = lanes_below(width - i);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, from + i));
        _mm512_mask_storeu_ps(x + i, m, sum);
    }
}

static void add_weighted(float *x, const float weights[4], const void *const table[4], qv__dtype dtype, int64_t width) {
    for (int64_t i = 0; i < width; i += LANES) {
        __mmask16 m = lanes_below(width - i);
        __m512 sum = _mm512_mul_ps(_mm512_set1_ps(weights[0]), stored(table[0], dtype, i, m));
        for (int t = 1; t < 4; t++)
            sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_set1_ps(weights[t]), stored(table[t], dtype, i, m)));
        _mm512_mask_storeu_ps(x + i, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + i), sum));
    }
}

const qv__rows_kernels qv__rows_avx512 = {rmsnorm, layernorm, rope, widen, add, add_weighted};
