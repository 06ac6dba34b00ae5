/* gemm.h with 16 lanes in four registers; tiles of up to 6 rows, 24 accumulators. */
#include "kernels/gemm.h"

#include <arm_neon.h>
#include <string.h>

#include "kernels/arm/math_neon.h"
#include "kernels/arm/transpose_neon.h"
#include "kernels/half.h"

enum { QUAD = 4, QUADS = 4, LANES = QUAD * QUADS, TILE_ROWS = 6 };

/* ---- strips: four rows of weights at a time become four lanes ---- */

/* Each of these turns the next values of four rows into fp32 lanes and tells how many of each row it took. */

/* 32 bits hold a pair of bf16, k and k+1, of a lane: fp32 is either half in the upper bits. */
static inline int64_t lanes_of_bf16(float *out, const unsigned char *const row[QUAD], size_t at) {
    float32x4_t t[4];
    for (int i = 0; i < QUAD; i++) t[i] = vreinterpretq_f32_u8(vld1q_u8(row[i] + at));
    qv__transpose_neon(t);
    for (int i = 0; i < 4; i++) {
        uint32x4_t pair = vreinterpretq_u32_f32(t[i]);
        vst1q_f32(out + 2 * i * LANES, vreinterpretq_f32_u32(vshlq_n_u32(pair, 16)));
        vst1q_f32(out + (2 * i + 1) * LANES, vreinterpretq_f32_u32(vandq_u32(pair, vdupq_n_u32(0xffff0000))));
    }
    return 8;
}

static inline int64_t lanes_of_f16(float *out, const unsigned char *const row[QUAD], size_t at) {
    float32x4_t t[4];
    for (int i = 0; i < QUAD; i++) t[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(row[i] + at)));
    qv__transpose_neon(t);
    for (int i = 0; i < 4; i++) vst1q_f32(out + i * LANES, t[i]);
    return 4;
}

static inline int64_t lanes_of_f32(float *out, const unsigned char *const row[QUAD], size_t at) {
    float32x4_t t[4];
    for (int i = 0; i < QUAD; i++) t[i] = vreinterpretq_f32_u8(vld1q_u8(row[i] + at));
    qv__transpose_neon(t);
    for (int i = 0; i < 4; i++) vst1q_f32(out + i * LANES, t[i]);
    return 4;
}

/* Four lanes of a strip; `part` of QUADS. */
static void strip_quad(float *out, const qv__gemm_weights *w, int part) {
    const size_t size = qv__dtype_size(w->dtype), from = (size_t)w->k * size;
    const unsigned char *const *row = w->rows + part * QUAD;
    const int64_t step = w->dtype == QV__BF16 ? 8 : 4, whole = w->count / step * step;
    int64_t k = 0;
    while (k < whole) {
        float *to = out + k * LANES + part * QUAD;
        size_t at = from + (size_t)k * size;
        qv__gemm_prefetch(w, (size_t)(part * whole + k) / (size_t)step, (size_t)(QUADS * whole) / (size_t)step);
        if (w->dtype == QV__BF16)
            k += lanes_of_bf16(to, row, at);
        else if (w->dtype == QV__F16)
            k += lanes_of_f16(to, row, at);
        else
            k += lanes_of_f32(to, row, at);
    }
    for (; k < w->count; k++)
        for (int i = 0; i < QUAD; i++)
            out[k * LANES + part * QUAD + i] = qv__stored_to_float(w->dtype, row[i] + from + (size_t)k * size);
}

static void strip(float *out, const qv__gemm_weights *w) {
    for (int part = 0; part < QUADS; part++) strip_quad(out, w, part);
}

/* ---- tiles ---- */

