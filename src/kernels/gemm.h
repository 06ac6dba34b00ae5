/* Matrix products: the kernels below qv__cpu_linear, which computes out[r][n] from x[r][k] and weights w[n][k].
 *
 * The order, the same in every tier: one fp32 accumulator per output, starting at 0, takes fma(x[r][k], w[n][k]) for
 * k = 0, 1, ... K-1. It may be stored and reloaded between blocks of k, which changes nothing. Then, in this order:
 * + bias, the epilogue function (kernels/math.h), + residual. No output looks at another row or another n.
 *
 * Vector lanes run over n, so rows are never padded and one row costs no more than it must. The weights stay as they
 * are stored; a block of them (`lanes` rows n, some k) is turned into a strip, fp32 and transposed to [k][lanes],
 * which stays in the cache while all rows of x pass over it. x is copied once into blocks of k with a row stride that
 * is no power of two: rows in place are often a multiple of 4096 bytes apart and would evict each other. */
#ifndef QVEC_KERNELS_GEMM_H
#define QVEC_KERNELS_GEMM_H

#include "base/dtype.h"
#include "kernels/epilogue.h"
#include "kernels/tier.h"

enum {
    QV__GEMM_K_BLOCK = 512,                    /* k of one strip, at most */
    QV__GEMM_X_STRIDE = QV__GEMM_K_BLOCK + 16, /* floats between the rows of a block of x */
    QV__GEMM_LANES_MAX = 32,
};

/* A block of weights as a strip sees it. */
typedef struct {
    qv__dtype dtype;
    const unsigned char *const *rows; /* [lanes], may be unaligned; beyond the last output any row, said again */
    int64_t k, count;                 /* the block's first k, how many; nothing beyond k + count is read */
    /* Memory that will be wanted soon, to be fetched into the level-2 cache meanwhile: two runs, NULL: none. Long runs
     * in ascending order, because that is the only order in which a core alone reaches the speed of its memory. */
    const unsigned char *ahead[2];
    size_t ahead_bytes; /* of each run */
} qv__gemm_weights;

/* Fetches part i of n of what is wanted ahead. */
static inline void qv__gemm_prefetch(const qv__gemm_weights *w, size_t i, size_t n) {
    for (int run = 0; run < 2 && w->ahead[run]; run++)
        for (size_t at = w->ahead_bytes * i / n; at < w->ahead_bytes * (i + 1) / n; at += 64)
            __builtin_prefetch(w->ahead[run] + at, 0, 2);
}

/* What becomes of the sums of one strip. */
typedef struct {
    float *out; /* row 0, first output of the strip */
    int64_t out_stride;
    const float *sums; /* [rows][sums_stride] */
    int64_t sums_stride, rows;
    int count;   /* outputs to write: `lanes`, fewer in the last strip; SILU_MUL: at most lanes / 2 */
    int up_lane; /* SILU_MUL: gate j is lane j, up j is lane up_lane + j */
    qv__epilogue epilogue;
    const float *bias; /* first output of the strip; NULL: none */
    const float *residual;
    int64_t residual_stride;
} qv__gemm_finish;

typedef struct {
    int lanes; /* outputs of one strip, at most QV__GEMM_LANES_MAX */
    /* strip[count][lanes], 64-byte aligned; room for QV__GEMM_K_BLOCK, which need not keep what it has beyond count. */
    void (*strip)(float *strip, const qv__gemm_weights *w);
    /* sums[rows][lanes] (=, when first, or +=) x[rows][QV__GEMM_X_STRIDE] times strip[count][lanes]. */
    void (*block)(float *sums, const float *x, const float *strip, int64_t count, int64_t rows, bool first);
    void (*finish)(const qv__gemm_finish *f);
} qv__gemm_kernels;

const qv__gemm_kernels *qv__gemm_kernels_of(qv__tier tier);

/* One tier each, of one architecture. */
extern const qv__gemm_kernels qv__gemm_avx2, qv__gemm_avx512, qv__gemm_neon;
#endif
