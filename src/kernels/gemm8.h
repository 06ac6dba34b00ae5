/* Matrix products of 8-bit codes: the kernels below the linear op when its weights are quantised.
 *
 * Quantising a group of 64 values x[0..63] that follow each other along k, the same for weights and activations:
 * m = max |x|. If m is not finite: scale NaN, codes 0. If m < 2^-100: scale 0, codes 0. Else scale = m / 127 and
 * code = x * (127 / m), rounded to nearest even; every operation is a single one in fp32. Codes lie in -127 .. 127. A
 * row whose length is no multiple of 64 is filled up with zeros. Columns may have factors: x[k] is x[k] times factor k,
 * rounded (powers of two in what qvec makes, so exact).
 *
 * out[r][n]: one fp32 accumulator per output, starting at 0. For group 0, 1, ...: the sum of the 64 products of codes,
 * which is exact; the two groups' scales multiplied, rounded; accumulator = fma(float(sum), scales, accumulator). The
 * rest as in gemm.h. No output looks at another row or another n, so a row's bytes do not depend on its company.
 *
 * Weights are packed once, in panels of 16 outputs: codes [k / 4][16][4], stored as code + 128, and scales
 * [group][16]. In that order a vector holds four k of each of its lanes, which is what an integer dot product wants; a
 * panel is one run of memory, used where it lies. Outputs beyond the last one of a panel have scale 0. */
#ifndef QVEC_KERNELS_GEMM8_H
#define QVEC_KERNELS_GEMM8_H

#include <stdbool.h>

#include "base/int8.h"
#include "kernels/tier.h"

enum {
    QV__GEMM8_LANES = 2 * QV__INT8_PANEL, /* outputs of a strip: two panels */
    QV__GEMM8_GROUPS = 8,                 /* of a block, at most */
    QV__GEMM8_K_BLOCK = QV__GEMM8_GROUPS * QV__INT8_GROUP,
};

/* A block of one row of activations. */
typedef struct {
    _Alignas(64) int8_t code[QV__GEMM8_K_BLOCK];
    float scale[QV__GEMM8_GROUPS];
    int32_t offset[QV__GEMM8_GROUPS]; /* -128 times the sum of a group's codes: what the + 128 of weights adds */
} qv__gemm8_x;

/* A block of two panels of weights. */
typedef struct {
    const uint8_t *codes[2]; /* [groups * 16][16][4]; faster where it starts at a cache line */
    const float *scales[2];  /* [groups][16] */
    int groups;
    bool ahead; /* the next block's codes follow these, and are worth fetching meanwhile */
} qv__gemm8_weights;

typedef struct {
    /* Up to K_BLOCK values of one row, each times its factor (NULL: 1); codes of the last group are 0 beyond count.
     * Groups behind it are left alone. */
    void (*quantize)(qv__gemm8_x *out, const float *x, const float *factors, int count);
    /* sums[rows][LANES] (=, when first, or +=) x[rows] times w. scratch: QV__GEMM8_SCRATCH bytes, 64-byte aligned. */
    void (*block)(float *sums, const qv__gemm8_x *x, const qv__gemm8_weights *w, int64_t rows, bool first,
                  void *scratch);
} qv__gemm8_kernels;

enum { QV__GEMM8_SCRATCH = QV__GEMM8_LANES * QV__GEMM8_K_BLOCK * 2 }; /* a strip as 16-bit values */

const qv__gemm8_kernels *qv__gemm8_kernels_of(qv__tier tier);

/* One set each: two of x86-64, two of ARM; the second of both needs an instruction of its own beside the tier. */
extern const qv__gemm8_kernels qv__gemm8_avx2, qv__gemm8_vnni, qv__gemm8_neon, qv__gemm8_dotprod;
#endif
