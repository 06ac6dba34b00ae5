/* The pieces of tiled attention with an online softmax; backend/cpu/attention.c puts them together.
 *
 * One query row of one head against its visible keys j = 0, 1, ... (absolute positions), in blocks of QV__KEY_BLOCK
 * keys that start at multiples of it. State: m = -inf, 16 partial sums l = 0, acc[dim] = 0. For each block, over the
 * keys that the row sees and no others (scale > 0): dot_j = sum over k of q[k] key_j[k], k upwards in one accumulator
 * (fused) m'  = max(m, scale * max dot_j);  c = exp(m - m');  p_j = exp(fma(scale, dot_j, -m'));  m = m' l[i] = l[i] *
 * c, then + p_j for each j of the block with j % 16 = i, upwards acc = acc * c, then fma(p_j, value_j, acc), j upwards
 * At the end out = acc / L, L = the 16 partial sums added pairwise: i with i + 8, then i + 4, i + 2, i + 1.
 * Every tier does exactly this, so the bytes are the same; exp is math.h's. */
#ifndef QVEC_KERNELS_ATTENTION_H
#define QVEC_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/tier.h"

enum {
    QV__KEY_BLOCK = 64,  /* keys of a block */
    QV__QUERY_TILE = 12, /* most rows of one multiply */
    QV__HEAD_DIM_MAX = 256,
    QV__TILE_STRIDE = QV__HEAD_DIM_MAX + 16, /* floats between rows of queries and of dots: no power of two */
    QV__SUM_LANES = 16,
};

/* Blocks of floats are 64-byte aligned, and so are their rows. */
typedef struct {
    /* out[k][QV__KEY_BLOCK]: out[k][j] = row[j][k] for j < count, 0 for the rest; k < dim. */
    void (*transpose)(float *out, const float *const row[], int count, int dim);
    /* c[r][n] = (keep ? c[r][n] : 0), then fma(a[r][k], b[k][n], .) for k = 0 .. depth - 1; r < rows <= QV__QUERY_TILE,
     * n < width, a multiple of 16. Rows of a, which alone may be unaligned, are QV__TILE_STRIDE apart. */
    void (*multiply)(float *c, int64_t c_stride, const float *a, int rows, const float *b, int64_t b_stride, int depth,
                     int width, bool keep);
    /* One block for rows r < rows: s + r * QV__TILE_STRIDE holds count[r] dots and becomes p (up to the next multiple
     * of 16 the rest is overwritten); m[r] and l[r] move on, c[r] is told. A count of 0 changes nothing and tells 1. */
    void (*softmax)(float *s, int rows, const int count[], float scale, float m[], float l[][QV__SUM_LANES], float c[]);
    /* acc[i] *= by; width a multiple of 16. */
    void (*rescale)(float *acc, float by, int width);
    /* out[i] = acc[i] / L, i < dim. */
    void (*finish)(float *out, const float *acc, const float l[QV__SUM_LANES], int dim);
} qv__attention_kernels;

const qv__attention_kernels *qv__attention_kernels_of(qv__tier tier); /* static */
/* One tier each, of one architecture. */
extern const qv__attention_kernels qv__attention_avx2, qv__attention_avx512, qv__attention_neon;
#endif
