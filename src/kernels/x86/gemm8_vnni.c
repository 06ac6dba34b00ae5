/* gemm8.h with AVX-512 VNNI: one instruction multiplies 64 unsigned codes of weights with 64 signed ones and adds four
 * neighbours' products to each 32-bit lane, exactly. Tiles of up to 6 rows and two panels, 12 accumulators of a group
 * and 12 of the row. */
#include "kernels/gemm8.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { GROUP = QV__INT8_GROUP, PANEL = QV__INT8_PANEL, LANES = QV__GEMM8_LANES, TILE_ROWS = 6 };
enum { STEP = 4 * PANEL, STEPS = GROUP / 4 }; /* bytes of four k of a panel; of them in a group */

/* ---- quantising ---- */

static void quantize_group(qv__gemm8_x *out, int g, const float *x, const float *factors, int count) {
    __m512 value[4];
    __m512i most = _mm512_setzero_si512(), sum = most;
    for (int i = 0; i < 4; i++) {
        int left = count - i * 16;
        __mmask16 mask = (__mmask16)(left >= 16 ? 0xffff : left > 0 ? (1 << left) - 1 : 0);
        value[i] = _mm512_maskz_loadu_ps(mask, x + i * 16);
        if (factors) value[i] = _mm512_mul_ps(value[i], _mm512_maskz_loadu_ps(mask, factors + i * 16));
        most = _mm512_max_epi32(most, _mm512_castps_si512(_mm512_abs_ps(value[i])));
    }
    float m = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(most))));
    bool usable = isfinite(m) && m >= 0x1p-100f;
    __m512 inverse = _mm512_set1_ps(usable ? 127 / m : 0);
    for (int i = 0; i < 4; i++) {
        __m512i code = usable ? _mm512_cvtps_epi32(_mm512_mul_ps(value[i], inverse)) : _mm512_setzero_si512();
        sum = _mm512_add_epi32(sum, code);
        _mm_store_si128((void *)(out->code + g * GROUP + i * 16), _mm512_cvtepi32_epi8(code));
    }
    out->scale[g] = usable ? m / 127 : isfinite(m) ? 0 : NAN;
    out->offset[g] = -128 * _mm512_reduce_add_epi32(sum);
}

static void quantize(qv__gemm8_x *out, const float *x, const float *factors, int count) {
    for (int g = 0; g * GROUP < count; g++)
        quantize_group(out, g, x + g * GROUP, factors ? factors + g * GROUP : NULL, count - g * GROUP);
}

/* ---- tiles ---- */

static inline __m512i four_of(const int8_t *codes) {
    int32_t four;
    memcpy(&four, codes, sizeof four);
    return _mm512_set1_epi32(four);
}

/* One group of `rows` rows and two panels. fetch: bytes from its codes to those worth fetching, 0: none. */
static inline __attribute__((always_inline)) void group(__m512 total[TILE_ROWS][2], const qv__gemm8_x *x,
                                                        const qv__gemm8_weights *w, int g, size_t fetch,
                                                        const int rows) {
    const uint8_t *a = w->codes[0] + g * GROUP * PANEL, *b = w->codes[1] + g * GROUP * PANEL;
    __m512i sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm512_set1_epi32(x[r].offset[g]);
#pragma GCC unroll 16
    for (int i = 0; i < STEPS; i++) {
        __m512i w0 = _mm512_loadu_si512(a + i * STEP), w1 = _mm512_loadu_si512(b + i * STEP);
        if (fetch) {
            _mm_prefetch((const char *)a + i * STEP + fetch, _MM_HINT_T1);
            _mm_prefetch((const char *)b + i * STEP + fetch, _MM_HINT_T1);
        }
        for (int r = 0; r < rows; r++) {
            __m512i four = four_of(x[r].code + g * GROUP + i * 4);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], w0, four);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], w1, four);
        }
    }
    __m512 scale0 = _mm512_loadu_ps(w->scales[0] + g * PANEL), scale1 = _mm512_loadu_ps(w->scales[1] + g * PANEL);
    for (int r = 0; r < rows; r++) {
        __m512 scale = _mm512_set1_ps(x[r].scale[g]);
        total[r][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][0]), _mm512_mul_ps(scale, scale0), total[r][0]);
        total[r][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][1]), _mm512_mul_ps(scale, scale1), total[r][1]);
    }
}

static inline __attribute__((always_inline)) void tile(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w,
                                                       bool first, size_t fetch, const int rows) {
    __m512 total[TILE_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++)
            total[r][i] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * LANES + i * PANEL);
    for (int g = 0; g < w->groups; g++) group(total, x, w, g, fetch, rows);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) _mm512_storeu_ps(sums + r * LANES + i * PANEL, total[r][i]);
}

/* Rows are shared out evenly: 13 are tiles of 5, 4 and 4, not of 6, 6 and 1. */
static void block(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w, int64_t rows, bool first,
                  void *scratch) {
    int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        int64_t from = rows * i / tiles;
        float *sum = sums + from * LANES;
        size_t fetch = w->ahead && i == 0 ? (size_t)w->groups * GROUP * PANEL : 0;
        switch (rows * (i + 1) / tiles - from) {
        case 1: tile(sum, x + from, w, first, fetch, 1); break;
        case 2: tile(sum, x + from, w, first, fetch, 2); break;
        case 3: tile(sum, x + from, w, first, fetch, 3); break;
        case 4: tile(sum, x + from, w, first, fetch, 4); break;
        case 5: tile(sum, x + from, w, first, fetch, 5); break;
        default: tile(sum, x + from, w, first, fetch, 6); break;
        }
    }
}

const qv__gemm8_kernels qv__gemm8_vnni = {quantize, block};
