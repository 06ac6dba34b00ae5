/* gemm.h with 16 lanes in two registers; tiles of up to 6 rows, 12 accumulators. */
#include "kernels/gemm.h"

#include <immintrin.h>
#include <string.h>

#include "kernels/x86/math_avx2.h"

enum { LANES = 16, HALF = LANES / 2, TILE_ROWS = 6 };

/* ---- strips: eight rows of weights at a time become eight lanes ---- */

/* In: t[i] = values 0..3 of row i, then of row i+4. Out: t[j] = value j of rows 0..7. */
static inline void transpose(__m256i t[4]) {
    __m256i a = _mm256_unpacklo_epi32(t[0], t[1]), b = _mm256_unpackhi_epi32(t[0], t[1]);
    __m256i c = _mm256_unpacklo_epi32(t[2], t[3]), d = _mm256_unpackhi_epi32(t[2], t[3]);
    t[0] = _mm256_unpacklo_epi64(a, c);
    t[1] = _mm256_unpackhi_epi64(a, c);
    t[2] = _mm256_unpacklo_epi64(b, d);
    t[3] = _mm256_unpackhi_epi64(b, d);
}

/* A block of eight rows of weights, row after row, zeros behind it up to a whole register. In place, lines of more rows
 * than the level-1 cache has ways cannot be in it together when the rows are a multiple of 4096 bytes apart. */
typedef struct {
    _Alignas(64) unsigned char row[HALF][QV__GEMM_K_BLOCK * sizeof(float) + 64];
} stage;

/* Bytes [at, at + count) of the rows. */
static inline void fill_stage(stage *s, const unsigned char *const *rows, size_t at, size_t count) {
    const size_t step = sizeof(__m256i), whole = count / step * step;
    for (int i = 0; i < HALF; i++) {
        const unsigned char *from = rows[i] + at;
        for (size_t b = 0; b < whole; b += step)
            _mm256_store_si256((void *)(s->row[i] + b), _mm256_loadu_si256((const void *)(from + b)));
        if (whole == count) continue;
        _mm256_store_si256((void *)(s->row[i] + whole), _mm256_setzero_si256());
        memcpy(s->row[i] + whole, from + whole, count - whole);
    }
}

/* 16 bytes each of rows i and i+4. */
static inline void load(__m256i t[4], const stage *s, size_t at) {
    for (int i = 0; i < 4; i++) {
        __m128i low = _mm_load_si128((const void *)(s->row[i] + at));
        __m128i high = _mm_load_si128((const void *)(s->row[i + 4] + at));
        t[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
}

/* Each of these turns values from byte `at` of a stage on into fp32 lanes. */

/* 32 bits hold a pair of bf16, k and k+1, of a lane: fp32 is either half in the upper bits. */
static inline void lanes_of_bf16(float *out, const stage *s, size_t at) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
    __m256i t[4];
    load(t, s, at);
    transpose(t);
    for (int i = 0; i < 4; i++) {
        _mm256_store_si256((void *)(out + 2 * i * LANES), _mm256_slli_epi32(t[i], 16));
        _mm256_store_si256((void *)(out + (2 * i + 1) * LANES), _mm256_and_si256(t[i], upper));
    }
}

static inline void lanes_of_f16(float *out, const stage *s, size_t at) {
    __m256i t[4];
    for (int i = 0; i < 4; i++) {
        __m128i low = _mm_loadl_epi64((const void *)(s->row[i] + at));
        __m128i high = _mm_loadl_epi64((const void *)(s->row[i + 4] + at));
        t[i] = _mm256_castps_si256(_mm256_cvtph_ps(_mm_unpacklo_epi64(low, high)));
    }
    transpose(t);
    for (int i = 0; i < 4; i++) _mm256_store_si256((void *)(out + i * LANES), t[i]);
}

static inline void lanes_of_f32(float *out, const stage *s, size_t at) {
    __m256i t[4];
    load(t, s, at);
    transpose(t);
    for (int i = 0; i < 4; i++) _mm256_store_si256((void *)(out + i * LANES), t[i]);
}

/* Lanes beyond count, up to a whole step of k, become 0. */
static void strip(float *out, const qv__gemm_weights *w) {
    size_t size = qv__dtype_size(w->dtype), bytes = (size_t)w->count * size;
    size_t step = w->dtype == QV__F16 ? 8 : 16; /* bytes of a row that are transposed at once */
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
    __m256 sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++)
            sum[r][i] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(sums + r * LANES + i * HALF);
    for (int64_t k = 0; k < count; k++) {
        __m256 w0 = _mm256_load_ps(strip + k * LANES), w1 = _mm256_load_ps(strip + k * LANES + HALF);
        for (int r = 0; r < rows; r++) {
            __m256 value = _mm256_broadcast_ss(x + r * QV__GEMM_X_STRIDE + k);
            sum[r][0] = _mm256_fmadd_ps(value, w0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(value, w1, sum[r][1]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) _mm256_storeu_ps(sums + r * LANES + i * HALF, sum[r][i]);
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

/* ---- epilogues ---- */

/* The first `count` lanes, 0 to 8. */
static inline __m256i mask_of(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* A store under a mask costs some CPUs as much as dozens of plain ones, so only the last strip has any. */
static inline void store(float *to, int count, __m256i mask, __m256 value) {
    if (count >= HALF)
        _mm256_storeu_ps(to, value);
    else
        _mm256_maskstore_ps(to, mask, value);
}

static inline __m256 apply(qv__epilogue epilogue, __m256 value) {
    switch (epilogue) {
    case QV__EPI_GELU_TANH: return qv__gelu_tanh_avx2(value);
    case QV__EPI_GELU_ERF: return qv__gelu_erf_avx2(value);
    default: return value;
    }
}

static void finish_silu_mul(const qv__gemm_finish *f) {
    __m256i mask = mask_of(f->count);
    for (int64_t r = 0; r < f->rows; r++) {
        const float *sum = f->sums + r * f->sums_stride;
        __m256 value = _mm256_mul_ps(qv__silu_avx2(_mm256_loadu_ps(sum)), _mm256_loadu_ps(sum + f->up_lane));
        store(f->out + r * f->out_stride, f->count, mask, value);
    }
}

static void finish(const qv__gemm_finish *f) {
    if (f->epilogue == QV__EPI_SILU_MUL) {
        finish_silu_mul(f);
        return;
    }
    for (int n = 0; n < f->count; n += HALF) {
        __m256i mask = mask_of(f->count - n);
        __m256 bias = f->bias ? _mm256_maskload_ps(f->bias + n, mask) : _mm256_setzero_ps();
        for (int64_t r = 0; r < f->rows; r++) {
            __m256 value = _mm256_loadu_ps(f->sums + r * f->sums_stride + n);
            if (f->bias) value = _mm256_add_ps(value, bias);
            value = apply(f->epilogue, value);
            if (f->residual)
                value = _mm256_add_ps(_mm256_maskload_ps(f->residual + r * f->residual_stride + n, mask), value);
            store(f->out + r * f->out_stride + n, f->count - n, mask, value);
        }
    }
}

const qv__gemm_kernels qv__gemm_avx2 = {LANES, strip, block, finish};