static inline __attribute__((always_inline)) void tile(float *sums, const float *x, const float *strip, int64_t count,
                                                       bool first, const int rows) {
    float32x4_t sum[TILE_ROWS][QUADS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) sum[r][i] = first ? vdupq_n_f32(0.0f) : vld1q_f32(sums + r * LANES + i * QUAD);
    for (int64_t k = 0; k < count; k++) {
        float32x4_t w[QUADS];
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) w[i] = vld1q_f32(strip + k * LANES + i * QUAD);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            float32x4_t value = vld1q_dup_f32(x + r * QV__GEMM_X_STRIDE + k);
#pragma GCC unroll 4
            for (int i = 0; i < QUADS; i++) sum[r][i] = vfmaq_f32(sum[r][i], value, w[i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) vst1q_f32(sums + r * LANES + i * QUAD, sum[r][i]);
}

/* Rows are shared out evenly: 13 are tiles of 5, 4 and 4, not of 6, 6 and 1. */
static void block(float *sums, const float *x, const float *strip, int64_t count, int64_t rows, bool first) {
    int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        int64_t from = rows * i / tiles;
        float *sum = sums + from * LANES;
        const float *at = x + from * QV__GEMM_X_STRIDE;
        switch (rows * (i + 1) / tiles - from) {
        case 1: tile(sum, at, strip, count, first, 1); break;
        case 2: tile(sum, at, strip, count, first, 2); break;
        case 3: tile(sum, at, strip, count, first, 3); break;
        case 4: tile(sum, at, strip, count, first, 4); break;
        case 5: tile(sum, at, strip, count, first, 5); break;
        default: tile(sum, at, strip, count, first, 6); break;
        }
    }
}

/* ---- epilogues: whole quads, then the rest one by one in the same operations ---- */

static inline float32x4_t apply_quad(qv__epilogue epilogue, float32x4_t value) {
    switch (epilogue) {
    case QV__EPI_GELU_TANH: return qv__gelu_tanh_neon(value);
    case QV__EPI_GELU_ERF: return qv__gelu_erf_neon(value);
    default: return value;
    }
}

static inline float apply(qv__epilogue epilogue, float value) {
    switch (epilogue) {
    case QV__EPI_GELU_TANH: return qv__gelu_tanh(value);
    case QV__EPI_GELU_ERF: return qv__gelu_erf(value);
    default: return value;
    }
}

static void finish_silu_mul(const qv__gemm_finish *f) {
    for (int64_t r = 0; r < f->rows; r++) {
        const float *gate = f->sums + r * f->sums_stride, *up = gate + f->up_lane;
        float *out = f->out + r * f->out_stride;
        int n = 0;
        for (; n + QUAD <= f->count; n += QUAD)
            vst1q_f32(out + n, vmulq_f32(qv__silu_neon(vld1q_f32(gate + n)), vld1q_f32(up + n)));
        for (; n < f->count; n++) out[n] = qv__silu(gate[n]) * up[n];
    }
}

static void finish(const qv__gemm_finish *f) {
    if (f->epilogue == QV__EPI_SILU_MUL) {
        finish_silu_mul(f);
        return;
    }
    for (int64_t r = 0; r < f->rows; r++) {
        const float *sum = f->sums + r * f->sums_stride,
                    *residual = f->residual ? f->residual + r * f->residual_stride : NULL;
        float *out = f->out + r * f->out_stride;
        int n = 0;
        for (; n + QUAD <= f->count; n += QUAD) {
            float32x4_t value = vld1q_f32(sum + n);
            if (f->bias) value = vaddq_f32(value, vld1q_f32(f->bias + n));
            value = apply_quad(f->epilogue, value);
            vst1q_f32(out + n, residual ? vaddq_f32(vld1q_f32(residual + n), value) : value);
        }
        for (; n < f->count; n++) {
            float value = apply(f->epilogue, f->bias ? sum[n] + f->bias[n] : sum[n]);
            out[n] = residual ? residual[n] + value : value;
        }
    }
}

const qv__gemm_kernels qv__gemm_neon = {LANES, strip, block, finish};
