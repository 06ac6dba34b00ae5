/* gemm8.h for ARM, compiled twice: with the instruction that adds four products of bytes to each 32-bit lane
 * (FEAT_DotProd), and without. Codes of weights are made signed on the way, so a group's sum is that of the contract
 * without its offset. Tiles of up to 4 rows and one panel, 16 accumulators. */
#include "kernels/gemm8.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

enum { GROUP = QV__INT8_GROUP, PANEL = QV__INT8_PANEL, LANES = QV__GEMM8_LANES };
enum { QUAD = 4, QUADS = PANEL / QUAD, STEP = 4 * PANEL, TILE_ROWS = 4, WIDE = 16 };

/* ---- quantising ---- */

static void quantize_group(qv__gemm8_x *out, int g, const float *x) {
    int8_t *code = out->code + g * GROUP;
    uint32x4_t most = vdupq_n_u32(0);
    for (int i = 0; i < GROUP; i += QUAD)
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i)))); /* a NaN counts as the largest */
    uint32_t bits = vmaxvq_u32(most);
    float m;
    memcpy(&m, &bits, sizeof m);
    bool usable = isfinite(m) && m >= 0x1p-100f;
    float inverse = usable ? 127 / m : 0;
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; i < GROUP; i += 2 * QUAD) {
        int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), inverse));
        int32x4_t b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + QUAD), inverse));
        if (!usable) a = b = vdupq_n_s32(0); /* infinity times 0 */
        sum = vaddq_s32(sum, vaddq_s32(a, b));
        vst1_s8(code + i, vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))));
    }
    out->scale[g] = usable ? m / 127 : isfinite(m) ? 0 : NAN;
    out->offset[g] = -128 * vaddvq_s32(sum);
}

static void quantize(qv__gemm8_x *out, const float *x, const float *factors, int count) {
    for (int at = 0; at < count; at += GROUP) {
        float values[GROUP] = {0};
        int size = count - at < GROUP ? count - at : GROUP;
        for (int i = 0; i < size; i++) values[i] = factors ? x[at + i] * factors[at + i] : x[at + i];
        quantize_group(out, at / GROUP, values);
    }
}

/* ---- tiles ---- */

/* Adds w[4 q + i] * x[4 step + i], i < 4, to lane q. */
#if defined(__ARM_FEATURE_DOTPROD)
#define ADD_PRODUCTS(sum, w, x, step) vdotq_laneq_s32(sum, w, x, step)
#else
static inline int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t four) {
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(four)), high = vmull_high_s8(w, four);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#define ADD_PRODUCTS(sum, w, x, step)                                                                                  \
    add_products(sum, w, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), step)))
#endif

/* Four k of a panel. The lane has to be a constant, so this is no function. */
#define ADD_STEP(step)                                                                                                 \
    for (int q = 0; q < QUADS; q++) {                                                                                  \
        uint8x16_t code = vld1q_u8(codes + (k / QUAD + (step)) * STEP + q * WIDE);                                     \
        int8x16_t w = vreinterpretq_s8_u8(veorq_u8(code, vdupq_n_u8(0x80)));                                           \
        for (int r = 0; r < rows; r++) sum[r][q] = ADD_PRODUCTS(sum[r][q], w, four_steps[r], step);                    \
    }

/* Adds one group to the sums of `rows` rows of one panel. */
static inline __attribute__((always_inline)) void group(float *sums, const qv__gemm8_x *x, const uint8_t *codes,
                                                        const float *scales, int g, const int rows) {
    int32x4_t sum[TILE_ROWS][QUADS];
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < QUADS; q++) sum[r][q] = vdupq_n_s32(0);
    for (int k = 0; k < GROUP; k += WIDE) {
        int8x16_t four_steps[TILE_ROWS];
        for (int r = 0; r < rows; r++) four_steps[r] = vld1q_s8(x[r].code + g * GROUP + k);
        ADD_STEP(0)
        ADD_STEP(1)
        ADD_STEP(2)
        ADD_STEP(3)
    }
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < QUADS; q++) {
            float *to = sums + r * LANES + q * QUAD;
            float32x4_t scale = vmulq_n_f32(vld1q_f32(scales + q * QUAD), x[r].scale[g]);
            vst1q_f32(to, vfmaq_f32(vld1q_f32(to), vcvtq_f32_s32(sum[r][q]), scale));
        }
}

static inline __attribute__((always_inline)) void tile(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w,
                                                       const int rows) {
    for (int panel = 0; panel < 2; panel++)
        for (int g = 0; g < w->groups; g++)
            group(sums + panel * PANEL, x, w->codes[panel] + g * GROUP * PANEL, w->scales[panel] + g * PANEL, g, rows);
}

static void block(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w, int64_t rows, bool first,
                  void *scratch) {
    if (first) memset(sums, 0, (size_t)rows * LANES * sizeof *sums);
    int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        int64_t from = rows * i / tiles;
        float *sum = sums + from * LANES;
        switch (rows * (i + 1) / tiles - from) {
        case 1: tile(sum, x + from, w, 1); break;
        case 2: tile(sum, x + from, w, 2); break;
        case 3: tile(sum, x + from, w, 3); break;
        default: tile(sum, x + from, w, 4); break;
        }
    }
}

#if defined(__ARM_FEATURE_DOTPROD)
const qv__gemm8_kernels qv__gemm8_dotprod = {quantize, block};
#else
const qv__gemm8_kernels qv__gemm8_neon = {quantize, block};
#endif
