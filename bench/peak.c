/* The peaks of multiply-adds, in fp32 and of 8-bit codes: each vector tier, one thread and all of them. */
#include <stdio.h>

#include "measure.h"

enum { SAMPLES = 301, QUICK_SAMPLES = 31 };

static void measure(qv__tier tier, bench_mix mix, int threads, int count) {
    static const char *const names[BENCH_MIXES] = {"fp32", "int8"};
    static double samples[SAMPLES];
    qv__threads *pool = qv__threads_open(threads);
    if (!pool) bench_fail("cannot start %d threads", threads);
    for (int i = 0; i < count; i++) samples[i] = bench_peak_sample(pool, tier, mix);
    qv__threads_close(&pool);
    bench_summary s = bench_summarize(samples, count);
    printf("%-8s %-6s %8d %16.1f %12.1f\n", qv__tier_name(tier), names[mix], threads, s.median, s.max);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "The multiply-add peaks of this machine.");
    int threads = o.threads ? o.threads : qv__cpu_count();
    printf("%-8s %-6s %8s %16s %12s\n", "tier", "of", "threads", "median Gop/s", "max");
    int samples = o.quick ? QUICK_SAMPLES : SAMPLES;
    qv_error err;
    qv__tier highest;
    if (qv__tier_parse(o.tier, &highest, &err)) bench_fail("%s", err.message);
    for (int tier = QV__TIER_C + 1; tier <= (int)highest; tier++)
        for (int mix = 0; mix < BENCH_MIXES; mix++) {
            measure((qv__tier)tier, (bench_mix)mix, 1, samples);
            if (threads > 1) measure((qv__tier)tier, (bench_mix)mix, threads, samples);
        }
    return 0;
}
