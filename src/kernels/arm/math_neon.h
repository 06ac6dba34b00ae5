/* math.h, four lanes at a time: the same operations in the same order, so the same bytes. */
#ifndef QVEC_KERNELS_ARM_MATH_NEON_H
#define QVEC_KERNELS_ARM_MATH_NEON_H

#include <arm_neon.h>

#include "kernels/math.h"

/* 2^n for n of an exp's range, as bits. */
static inline float32x4_t qv__power_of_two_neon(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

static inline float32x4_t qv__exp_neon(float32x4_t x) {
    x = vminq_f32(vdupq_n_f32(QV__EXP_HIGH), x); /* NaN when either is */
    x = vmaxq_f32(vdupq_n_f32(QV__EXP_LOW), x);
    const float32x4_t one = vdupq_n_f32(1.0f), round = vdupq_n_f32(QV__EXP_ROUND);
    float32x4_t sum = vfmaq_f32(round, x, vdupq_n_f32(QV__EXP_LOG2E)), n = vsubq_f32(sum, round);
    float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-QV__EXP_LN2_HIGH));
    r = vfmaq_f32(r, n, vdupq_n_f32(-QV__EXP_LN2_LOW));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(QV__EXP_C5), vdupq_n_f32(QV__EXP_C6), r);
    p = vfmaq_f32(vdupq_n_f32(QV__EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(QV__EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(QV__EXP_C2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    int32x4_t whole = vsubq_s32(vreinterpretq_s32_f32(sum), vdupq_n_s32(QV__EXP_ROUND_BITS));
    int32x4_t half = vshrq_n_s32(whole, 1);
    p = vmulq_f32(p, qv__power_of_two_neon(half));
    return vmulq_f32(p, qv__power_of_two_neon(vsubq_s32(whole, half)));
}

static inline float32x4_t qv__silu_neon(float32x4_t x) {
    return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), qv__exp_neon(vnegq_f32(x))));
}

static inline float32x4_t qv__gelu_tanh_neon(float32x4_t x) {
    float32x4_t u = vfmaq_f32(vdupq_n_f32(QV__GELU_A), vmulq_f32(x, x), vdupq_n_f32(QV__GELU_B));
    float32x4_t e = qv__exp_neon(vnegq_f32(vmulq_f32(x, u)));
    return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), e));
}

static inline float32x4_t qv__gelu_erf_neon(float32x4_t x) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t t = vabsq_f32(x), s = vdivq_f32(one, vfmaq_f32(one, vdupq_n_f32(QV__PHI_P), t));
    float32x4_t g = vfmaq_f32(vdupq_n_f32(QV__PHI_G6), vdupq_n_f32(QV__PHI_G7), s);
    g = vfmaq_f32(vdupq_n_f32(QV__PHI_G5), g, s);
    g = vfmaq_f32(vdupq_n_f32(QV__PHI_G4), g, s);
    g = vfmaq_f32(vdupq_n_f32(QV__PHI_G3), g, s);
    g = vfmaq_f32(vdupq_n_f32(QV__PHI_G2), g, s);
    g = vfmaq_f32(vdupq_n_f32(QV__PHI_G1), g, s);
    float32x4_t e = qv__exp_neon(vmulq_f32(vmulq_f32(vdupq_n_f32(-0.5f), t), t));
    float32x4_t tail = vmulq_f32(vmulq_f32(g, s), e);
    uint32x4_t below = vcltq_f32(x, vdupq_n_f32(0.0f));
    return vmulq_f32(x, vbslq_f32(below, tail, vsubq_f32(one, tail)));
}
#endif
