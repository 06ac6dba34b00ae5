/* math.h, sixteen lanes at a time: the same operations in the same order, so the same bytes. (scalef is the exact
 * product p 2^n rounded once, which is what the two factors of the scalar form give.) */
#ifndef QVEC_KERNELS_X86_MATH_AVX512_H
#define QVEC_KERNELS_X86_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/math.h"

static inline __m512 qv__exp_avx512(__m512 x) {
    x = _mm512_min_ps(_mm512_set1_ps(QV__EXP_HIGH), x); /* the second operand when one is NaN */
    x = _mm512_max_ps(_mm512_set1_ps(QV__EXP_LOW), x);
    const __m512 one = _mm512_set1_ps(1.0f), round = _mm512_set1_ps(QV__EXP_ROUND);
    __m512 sum = _mm512_fmadd_ps(x, _mm512_set1_ps(QV__EXP_LOG2E), round), n = _mm512_sub_ps(sum, round);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-QV__EXP_LN2_HIGH), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-QV__EXP_LN2_LOW), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(QV__EXP_C6), r, _mm512_set1_ps(QV__EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(QV__EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(QV__EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(QV__EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    return _mm512_scalef_ps(p, n);
}

static inline __m512 qv__negate_avx512(__m512 x) {
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
}

static inline __m512 qv__silu_avx512(__m512 x) {
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), qv__exp_avx512(qv__negate_avx512(x))));
}

static inline __m512 qv__gelu_tanh_avx512(__m512 x) {
    __m512 u = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(QV__GELU_B), _mm512_set1_ps(QV__GELU_A));
    __m512 e = qv__exp_avx512(qv__negate_avx512(_mm512_mul_ps(x, u)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

static inline __m512 qv__gelu_erf_avx512(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 t = _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
    __m512 s = _mm512_div_ps(one, _mm512_fmadd_ps(_mm512_set1_ps(QV__PHI_P), t, one));
    __m512 g = _mm512_fmadd_ps(_mm512_set1_ps(QV__PHI_G7), s, _mm512_set1_ps(QV__PHI_G6));
    g = _mm512_fmadd_ps(g, s, _mm512_set1_ps(QV__PHI_G5));
    g = _mm512_fmadd_ps(g, s, _mm512_set1_ps(QV__PHI_G4));
    g = _mm512_fmadd_ps(g, s, _mm512_set1_ps(QV__PHI_G3));
    g = _mm512_fmadd_ps(g, s, _mm512_set1_ps(QV__PHI_G2));
    g = _mm512_fmadd_ps(g, s, _mm512_set1_ps(QV__PHI_G1));
    __m512 e = qv__exp_avx512(_mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(-0.5f), t), t));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(g, s), e);
    __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(x, _mm512_mask_blend_ps(below, _mm512_sub_ps(one, tail), tail));
}
#endif
