/* exp and the activations in fp32, one value at a time, in operations that every tier repeats literally:
 * x86/math_avx2.h and x86/math_avx512.h give the same bytes lane by lane. NaN in gives NaN out.
 *
 * exp: within 0.9 ulp; results below the smallest subnormal are +0, above the largest float +inf.
 * silu, gelu_tanh, gelu_erf: within 1.2e-7, 1.2e-7 and 2.1e-7 times |x| of the exact value. */
#ifndef QVEC_KERNELS_MATH_H
#define QVEC_KERNELS_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* exp(x) = 2^n p(r), n = round(x / ln 2), r = x - n ln 2. Adding ROUND leaves n in the low bits of the sum. */
#define QV__EXP_LOW (-104.0f) /* exp of it rounds to 0 */
#define QV__EXP_HIGH 89.0f    /* exp of it is +inf */
#define QV__EXP_LOG2E 0x1.715476p+0f
#define QV__EXP_ROUND 0x1.8p+23f
#define QV__EXP_ROUND_BITS 0x4b400000
#define QV__EXP_LN2_HIGH 0x1.62e43p-1f
#define QV__EXP_LN2_LOW (-0x1.05c61p-29f)
/* p(r) = 1 + r + r² (C2 + C3 r + ...), minimax on |r| <= ln 2 / 2: relative error 3.1e-9. */
#define QV__EXP_C2 0x1.fffffcp-2f
#define QV__EXP_C3 0x1.55549p-3f
#define QV__EXP_C4 0x1.5558f4p-5f
#define QV__EXP_C5 0x1.123a6cp-7f
#define QV__EXP_C6 0x1.6a2352p-10f

/* gelu_tanh(x) = x / (1 + exp(-x (A + B x²))), A = 2 sqrt(2/pi), B = 0.044715 A: the tanh form, rewritten. */
#define QV__GELU_A 0x1.988454p+0f
#define QV__GELU_B 0x1.2444f2p-4f

/* gelu_erf(x) = x Phi(x); Phi(-t) = exp(-t²/2) (G1 s + ... + G7 s^7), s = 1 / (1 + P t), t >= 0: absolute error 1e-8.
 */
#define QV__PHI_P 0.34375f
#define QV__PHI_G1 0x1.16674p-3f
#define QV__PHI_G2 0x1.281262p-3f
#define QV__PHI_G3 0x1.c66da2p-4f
#define QV__PHI_G4 0x1.c6843p-5f
#define QV__PHI_G5 0x1.6655cp-3f
#define QV__PHI_G6 (-0x1.460554p-3f)
#define QV__PHI_G7 0x1.317854p-5f

static inline float qv__float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t qv__bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float qv__exp(float x) {
    x = QV__EXP_HIGH < x ? QV__EXP_HIGH : x; /* in this order NaN stays */
    x = QV__EXP_LOW > x ? QV__EXP_LOW : x;
    float sum = fmaf(x, QV__EXP_LOG2E, QV__EXP_ROUND), n = sum - QV__EXP_ROUND;
    float r = fmaf(n, -QV__EXP_LN2_HIGH, x);
    r = fmaf(n, -QV__EXP_LN2_LOW, r);
    float p = fmaf(QV__EXP_C6, r, QV__EXP_C5);
    p = fmaf(p, r, QV__EXP_C4);
    p = fmaf(p, r, QV__EXP_C3);
    p = fmaf(p, r, QV__EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    /* 2^n in two factors: the first product is exact, the second rounds once where the result is subnormal. */
    int32_t whole = (int32_t)(qv__bits_of_float(sum) - QV__EXP_ROUND_BITS), half = whole >> 1;
    p *= qv__float_of_bits(((uint32_t)half + 127) << 23);
    return p * qv__float_of_bits(((uint32_t)whole - (uint32_t)half + 127) << 23);
}

static inline float qv__silu(float x) {
    return x / (1.0f + qv__exp(-x));
}

static inline float qv__gelu_tanh(float x) {
    return x / (1.0f + qv__exp(-(x * fmaf(x * x, QV__GELU_B, QV__GELU_A))));
}

static inline float qv__gelu_erf(float x) {
    float t = fabsf(x), s = 1.0f / fmaf(QV__PHI_P, t, 1.0f);
    float g = fmaf(QV__PHI_G7, s, QV__PHI_G6);
    g = fmaf(g, s, QV__PHI_G5);
    g = fmaf(g, s, QV__PHI_G4);
    g = fmaf(g, s, QV__PHI_G3);
    g = fmaf(g, s, QV__PHI_G2);
    g = fmaf(g, s, QV__PHI_G1);
    float tail = (g * s) * qv__exp((-0.5f * t) * t);
    return x * (x < 0 ? tail : 1.0f - tail);
}
#endif
