/* The multiply-add peak of this machine, measured: the measure that other benchmarks give their fractions of. */
#ifndef QVEC_BENCH_PEAK_H
#define QVEC_BENCH_PEAK_H

#include <stdint.h>

#include "base/threads.h"
#include "kernels/tier.h"

/* Nanoseconds. Of work on one thread its CPU time, so that a busy machine does not show; of several, monotonic time. */
int64_t bench_now_ns(int threads);

/* GFLOP/s of a register-only loop of fp32 fused multiply-adds on all threads of the pool, for about a millisecond. Take
 * one sample next to each timing, so that both meet the same neighbours, and compare medians. 0: the tier has no loop
 * (plain C). */
double bench_peak_sample(qv__threads *threads, qv__tier tier);

typedef struct {
    double median, max;
} bench_summary;

bench_summary bench_summarize(double *samples, int count); /* sorts them */
#endif
