/* The fp32 multiply-add peak: each vector tier, one thread and all of them. */
#include <stdio.h>

#include "check.h"
#include "peak.h"

TEST(peak) {
    enum { SAMPLES = 101 };
    printf("%-8s %8s %16s %12s\n", "tier", "threads", "median GFLOP/s", "max");
    for (int tier = QV__TIER_AVX2; tier <= (int)qv__tier_best(); tier++)
        for (int threads = 1;; threads = qv__cpu_count()) {
            qv__threads *pool = qv__threads_open(threads);
            CHECK(pool);
            double samples[SAMPLES];
            for (int i = 0; i < SAMPLES; i++) samples[i] = bench_peak_sample(pool, (qv__tier)tier);
            qv__threads_close(&pool);
            bench_summary s = bench_summarize(samples, SAMPLES);
            printf("%-8s %8d %16.1f %12.1f\n", qv__tier_name((qv__tier)tier), threads, s.median, s.max);
            if (threads == qv__cpu_count()) break;
        }
}
