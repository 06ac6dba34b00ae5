#include <arm_neon.h>

#include "kernels/arm/math_neon.h"
#include "kernels/arm/transpose_neon.h"
#include "kernels/attention.h"

enum { QUAD = 4, QUADS = QV__SUM_LANES / QUAD, ROWS = QV__QUERY_TILE / 2 }; /* a tile: ROWS x QUADS accumulators */

static const float zeros[QV__HEAD_DIM_MAX];

static void transpose(float *out, const float *const row[], int count, int dim) {
    for (int j = 0; j < QV__KEY_BLOCK; j += QUAD) {
        const float *four[QUAD];
        for (int i = 0; i < QUAD; i++) four[i] = j + i < count ? row[j + i] : zeros;
        int k = 0;
        for (; k + 4 <= dim; k += 4) {
            float32x4_t t[4];
            for (int i = 0; i < 4; i++) t[i] = vld1q_f32(four[i] + k);
            qv__transpose_neon(t);
            for (int i = 0; i < 4; i++) vst1q_f32(out + (k + i) * QV__KEY_BLOCK + j, t[i]);
        }
        for (; k < dim; k++)
            for (int i = 0; i < QUAD; i++) out[k * QV__KEY_BLOCK + j + i] = four[i][k];
    }
}

/* ---- multiply ---- */

typedef struct {
    float *c;
    int64_t c_stride;
    const float *a, *b;
    int64_t b_stride;
    int depth;
    bool keep;
} product;

static inline __attribute__((always_inline)) void tile(const product *p, const int rows) {
    float *c = p->c; /* copies: stores of vectors may be to anywhere, as far as the compiler knows */
    const float *a = p->a, *b = p->b;
    const int64_t c_stride = p->c_stride, b_stride = p->b_stride;
    float32x4_t sum[ROWS][QUADS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++)
            sum[r][i] = p->keep ? vld1q_f32(c + r * c_stride + i * QUAD) : vdupq_n_f32(0.0f);
    for (int k = 0; k < p->depth; k++, a++, b += b_stride) {
        float32x4_t right[QUADS];
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) right[i] = vld1q_f32(b + i * QUAD);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            float32x4_t left = vld1q_dup_f32(a + r * QV__TILE_STRIDE);
#pragma GCC unroll 4
            for (int i = 0; i < QUADS; i++) sum[r][i] = vfmaq_f32(sum[r][i], left, right[i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < QUADS; i++) vst1q_f32(c + r * c_stride + i * QUAD, sum[r][i]);
}

static void tile_of(const product *p, int rows) {
    switch (rows) {
    case 1: tile(p, 1); break;
    case 2: tile(p, 2); break;
    case 3: tile(p, 3); break;
    case 4: tile(p, 4); break;
    case 5: tile(p, 5); break;
    default: tile(p, ROWS); break;
    }
}

static void multiply(float *c, int64_t c_stride, const float *a, int rows, const float *b, int64_t b_stride, int depth,
                     int width, bool keep) {
    for (int n = 0; n < width; n += QUADS * QUAD)
        for (int r = 0; r < rows; r += ROWS) {
            product p = {c + r * c_stride + n, c_stride, a + r * QV__TILE_STRIDE, b + n, b_stride, depth, keep};
            tile_of(&p, rows - r < ROWS ? rows - r : ROWS);
        }
}

/* ---- softmax; four registers are the sixteen lanes of the contract ---- */

static inline uint32x4_t lanes_below(int count) { /* all bits set in the first `count` */
    static const int32_t lane[QUAD] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lane), vdupq_n_s32(count));
}

static inline float highest_of(const float *s, int count) {
    float32x4_t four = vdupq_n_f32(-INFINITY);
    int j = 0;
    for (; j + QUAD <= count; j += QUAD) four = vmaxnmq_f32(four, vld1q_f32(s + j));
    float highest = vmaxnmvq_f32(four);
    for (; j < count; j++)
        if (s[j] > highest) highest = s[j];
    return highest;
}

/* Dots to p, and their sixteen sums. */
static inline void weigh(float *s, int count, float scale, float top, float c, float l[QV__SUM_LANES]) {
    float32x4_t sums[QUADS];
    for (int i = 0; i < QUADS; i++) sums[i] = vmulq_f32(vld1q_f32(l + i * QUAD), vdupq_n_f32(c));
    for (int j = 0; j < count; j += QV__SUM_LANES)
        for (int i = 0; i < QUADS; i++) {
            float *at = s + j + i * QUAD;
            float32x4_t p = qv__exp_neon(vfmaq_f32(vdupq_n_f32(-top), vdupq_n_f32(scale), vld1q_f32(at)));
            if (count - j < QV__SUM_LANES)
                p = vreinterpretq_f32_u32(vandq_u32(lanes_below(count - j - i * QUAD), vreinterpretq_u32_f32(p)));
            vst1q_f32(at, p);
            sums[i] = vaddq_f32(sums[i], p);
        }
    for (int i = 0; i < QUADS; i++) vst1q_f32(l + i * QUAD, sums[i]);
}

/* In stages, so that the rows' chains of dependent operations overlap. */
static void softmax(float *s, int rows, const int count[], float scale, float m[], float l[][QV__SUM_LANES],
                    float c[]) {
    float step[QV__QUERY_TILE] = {0};
    for (int r = 0; r < rows; r++) {
        if (count[r] == 0) continue;
        float highest = highest_of(s + r * QV__TILE_STRIDE, count[r]) * scale;
        if (!(highest > m[r])) highest = m[r];
        step[r] = m[r] - highest;
        m[r] = highest;
    }
    for (int i = 0; i < QV__QUERY_TILE; i += QUAD)
        vst1q_f32(step + i, qv__exp_neon(vld1q_f32(step + i))); /* exp(0) is 1 */
    for (int r = 0; r < rows; r++) {
        c[r] = step[r];
        if (count[r] > 0) weigh(s + r * QV__TILE_STRIDE, count[r], scale, m[r], c[r], l[r]);
    }
}

static void rescale(float *acc, float by, int width) {
    for (int i = 0; i < width; i += QUAD) vst1q_f32(acc + i, vmulq_f32(vld1q_f32(acc + i), vdupq_n_f32(by)));
}

static void finish(float *out, const float *acc, const float l[QV__SUM_LANES], int dim) {
    float32x4_t low = vaddq_f32(vld1q_f32(l), vld1q_f32(l + 8)), high = vaddq_f32(vld1q_f32(l + 4), vld1q_f32(l + 12));
    float32x4_t four = vaddq_f32(low, high);
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    float sum = vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
    int i = 0;
    for (; i + QUAD <= dim; i += QUAD) vst1q_f32(out + i, vdivq_f32(vld1q_f32(acc + i), vdupq_n_f32(sum)));
    for (; i < dim; i++) out[i] = acc[i] / sum;
}

const qv__attention_kernels qv__attention_neon = {transpose, multiply, softmax, rescale, finish};
