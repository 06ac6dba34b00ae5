/* The C reference of gemm.h. The loops over lanes are what a compiler turns into vectors where it can. */
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/math.h"

enum { LANES = 16, TILE_ROWS = 4 };

static void strip(float *out, const qv__gemm_weights *w) {
    size_t size = qv__dtype_size(w->dtype);
    for (int lane = 0; lane < LANES; lane++) {
        const unsigned char *row = w->rows[lane] + (size_t)w->k * size;
        for (int64_t k = 0; k < w->count; k++) out[k * LANES + lane] = qv__stored_to_float(w->dtype, row + k * size);
    }
}

static void tile(float *sums, const float *x, const float *strip, int64_t count, int rows, bool first) {
    float sum[TILE_ROWS][LANES] = {0};
    if (!first) memcpy(sum, sums, (size_t)rows * sizeof *sum);
    for (int64_t k = 0; k < count; k++)
        for (int r = 0; r < rows; r++)
            for (int lane = 0; lane < LANES; lane++)
                sum[r][lane] = fmaf(x[r * QV__GEMM_X_STRIDE + k], strip[k * LANES + lane], sum[r][lane]);
    memcpy(sums, sum, (size_t)rows * sizeof *sum);
}

static void block(float *sums, const float *x, const float *strip, int64_t count, int64_t rows, bool first) {
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
        tile(sums + r * LANES, x + r * QV__GEMM_X_STRIDE, strip, count,
             (int)(rows - r < TILE_ROWS ? rows - r : TILE_ROWS), first);
}

static float apply(qv__epilogue epilogue, float value) {
    switch (epilogue) {
    case QV__EPI_GELU_TANH: return qv__gelu_tanh(value);
    case QV__EPI_GELU_ERF: return qv__gelu_erf(value);
    default: return value;
    }
}

static void finish(const qv__gemm_finish *f) {
    for (int64_t r = 0; r < f->rows; r++) {
        const float *sum = f->sums + r * f->sums_stride;
        float *out = f->out + r * f->out_stride;
        if (f->epilogue == QV__EPI_SILU_MUL) {
            for (int n = 0; n < f->count; n++) out[n] = qv__silu(sum[n]) * sum[f->up_lane + n];
            continue;
        }
        for (int n = 0; n < f->count; n++) {
            float value = apply(f->epilogue, f->bias ? sum[n] + f->bias[n] : sum[n]);
            out[n] = f->residual ? f->residual[r * f->residual_stride + n] + value : value;
        }
    }
}

static const qv__gemm_kernels reference = {LANES, strip, block, finish};

const qv__gemm_kernels *qv__gemm_kernels_of(qv__tier tier) {
#if defined(__x86_64__)
    if (tier == QV__TIER_AVX512) return &qv__gemm_avx512;
    if (tier == QV__TIER_AVX2) return &qv__gemm_avx2;
#elif defined(__aarch64__)
    if (tier == QV__TIER_NEON) return &qv__gemm_neon;
#endif
    return &reference;
}
