/* The multiply-add peak of this machine, measured: the measure that other benchmarks give their fractions of. */
#ifndef QVEC_BENCH_PEAK_H
#define QVEC_BENCH_PEAK_H

#include <stdint.h>

#include "base/threads.h"
#include "kernels/tier.h"

/* Nanoseconds. Of work on one thread its CPU time, so that a busy machine does not show; of several, monotonic time. */
int64_t bench_now_ns(int threads);

/* The instructions that a product is made of: fp32 fused multiply-adds; or those of kernels/gemm8.h, which are 16-bit
 * pairs and an addition in AVX2 and one dot product of bytes in AVX-512 VNNI. */
typedef enum { BENCH_FMA, BENCH_INT8, BENCH_MIXES } bench_mix;

/* Thousand million operations a second, two for each multiply-add, of a register-only loop of them on all threads of
 * the pool, for about a millisecond. Take one sample next to each timing, so that both meet the same neighbours, and
 * compare medians. 0: the tier has no loop (plain C). */
double bench_peak_sample(qv__threads *threads, qv__tier tier, bench_mix mix);

typedef struct {
    double median, max;
} bench_summary;

bench_summary bench_summarize(double *samples, int count); /* sorts them */
#endif
