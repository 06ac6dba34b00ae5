/* The C reference of gemm8.h. */
#include "kernels/gemm8.h"

#include <math.h>
#include <string.h>

enum { GROUP = QV__INT8_GROUP, PANEL = QV__INT8_PANEL, LANES = QV__GEMM8_LANES };

/* Magnitudes compared as integers: a NaN counts as the largest, whatever the order. */
static float largest(const float *x, int count) {
    uint32_t most = 0;
    for (int i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    float value;
    memcpy(&value, &most, sizeof value);
    return value;
}

static void quantize(qv__gemm8_x *out, const float *values, const float *factors, int count) {
    float x[QV__GEMM8_K_BLOCK];
    for (int i = 0; i < count; i++) x[i] = factors ? values[i] * factors[i] : values[i];
    for (int at = 0, g = 0; at < count; at += GROUP, g++) {
        int size = count - at < GROUP ? count - at : GROUP;
        float most = largest(x + at, size);
        bool usable = isfinite(most) && most >= 0x1p-100f;
        float inverse = usable ? 127 / most : 0;
        int32_t sum = 0;
        memset(out->code + at, 0, GROUP);
        for (int i = 0; i < size && usable; i++) {
            out->code[at + i] = (int8_t)rintf(x[at + i] * inverse);
            sum += out->code[at + i];
        }
        out->scale[g] = usable ? most / 127 : isfinite(most) ? 0 : NAN;
        out->offset[g] = -128 * sum;
    }
}

static void group(float *sums, const qv__gemm8_x *x, const uint8_t *codes, const float *scales, int g) {
    int32_t sum[PANEL];
    for (int lane = 0; lane < PANEL; lane++) sum[lane] = x->offset[g];
    for (int k = 0; k < GROUP; k += 4)
        for (int lane = 0; lane < PANEL; lane++)
            for (int i = 0; i < 4; i++) sum[lane] += codes[(k * PANEL) + lane * 4 + i] * x->code[g * GROUP + k + i];
    for (int lane = 0; lane < PANEL; lane++)
        sums[lane] = fmaf((float)sum[lane], x->scale[g] * scales[lane], sums[lane]);
}

static void block(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w, int64_t rows, bool first,
                  void *scratch) {
    if (first) memset(sums, 0, (size_t)rows * LANES * sizeof *sums);
    for (int64_t r = 0; r < rows; r++)
        for (int panel = 0; panel < 2; panel++)
            for (int g = 0; g < w->groups; g++)
                group(sums + r * LANES + panel * PANEL, &x[r], w->codes[panel] + g * GROUP * PANEL,
                      w->scales[panel] + g * PANEL, g);
}

static const qv__gemm8_kernels reference = {quantize, block};

const qv__gemm8_kernels *qv__gemm8_kernels_of(qv__tier tier) {
#if defined(__x86_64__)
    if (tier == QV__TIER_AVX512 && qv__tier_has_vnni()) return &qv__gemm8_vnni;
    if (tier >= QV__TIER_AVX2) return &qv__gemm8_avx2;
#elif defined(__aarch64__)
    if (tier == QV__TIER_NEON) return qv__tier_has_dotprod() ? &qv__gemm8_dotprod : &qv__gemm8_neon;
#endif
    return &reference;
}
