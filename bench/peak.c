/* The fp32 multiply-add peak: each vector tier, one thread and all of them. */
#include <stdio.h>

#include "measure.h"

enum { SAMPLES = 301, QUICK_SAMPLES = 31 };

static void measure(qv__tier tier, int threads, int count) {
    static double samples[SAMPLES];
    qv__threads *pool = qv__threads_open(threads);
    if (!pool) bench_fail("cannot start %d threads", threads);
    for (int i = 0; i < count; i++) samples[i] = bench_peak_sample(pool, tier);
    qv__threads_close(&pool);
    bench_summary s = bench_summarize(samples, count);
    printf("%-8s %8d %16.1f %12.1f\n", qv__tier_name(tier), threads, s.median, s.max);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "The fp32 multiply-add peak of this machine.");
    int threads = o.threads ? o.threads : qv__cpu_count();
    printf("%-8s %8s %16s %12s\n", "tier", "threads", "median GFLOP/s", "max");
    for (int tier = QV__TIER_AVX2; tier <= (int)qv__tier_best(); tier++) {
        measure((qv__tier)tier, 1, o.quick ? QUICK_SAMPLES : SAMPLES);
        if (threads > 1) measure((qv__tier)tier, threads, o.quick ? QUICK_SAMPLES : SAMPLES);
    }
    return 0;
}
