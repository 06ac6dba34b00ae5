/* Whole vectors of four, then the rest one by one in the same operations; a sum's sixteen lanes are four registers. */
#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/half.h"
#include "kernels/rows.h"

enum { QUAD = 4, QUADS = 4, LANES = QUAD * QUADS };

/* The tree over sixteen partial sums. */
static inline float sum_of_lanes(const float l[LANES]) {
    float32x4_t low = vaddq_f32(vld1q_f32(l), vld1q_f32(l + 8)), high = vaddq_f32(vld1q_f32(l + 4), vld1q_f32(l + 12));
    float32x4_t four = vaddq_f32(low, high);
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* (x - mean)², or x itself, summed. */
static inline float sum_of(const float *x, int64_t width, bool squares, float mean) {
    float32x4_t sum[QUADS];
    float lanes[LANES];
    int64_t i = 0;
    for (int q = 0; q < QUADS; q++) sum[q] = vdupq_n_f32(0.0f);
    for (; i + LANES <= width; i += LANES)
        for (int q = 0; q < QUADS; q++) {
            float32x4_t y = vld1q_f32(x + i + q * QUAD), d = vsubq_f32(y, vdupq_n_f32(mean));
            sum[q] = squares ? vfmaq_f32(sum[q], d, d) : vaddq_f32(sum[q], y);
        }
    for (int q = 0; q < QUADS; q++) vst1q_f32(lanes + q * QUAD, sum[q]);
    for (int l = 0; i < width; i++, l++) {
        float d = x[i] - mean;
        lanes[l] = squares ? fmaf(d, d, lanes[l]) : lanes[l] + x[i];
    }
    return sum_of_lanes(lanes);
}

static void rmsnorm(float *out, const float *x, int64_t width, const float *weight, float eps) {
    float scale = 1.0f / sqrtf(sum_of(x, width, true, 0.0f) / (float)width + eps);
    int64_t i = 0;
    for (; i + QUAD <= width; i += QUAD)
        vst1q_f32(out + i, vmulq_f32(vmulq_f32(vld1q_f32(x + i), vdupq_n_f32(scale)), vld1q_f32(weight + i)));
    for (; i < width; i++) out[i] = x[i] * scale * weight[i];
}

static void layernorm(float *out, const float *x, int64_t width, const float *weight, const float *bias, float eps) {
    float mean = sum_of(x, width, false, 0.0f) / (float)width;
    float scale = 1.0f / sqrtf(sum_of(x, width, true, mean) / (float)width + eps);
    int64_t i = 0;
    for (; i + QUAD <= width; i += QUAD) {
        float32x4_t y = vmulq_f32(vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(mean)), vdupq_n_f32(scale));
        vst1q_f32(out + i, vfmaq_f32(vld1q_f32(bias + i), y, vld1q_f32(weight + i)));
    }
    for (; i < width; i++) out[i] = fmaf((x[i] - mean) * scale, weight[i], bias[i]);
}

static void rope(float *x, int64_t half, const float *cos, const float *sin) {
    int64_t k = 0;
    for (; k + QUAD <= half; k += QUAD) {
        float32x4_t a = vld1q_f32(x + k), b = vld1q_f32(x + half + k);
        float32x4_t c = vld1q_f32(cos + k), s = vld1q_f32(sin + k);
        vst1q_f32(x + k, vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c));
        vst1q_f32(x + half + k, vfmaq_f32(vmulq_f32(a, s), b, c));
    }
    for (; k < half; k++) {
        float a = x[k], b = x[k + half];
        x[k] = fmaf(a, cos[k], -(b * sin[k]));
        x[k + half] = fmaf(b, cos[k], a * sin[k]);
    }
}

static inline float32x4_t stored(const void *x, qv__dtype dtype, int64_t i) {
    const unsigned char *at = (const unsigned char *)x + (size_t)i * qv__dtype_size(dtype);
    if (dtype == QV__F32) return vreinterpretq_f32_u8(vld1q_u8(at));
    uint8x8_t halves = vld1_u8(at);
    if (dtype == QV__F16) return vcvt_f32_f16(vreinterpret_f16_u8(halves));
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(halves), 16));
}

static inline float stored_at(const void *x, qv__dtype dtype, int64_t i) {
    return qv__stored_to_float(dtype, (const unsigned char *)x + (size_t)i * qv__dtype_size(dtype));
}

static void widen(float *out, const void *x, qv__dtype dtype, int64_t width) {
    int64_t i = 0;
    for (; i + QUAD <= width; i += QUAD) vst1q_f32(out + i, stored(x, dtype, i));
    for (; i < width; i++) out[i] = stored_at(x, dtype, i);
}

static void add(float *x, const float *from, int64_t width) {
    int64_t i = 0;
    for (; i + QUAD <= width; i += QUAD) vst1q_f32(x + i, vaddq_f32(vld1q_f32(x + i), vld1q_f32(from + i)));
    for (; i < width; i++) x[i] += from[i];
}

static void add_weighted(float *x, const float weights[4], const void *const table[4], qv__dtype dtype, int64_t width) {
    int64_t i = 0;
    for (; i + QUAD <= width; i += QUAD) {
        float32x4_t sum = vmulq_f32(vdupq_n_f32(weights[0]), stored(table[0], dtype, i));
        for (int t = 1; t < 4; t++)
            sum = vaddq_f32(sum, vmulq_f32(vdupq_n_f32(weights[t]), stored(table[t], dtype, i)));
        vst1q_f32(x + i, vaddq_f32(vld1q_f32(x + i), sum));
    }
    for (; i < width; i++) {
        float sum = weights[0] * stored_at(table[0], dtype, i);
        for (int t = 1; t < 4; t++) sum += weights[t] * stored_at(table[t], dtype, i);
        x[i] += sum;
    }
}

const qv__rows_kernels qv__rows_neon = {rmsnorm, layernorm, rope, widen, add, add_weighted};
