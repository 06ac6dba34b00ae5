/* Work on one row of fp32 at a time: norms, rotary embedding, 16-bit formats to fp32, weighted sums. Memory-bound; each
 * tier gives the same bytes.
 *
 * A sum over a row, sum_i f(i): lane l of 16 takes i = l, l + 16, ... upwards in one fp32 accumulator that starts at 0
 * (squares by fused multiply-add); the lanes are then added pairwise, l with l + 8, then l + 4, l + 2, l + 1. */
#ifndef QVEC_KERNELS_ROWS_H
#define QVEC_KERNELS_ROWS_H

#include <stdint.h>

#include "base/dtype.h"
#include "kernels/tier.h"

typedef struct {
    /* out[i] = x[i] * s * weight[i], s = 1 / sqrt(sum x² / width + eps). out may be x. */
    void (*rmsnorm)(float *out, const float *x, int64_t width, const float *weight, float eps);
    /* m = sum x / width; s = 1 / sqrt(sum (x - m)² / width + eps); out[i] = fma((x[i] - m) * s, weight[i], bias[i]).
     * out may be x. */
    void (*layernorm)(float *out, const float *x, int64_t width, const float *weight, const float *bias, float eps);
    /* In place on x[2 * half], cos[half], sin[half]; a = x[k], b = x[k + half]:
     * x[k] = fma(a, cos[k], -(b * sin[k])), x[k + half] = fma(b, cos[k], a * sin[k]). */
    void (*rope)(float *x, int64_t half, const float *cos, const float *sin);
    /* out[i] = the fp32 value of x[i]; exact. x may be unaligned. */
    void (*widen)(float *out, const void *x, qv__dtype dtype, int64_t width);
    /* x[i] += from[i]. */
    void (*add)(float *x, const float *from, int64_t width);
    /* x[i] += ((w[0] t[0][i] + w[1] t[1][i]) + w[2] t[2][i]) + w[3] t[3][i], every product and sum rounded. The
     * tables may be unaligned. */
    void (*add_weighted)(float *x, const float weights[4], const void *const table[4], qv__dtype dtype, int64_t width);
} qv__rows_kernels;

const qv__rows_kernels *qv__rows_kernels_of(qv__tier tier); /* static */
/* One tier each, of one architecture. */
extern const qv__rows_kernels qv__rows_avx2, qv__rows_avx512, qv__rows_neon;

/* Rotary frequencies as torch makes them: f[k] = 1 / base^(2k / dim), k < count, each step rounded to fp32. */
void qv__rope_frequencies(float *f, int count, double base, int dim);
/* cos and sin of count fp32 angles position * f[k], each rounded from its double value. */
void qv__rope_angles(float *cos, float *sin, const float *f, float position, int count);
#endif
