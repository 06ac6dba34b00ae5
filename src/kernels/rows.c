#include "kernels/rows.h"

#include <math.h>

#include "kernels/half.h"

enum { LANES = 16 };

/* The tree over 16 partial sums. */
static float sum_of_lanes(float lanes[LANES]) {
    for (int step = LANES / 2; step > 0; step /= 2)
        for (int l = 0; l < step; l++) lanes[l] += lanes[l + step];
    return lanes[0];
}

static float sum_of_squares(const float *x, int64_t width, float mean) {
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < width; i++) {
        float d = x[i] - mean;
        lanes[i % LANES] = fmaf(d, d, lanes[i % LANES]);
    }
    return sum_of_lanes(lanes);
}

static void rmsnorm(float *out, const float *x, int64_t width, const float *weight, float eps) {
    float scale = 1.0f / sqrtf(sum_of_squares(x, width, 0.0f) / (float)width + eps);
    for (int64_t i = 0; i < width; i++) out[i] = x[i] * scale * weight[i];
}

static void layernorm(float *out, const float *x, int64_t width, const float *weight, const float *bias, float eps) {
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < width; i++) lanes[i % LANES] += x[i];
    float mean = sum_of_lanes(lanes) / (float)width;
    float scale = 1.0f / sqrtf(sum_of_squares(x, width, mean) / (float)width + eps);
    for (int64_t i = 0; i < width; i++) out[i] = fmaf((x[i] - mean) * scale, weight[i], bias[i]);
}

static void rope(float *x, int64_t half, const float *cos, const float *sin) {
    for (int64_t k = 0; k < half; k++) {
        float a = x[k], b = x[k + half];
        x[k] = fmaf(a, cos[k], -(b * sin[k]));
        x[k + half] = fmaf(b, cos[k], a * sin[k]);
    }
}

static inline float value_at(const void *x, qv__dtype dtype, int64_t i) {
    return qv__stored_to_float(dtype, (const unsigned char *)x + (size_t)i * qv__dtype_size(dtype));
}

static void widen(float *out, const void *x, qv__dtype dtype, int64_t width) {
    for (int64_t i = 0; i < width; i++) out[i] = value_at(x, dtype, i);
}

static void add(float *x, const float *from, int64_t width) {
    for (int64_t i = 0; i < width; i++) x[i] += from[i];
}

static void add_weighted(float *x, const float weights[4], const void *const table[4], qv__dtype dtype, int64_t width) {
    for (int64_t i = 0; i < width; i++) {
        float sum = weights[0] * value_at(table[0], dtype, i);
        for (int t = 1; t < 4; t++) sum += weights[t] * value_at(table[t], dtype, i);
        x[i] += sum;
    }
}

static const qv__rows_kernels portable = {rmsnorm, layernorm, rope, widen, add, add_weighted};

const qv__rows_kernels *qv__rows_kernels_of(qv__tier tier) {
#if defined(__x86_64__)
    if (tier == QV__TIER_AVX512) return &qv__rows_avx512;
    if (tier == QV__TIER_AVX2) return &qv__rows_avx2;
#elif defined(__aarch64__)
    if (tier == QV__TIER_NEON) return &qv__rows_neon;
#endif
    return &portable;
}

void qv__rope_frequencies(float *f, int count, double base, int dim) {
    for (int k = 0; k < count; k++) {
        float exponent = (float)(2 * k) / (float)dim;
        f[k] = 1.0f / (float)pow(base, (double)exponent);
    }
}

void qv__rope_angles(float *cosine, float *sine, const float *f, float position, int count) {
    for (int k = 0; k < count; k++) {
        double angle = (double)(position * f[k]);
        cosine[k] = (float)cos(angle);
        sine[k] = (float)sin(angle);
    }
}
