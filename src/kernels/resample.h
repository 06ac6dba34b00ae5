/* Weighted sums along one axis of an RGB picture: the inner loops of the two resamplers (prep/resize.c).
 *
 * Fixed point (Pillow): out = clip((2^21 + sum_j w[j] p[j]) >> 22, 0, 255) in whole numbers, so any order gives the
 * same bytes. The sum must stay within int32, which normalised bicubic weights do.
 * Real (torchvision): acc = w[0] p[0]; then, upwards in j, as many whole groups of four as there are: acc = acc +
 * (w[j] p[j]), rounded twice; the one to three that remain: acc = fma(p[j], w[j], acc). That is what the reference's
 * compiler made of its loop. Rounding to bytes: half to even, clipped to [0, 255]. */
#ifndef QVEC_KERNELS_RESAMPLE_H
#define QVEC_KERNELS_RESAMPLE_H

#include <stdint.h>

#include "kernels/tier.h"

typedef struct {
    int32_t first, taps; /* output i sums inputs [first, first + taps), taps >= 1 */
} qv__window;

/* The windows of one axis. Row i of the weights starts at i * stride; entries behind `taps` are 0. */
typedef struct {
    const qv__window *windows; /* [outputs] */
    union {
        const int32_t *fixed; /* 22 fraction bits */
        const float *real;
    } weights;
    int32_t outputs, stride; /* stride: a multiple of 4, at least the most taps */
} qv__axis;

/* `columns` kernels take `rows` rows of RGB pixels and may read (never use) 16 bytes behind the last pixel of the last
 * row. `rows` kernels make one output row of `count` values from `taps` input rows, the first at `in`; they read and
 * write exactly `count` values. Strides count elements. */
typedef struct {
    void (*columns_fixed)(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                          const qv__axis *axis);
    void (*rows_fixed)(uint8_t *out, const uint8_t *in, int64_t in_stride, const int32_t *weights, int taps,
                       int64_t count);
    void (*columns_real)(float *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t rows,
                         const qv__axis *axis);
    void (*rows_real)(uint8_t *out, const float *in, int64_t in_stride, const float *weights, int taps, int64_t count);
} qv__resample_kernels;

extern const qv__resample_kernels qv__resample_c;
#if defined(__x86_64__)
extern const qv__resample_kernels qv__resample_avx2; /* no gain measured from wider vectors: serves AVX-512 too */
#endif

const qv__resample_kernels *qv__resample_kernels_of(qv__tier tier);
#endif
