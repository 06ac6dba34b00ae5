/* gemm.h with 32 lanes in two registers; tiles of up to 12 rows, 24 accumulators. */
#include "kernels/gemm.h"

#include <immintrin.h>

#include "kernels/x86/math_avx512.h"

enum { LANES = 32, HALF = LANES / 2, TILE_ROWS = 12, LINE = 64 };

/* The first `count` lanes; all when it is 16 or more. */
static inline __mmask16 mask_of(int count) {
    return (__mmask16)(count >= HALF ? 0xffff : (1 << count) - 1);
}

/* ---- strips: sixteen rows of weights at a time become sixteen lanes ---- */

/* t[i] = values 0..15 of row i -> t[j] = value j of rows 0..15. */
static inline void transpose(__m512i t[16]) {
    __m512i a[16];
    for (int i = 0; i < 16; i += 4) { /* 4x4 within 128 bits: a[i + j] = values j, 4+j, 8+j, 12+j of rows i..i+3 */
        __m512i b0 = _mm512_unpacklo_epi32(t[i], t[i + 1]), b1 = _mm512_unpackhi_epi32(t[i], t[i + 1]);
        __m512i b2 = _mm512_unpacklo_epi32(t[i + 2], t[i + 3]), b3 = _mm512_unpackhi_epi32(t[i + 2], t[i + 3]);
        a[i] = _mm512_unpacklo_epi64(b0, b2);
        a[i + 1] = _mm512_unpackhi_epi64(b0, b2);
        a[i + 2] = _mm512_unpacklo_epi64(b1, b3);
        a[i + 3] = _mm512_unpackhi_epi64(b1, b3);
    }
    for (int j = 0; j < 4; j++) { /* 4x4 of 128 bits */
        __m512i b0 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88), b1 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
        __m512i b2 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88),
                b3 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
        t[j] = _mm512_shuffle_i32x4(b0, b2, 0x88);
        t[8 + j] = _mm512_shuffle_i32x4(b0, b2, 0xdd);
        t[4 + j] = _mm512_shuffle_i32x4(b1, b3, 0x88);
        t[12 + j] = _mm512_shuffle_i32x4(b1, b3, 0xdd);
    }
}

/* A block of sixteen rows of weights, row after row, zeros behind it up to a whole line. In place, lines of more than
 * eight rows that are a multiple of 4096 bytes apart, as they often are, cannot be in the level-1 cache together. */
typedef struct {
    _Alignas(LINE) unsigned char row[HALF][QV__GEMM_K_BLOCK * sizeof(float) + LINE];
} stage;

/* Bytes [at, at + count) of the rows. */
static inline void fill_stage(stage *s, const unsigned char *const *rows, size_t at, size_t count) {
    for (int i = 0; i < HALF; i++)
        for (size_t b = 0; b < count; b += LINE) {
            __mmask64 mask = count - b >= LINE ? ~0ull : (1ull << (count - b)) - 1;
            _mm512_store_si512(s->row[i] + b, _mm512_maskz_loadu_epi8(mask, rows[i] + at + b));
        }
}

/* Each of these turns values from byte `at` of a stage on, a register of each row, into fp32 lanes. */

/* A register holds a pair of bf16, k and k+1, per lane: fp32 is either half in the upper bits. */
static inline void lanes_of_bf16(float *out, const stage *s, size_t at) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __m512i t[16];
    for (int i = 0; i < 16; i++) t[i] = _mm512_load_si512(s->row[i] + at);
    transpose(t);
    for (int i = 0; i < 16; i++) {
        _mm512_store_si512(out + 2 * i * LANES, _mm512_slli_epi32(t[i], 16));
        _mm512_store_si512(out + (2 * i + 1) * LANES, _mm512_and_si512(t[i], upper));
    }
}

static inline void lanes_of_f16(float *out, const stage *s, size_t at) {
    __m512i t[16];
    for (int i = 0; i < 16; i++)
        t[i] = _mm512_castps_si512(_mm512_cvtph_ps(_mm256_load_si256((const void *)(s->row[i] + at))));
    transpose(t);
    for (int i = 0; i < 16; i++) _mm512_store_si512(out + i * LANES, t[i]);
}

