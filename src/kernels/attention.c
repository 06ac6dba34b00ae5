#include "kernels/attention.h"

#include <string.h>

#include "kernels/math.h"

static void transpose(float *out, const float *const row[], int count, int dim) {
    for (int k = 0; k < dim; k++)
        for (int j = 0; j < QV__KEY_BLOCK; j++) out[k * QV__KEY_BLOCK + j] = j < count ? row[j][k] : 0.0f;
}

static void multiply(float *c, int64_t c_stride, const float *a, int rows, const float *b, int64_t b_stride, int depth,
                     int width, bool keep) {
    for (int r = 0; r < rows; r++, c += c_stride, a += QV__TILE_STRIDE) {
        if (!keep) memset(c, 0, (size_t)width * sizeof *c);
        for (int k = 0; k < depth; k++)
            for (int n = 0; n < width; n++) c[n] = fmaf(a[k], b[k * b_stride + n], c[n]);
    }
}

static float softmax_row(float *s, int count, float scale, float *m, float l[QV__SUM_LANES]) {
    float highest = -INFINITY;
    for (int j = 0; j < count; j++)
        if (s[j] > highest) highest = s[j];
    highest *= scale;
    if (!(highest > *m)) highest = *m;
    float c = qv__exp(*m - highest);
    for (int i = 0; i < QV__SUM_LANES; i++) l[i] *= c;
    for (int j = 0; j < count; j++) l[j % QV__SUM_LANES] += s[j] = qv__exp(fmaf(scale, s[j], -highest));
    *m = highest;
    return c;
}

static void softmax(float *s, int rows, const int count[], float scale, float m[], float l[][QV__SUM_LANES],
                    float c[]) {
    for (int r = 0; r < rows; r++, s += QV__TILE_STRIDE)
        c[r] = count[r] > 0 ? softmax_row(s, count[r], scale, &m[r], l[r]) : 1.0f;
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i++) acc[i] *= by;
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    float sum[QV__SUM_LANES];
    memcpy(sum, l, sizeof sum);
    for (int step = QV__SUM_LANES / 2; step > 0; step /= 2)
        for (int i = 0; i < step; i++) sum[i] += sum[i + step];
    for (int i = 0; i < dim; i++) out[i] = acc[i] / sum[0];
}

static const qv__attention_kernels portable = {transpose, multiply, softmax, rescale, finish};

const qv__attention_kernels *qv__attention_kernels_of(qv__tier tier) {
#if defined(__x86_64__)
    if (tier == QV__TIER_AVX512) return &qv__attention_avx512;
    if (tier == QV__TIER_AVX2) return &qv__attention_avx2;
#elif defined(__aarch64__)
    if (tier == QV__TIER_NEON) return &qv__attention_neon;
#endif
    return &portable;
}
