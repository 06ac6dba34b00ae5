/* math.h, eight lanes at a time: the same operations in the same order, so the same bytes. */
#ifndef QVEC_KERNELS_X86_MATH_AVX2_H
#define QVEC_KERNELS_X86_MATH_AVX2_H

#include <immintrin.h>

#include "kernels/math.h"

static inline __m256 qv__exp_avx2(__m256 x) {
    x = _mm256_min_ps(_mm256_set1_ps(QV__EXP_HIGH), x); /* the second operand when one is NaN */
    x = _mm256_max_ps(_mm256_set1_ps(QV__EXP_LOW), x);
    const __m256 one = _mm256_set1_ps(1.0f), round = _mm256_set1_ps(QV__EXP_ROUND);
    __m256 sum = _mm256_fmadd_ps(x, _mm256_set1_ps(QV__EXP_LOG2E), round), n = _mm256_sub_ps(sum, round);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-QV__EXP_LN2_HIGH), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-QV__EXP_LN2_LOW), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(QV__EXP_C6), r, _mm256_set1_ps(QV__EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(QV__EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(QV__EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(QV__EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i whole = _mm256_sub_epi32(_mm256_castps_si256(sum), _mm256_set1_epi32(QV__EXP_ROUND_BITS));
    __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

static inline __m256 qv__negate_avx2(__m256 x) {
    return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
}

static inline __m256 qv__silu_avx2(__m256 x) {
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), qv__exp_avx2(qv__negate_avx2(x))));
}

static inline __m256 qv__gelu_tanh_avx2(__m256 x) {
    __m256 u = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(QV__GELU_B), _mm256_set1_ps(QV__GELU_A));
    __m256 e = qv__exp_avx2(qv__negate_avx2(_mm256_mul_ps(x, u)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

static inline __m256 qv__gelu_erf_avx2(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 t = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    __m256 s = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(QV__PHI_P), t, one));
    __m256 g = _mm256_fmadd_ps(_mm256_set1_ps(QV__PHI_G7), s, _mm256_set1_ps(QV__PHI_G6));
    g = _mm256_fmadd_ps(g, s, _mm256_set1_ps(QV__PHI_G5));
    g = _mm256_fmadd_ps(g, s, _mm256_set1_ps(QV__PHI_G4));
    g = _mm256_fmadd_ps(g, s, _mm256_set1_ps(QV__PHI_G3));
    g = _mm256_fmadd_ps(g, s, _mm256_set1_ps(QV__PHI_G2));
    g = _mm256_fmadd_ps(g, s, _mm256_set1_ps(QV__PHI_G1));
    __m256 e = qv__exp_avx2(_mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-0.5f), t), t));
    __m256 tail = _mm256_mul_ps(_mm256_mul_ps(g, s), e);
    __m256 below = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
    return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, tail), tail, below));
}
#endif
