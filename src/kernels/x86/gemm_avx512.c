/* gemm.h with 32 lanes in two registers; tiles of up to 12 rows, 24 accumulators. */
#include "kernels/gemm.h"

#include <immintrin.h>

#include "kernels/half.h"
#include "kernels/x86/math_avx512.h"

enum { LANES = 32, HALF = LANES / 2, TILE_ROWS = 12, LINE = 64 };

/* ---- strips: sixteen rows of weights at a time become sixteen lanes ---- */

/* In: t[i] = values 0..3 of rows i, i+4, i+8, i+12. Out: t[j] = value j of rows 0..15. */
static inline void transpose(__m512i t[4]) {
    __m512i a = _mm512_unpacklo_epi32(t[0], t[1]), b = _mm512_unpackhi_epi32(t[0], t[1]);
    __m512i c = _mm512_unpacklo_epi32(t[2], t[3]), d = _mm512_unpackhi_epi32(t[2], t[3]);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}

static inline __m128i load16(const unsigned char *at) {
    return _mm_loadu_si128((const void *)at);
}
static inline __m128i load8(const unsigned char *at) {
    return _mm_loadl_epi64((const void *)at);
}

/* 16 bytes each of rows i, i+4, i+8, i+12, from byte `at` of the rows. */
static inline void load(__m512i t[4], const unsigned char *const *rows, size_t at) {
    for (int i = 0; i < 4; i++) {
        __m512i four = _mm512_castsi128_si512(load16(rows[i] + at));
        four = _mm512_inserti32x4(four, load16(rows[i + 4] + at), 1);
        four = _mm512_inserti32x4(four, load16(rows[i + 8] + at), 2);
        t[i] = _mm512_inserti32x4(four, load16(rows[i + 12] + at), 3);
    }
}

/* A register holds a pair of bf16, k and k+1, per lane: fp32 is either half in the upper bits. */
static inline void eight_bf16(float *out, const unsigned char *const *rows, size_t at) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __m512i t[4];
    load(t, rows, at);
    transpose(t);
    for (int i = 0; i < 4; i++) {
        _mm512_store_si512(out + 2 * i * LANES, _mm512_slli_epi32(t[i], 16));
        _mm512_store_si512(out + (2 * i + 1) * LANES, _mm512_and_si512(t[i], upper));
    }
}

static inline void four_f16(float *out, const unsigned char *const *rows, size_t at) {
    __m512i t[4];
    for (int i = 0; i < 4; i++) {
        __m128i low = _mm_unpacklo_epi64(load8(rows[i] + at), load8(rows[i + 4] + at));
        __m128i high = _mm_unpacklo_epi64(load8(rows[i + 8] + at), load8(rows[i + 12] + at));
        t[i] = _mm512_castps_si512(_mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1)));
    }
    transpose(t);
    for (int i = 0; i < 4; i++) _mm512_store_si512(out + i * LANES, t[i]);
}

static inline void four_f32(float *out, const unsigned char *const *rows, size_t at) {
    __m512i t[4];
    load(t, rows, at);
    transpose(t);
    for (int i = 0; i < 4; i++) _mm512_store_si512(out + i * LANES, t[i]);
}

static void strip(float *out, const qv__gemm_weights *w) {
    size_t size = qv__dtype_size(w->dtype), first = (size_t)w->k * size, ahead = (size_t)w->ahead_k * size;
    int64_t step = w->dtype == QV__BF16 ? 8 : 4, k = 0;
    for (; k + step <= w->count; k += step) {
        size_t at = (size_t)k * size;
        if (w->ahead && at % LINE == 0)
            for (int lane = 0; lane < LANES; lane++) _mm_prefetch(w->ahead[lane] + ahead + at, _MM_HINT_T1);
        for (int lane = 0; lane < LANES; lane += HALF) {
            float *to = out + k * LANES + lane;
            if (w->dtype == QV__BF16)
                eight_bf16(to, w->rows + lane, first + at);
            else if (w->dtype == QV__F16)
                four_f16(to, w->rows + lane, first + at);
            else
                four_f32(to, w->rows + lane, first + at);
        }
    }
    for (; k < w->count; k++)
        for (int lane = 0; lane < LANES; lane++)
            out[k * LANES + lane] = qv__stored_to_float(w->dtype, w->rows[lane] + first + (size_t)k * size);
}

/* ---- tiles ---- */

static inline __attribute__((always_inline)) void tile(float *sums, const float *x, const float *strip, int64_t count,
                                                       bool first, const int rows) {
    __m512 sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++)
            sum[r][i] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * LANES + i * HALF);
    for (int64_t k = 0; k < count; k++) {
        __m512 w0 = _mm512_load_ps(strip + k * LANES), w1 = _mm512_load_ps(strip + k * LANES + HALF);
        for (int r = 0; r < rows; r++) {
            __m512 value = _mm512_set1_ps(x[r * QV__GEMM_X_STRIDE + k]);
            sum[r][0] = _mm512_fmadd_ps(value, w0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(value, w1, sum[r][1]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) _mm512_storeu_ps(sums + r * LANES + i * HALF, sum[r][i]);
}

/* Rows are shared out evenly: 25 are tiles of 9, 8 and 8, not of 12, 12 and 1. */
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
        case 6: tile(sum, at, strip, count, first, 6); break;
        case 7: tile(sum, at, strip, count, first, 7); break;
        case 8: tile(sum, at, strip, count, first, 8); break;
        case 9: tile(sum, at, strip, count, first, 9); break;
        case 10: tile(sum, at, strip, count, first, 10); break;
        case 11: tile(sum, at, strip, count, first, 11); break;
        default: tile(sum, at, strip, count, first, 12); break;
        }
    }
}

/* ---- epilogues ---- */

/* The first `count` lanes; all when it is 16 or more. */
static inline __mmask16 mask_of(int count) {
    return (__mmask16)(count >= HALF ? 0xffff : (1 << count) - 1);
}

static inline __m512 apply(qv__epilogue epilogue, __m512 value) {
    switch (epilogue) {
    case QV__EPI_GELU_TANH: return qv__gelu_tanh_avx512(value);
    case QV__EPI_GELU_ERF: return qv__gelu_erf_avx512(value);
    default: return value;
    }
}

static void finish_silu_mul(const qv__gemm_finish *f) {
    __mmask16 mask = mask_of(f->count);
    for (int64_t r = 0; r < f->rows; r++) {
        const float *sum = f->sums + r * LANES;
        __m512 value = _mm512_mul_ps(qv__silu_avx512(_mm512_loadu_ps(sum)), _mm512_loadu_ps(sum + HALF));
        _mm512_mask_storeu_ps(f->out + r * f->out_stride, mask, value);
    }
}

static void finish(const qv__gemm_finish *f) {
    if (f->epilogue == QV__EPI_SILU_MUL) {
        finish_silu_mul(f);
        return;
    }
    for (int n = 0; n < f->count; n += HALF) {
        __mmask16 mask = mask_of(f->count - n);
        __m512 bias = f->bias ? _mm512_maskz_loadu_ps(mask, f->bias + n) : _mm512_setzero_ps();
        for (int64_t r = 0; r < f->rows; r++) {
            __m512 value = _mm512_loadu_ps(f->sums + r * LANES + n);
            if (f->bias) value = _mm512_add_ps(value, bias);
            value = apply(f->epilogue, value);
            if (f->residual)
                value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, f->residual + r * f->residual_stride + n), value);
            _mm512_mask_storeu_ps(f->out + r * f->out_stride + n, mask, value);
        }
    }
}

const qv__gemm_kernels qv__gemm_avx512 = {LANES, strip, block, finish};