static inline void lanes_of_f32(float *out, const stage *s, size_t at) {
    __m512i t[16];
    for (int i = 0; i < 16; i++) t[i] = _mm512_load_si512(s->row[i] + at);
    transpose(t);
    for (int i = 0; i < 16; i++) _mm512_store_si512(out + i * LANES, t[i]);
}

/* Lanes beyond count, up to a whole register of k, become 0. */
static void strip(float *out, const qv__gemm_weights *w) {
    size_t size = qv__dtype_size(w->dtype), bytes = (size_t)w->count * size;
    size_t step = w->dtype == QV__F16 ? LINE / 2 : LINE; /* bytes of a row that make a register */
    size_t steps = (bytes + step - 1) / step;
    stage s;
    for (size_t half = 0; half < 2; half++) {
        fill_stage(&s, w->rows + half * HALF, (size_t)w->k * size, bytes);
        for (size_t i = 0; i < steps; i++) {
            float *to = out + i * step / size * LANES + half * HALF;
            qv__gemm_prefetch(w, half * steps + i, 2 * steps);
            if (w->dtype == QV__BF16)
                lanes_of_bf16(to, &s, i * step);
            else if (w->dtype == QV__F16)
                lanes_of_f16(to, &s, i * step);
            else
                lanes_of_f32(to, &s, i * step);
        }
    }
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

/* A store under a mask costs some CPUs as much as dozens of plain ones, so only the last strip has any. */
static inline void store(float *to, __mmask16 mask, __m512 value) {
    if (mask == 0xffff)
        _mm512_storeu_ps(to, value);
    else
        _mm512_mask_storeu_ps(to, mask, value);
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
        const float *sum = f->sums + r * f->sums_stride;
        __m512 value = _mm512_mul_ps(qv__silu_avx512(_mm512_loadu_ps(sum)), _mm512_loadu_ps(sum + f->up_lane));
        store(f->out + r * f->out_stride, mask, value);
    }
}

enum { CHUNK = 8 };

/* `rows` rows from r on of 16 outputs. All residuals are read before the first output is written: their rows are often
 * a multiple of 4096 bytes apart, and then a read behind a write waits for it. */
static inline __attribute__((always_inline)) void finish_rows(const qv__gemm_finish *f, int n, __mmask16 mask,
                                                              __m512 bias, int64_t r, const int rows) {
    __m512 value[CHUNK];
    for (int i = 0; i < rows; i++) {
        value[i] = _mm512_loadu_ps(f->sums + (r + i) * f->sums_stride + n);
        if (f->bias) value[i] = _mm512_add_ps(value[i], bias);
        value[i] = apply(f->epilogue, value[i]);
    }
    if (f->residual)
        for (int i = 0; i < rows; i++)
            value[i] =
                _mm512_add_ps(_mm512_maskz_loadu_ps(mask, f->residual + (r + i) * f->residual_stride + n), value[i]);
    for (int i = 0; i < rows; i++) store(f->out + (r + i) * f->out_stride + n, mask, value[i]);
}

static void finish(const qv__gemm_finish *f) {
    if (f->epilogue == QV__EPI_SILU_MUL) {
        finish_silu_mul(f);
        return;
    }
    for (int n = 0; n < f->count; n += HALF) {
        __mmask16 mask = mask_of(f->count - n);
        __m512 bias = f->bias ? _mm512_maskz_loadu_ps(mask, f->bias + n) : _mm512_setzero_ps();
        int64_t r = 0;
        for (; r + CHUNK <= f->rows; r += CHUNK) finish_rows(f, n, mask, bias, r, CHUNK);
        for (; r < f->rows; r++) finish_rows(f, n, mask, bias, r, 1);
    }
}

const qv__gemm_kernels qv__gemm_avx512 = {LANES, strip, block, finish};
