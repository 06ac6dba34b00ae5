#include "kernels/resample.h"

#include <math.h>

enum { FRACTION = 22 };

static uint8_t clip(int32_t sum) {
    int32_t v = sum >> FRACTION;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void columns_fixed(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                          const qv__axis *axis) {
    for (int64_t r = 0; r < rows; r++, out += out_stride, in += in_stride)
        for (int32_t i = 0; i < axis->outputs; i++) {
            const int32_t *w = axis->weights.fixed + (int64_t)i * axis->stride;
            const uint8_t *p = in + 3 * (int64_t)axis->windows[i].first;
            int32_t red = 1 << (FRACTION - 1), green = red, blue = red;
            for (int32_t j = 0; j < axis->windows[i].taps; j++, p += 3) {
                red += w[j] * p[0];
                green += w[j] * p[1];
                blue += w[j] * p[2];
            }
            out[3 * i] = clip(red);
            out[3 * i + 1] = clip(green);
            out[3 * i + 2] = clip(blue);
        }
}

static void rows_fixed(uint8_t *out, const uint8_t *in, int64_t in_stride, const int32_t *weights, int taps,
                       int64_t count) {
    enum { WIDTH = 64 }; /* sums of this many columns stay in registers */
    for (int64_t at = 0; at < count; at += WIDTH) {
        int32_t sums[WIDTH], n = (int32_t)(count - at < WIDTH ? count - at : WIDTH);
        for (int32_t i = 0; i < n; i++) sums[i] = 1 << (FRACTION - 1);
        for (int j = 0; j < taps; j++)
            for (int32_t i = 0; i < n; i++) sums[i] += weights[j] * in[j * in_stride + at + i];
        for (int32_t i = 0; i < n; i++) out[at + i] = clip(sums[i]);
    }
}

static void columns_real(float *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                         const qv__axis *axis) {
    for (int64_t r = 0; r < rows; r++, out += out_stride, in += in_stride)
        for (int32_t i = 0; i < axis->outputs; i++) {
            const float *w = axis->weights.real + (int64_t)i * axis->stride;
            const uint8_t *p = in + 3 * (int64_t)axis->windows[i].first;
            int32_t taps = axis->windows[i].taps, plain = 1 + (taps - 1) / 4 * 4;
            for (int c = 0; c < 3; c++) {
                float sum = w[0] * (float)p[c];
                for (int32_t j = 1; j < plain; j++) sum += w[j] * (float)p[3 * j + c];
                for (int32_t j = plain; j < taps; j++) sum = fmaf((float)p[3 * j + c], w[j], sum);
                out[3 * i + c] = sum;
            }
        }
}

static void rows_real(uint8_t *out, const float *in, int64_t in_stride, const float *weights, int taps, int64_t count) {
    int plain = 1 + (taps - 1) / 4 * 4;
    for (int64_t i = 0; i < count; i++) {
        float sum = weights[0] * in[i];
        for (int j = 1; j < plain; j++) sum += weights[j] * in[j * in_stride + i];
        for (int j = plain; j < taps; j++) sum = fmaf(in[j * in_stride + i], weights[j], sum);
        out[i] = (uint8_t)rintf(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

const qv__resample_kernels qv__resample_c = {columns_fixed, rows_fixed, columns_real, rows_real};

const qv__resample_kernels *qv__resample_kernels_of(qv__tier tier) {
#if defined(__x86_64__)
    if (tier >= QV__TIER_AVX2) return &qv__resample_avx2;
#endif
    return &qv__resample_c;
}
