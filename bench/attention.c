/* Attention on the shapes of the 2B model: GFLOP/s, and the fraction of the multiply-add peak that was measured between
 * its calls. A causal row counts the keys that it sees; two products of head_dim multiply-adds for each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "check.h"
#include "peak.h"

enum { SEGMENTS_MAX = 8, REPEATS_MAX = 200, TARGET_MS = 700 };

typedef struct {
    const char *name;
    int heads, kv_heads, head_dim;
    bool causal;
    int segments, length, prefix; /* of each segment, `length` keys; rows behind `prefix` ask */
} shape;

static const shape shapes[] = {
    {"text 1 x 200", 16, 8, 128, true, 1, 200, 0},
    {"text 1 x 1000", 16, 8, 128, true, 1, 1000, 0},
    {"text 1 x 8192", 16, 8, 128, true, 1, 8192, 0},
    {"text 8 x 40 behind 1000", 16, 8, 128, true, 8, 1040, 1000},
    {"vision 1 x 1200", 16, 16, 64, false, 1, 1200, 0},
    {"vision 8 x 1200", 16, 16, 64, false, 8, 1200, 0},
    {"vision 72 wide 1 x 1200", 16, 16, 72, false, 1, 1200, 0},
};

static float *random_floats(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x);
    uint64_t seed = check_seed();
    CHECK(x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)check_uniform(&seed);
    return x;
}

static double flops(const shape *s) {
    double rows = s->length - s->prefix, keys = s->causal ? s->prefix + (rows + 1) / 2 : s->length;
    return 4.0 * s->segments * s->heads * s->head_dim * rows * keys;
}

static void measure(qv__backend *cpu, qv__threads *threads, qv__tier tier, const shape *s) {
    int64_t rows = s->length - s->prefix, q_width = (int64_t)s->heads * s->head_dim;
    int64_t kv_width = (int64_t)s->kv_heads * s->head_dim;
    float *q = random_floats(s->segments * rows * q_width), *out = random_floats(s->segments * rows * q_width);
    float *k = random_floats(s->segments * s->length * kv_width),
          *v = random_floats(s->segments * s->length * kv_width);
    qv__segment segments[SEGMENTS_MAX];
    for (int i = 0; i < s->segments; i++) {
        int64_t at = i * s->length * kv_width;
        segments[i] = (qv__segment){i * rows, rows, s->prefix, k + at, v + at, kv_width, s->length, NULL, NULL, 0, 0};
    }
    qv__attention a = {out,       q_width,     q,           q_width,
                       s->heads,  s->kv_heads, s->head_dim, 1.0f / sqrtf((float)s->head_dim),
                       s->causal, segments,    s->segments};
    double rate[REPEATS_MAX], fraction[REPEATS_MAX];
    int64_t stop = qv__now_ns() + (int64_t)TARGET_MS * 1000000;
    int n = 0;
    cpu->ops->attention(cpu, &a);
    do {
        double peak = bench_peak_sample(threads, tier);
        int64_t start = qv__now_ns();
        cpu->ops->attention(cpu, &a);
        rate[n] = flops(s) / (double)(qv__now_ns() - start);
        fraction[n] = peak > 0 ? rate[n] / peak : 0;
    } while (++n < REPEATS_MAX && qv__now_ns() < stop);
    bench_summary r = bench_summarize(rate, n), f = bench_summarize(fraction, n);
    printf("%-26s %8.1f GFLOP/s %6.2f of peak %10.3f ms\n", s->name, r.median, f.median, flops(s) / r.median * 1e-6);
    free(q);
    free(out);
    free(k);
    free(v);
}

static void run(qv__tier tier, int threads) {
    qv_error err = {0};
    qv__backend *cpu;
    CHECK_OK(qv__cpu_backend_open(threads, qv__tier_name(tier), &cpu, &err), err);
    qv__threads *for_peak = qv__threads_open(threads);
    CHECK(for_peak);
    printf("attention, tier %s, threads %d\n", qv__cpu_backend_tier(cpu), threads);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) measure(cpu, for_peak, tier, &shapes[i]);
    qv__threads_close(&for_peak);
    cpu->ops->close(cpu);
}

TEST(best) {
    run(qv__tier_best(), qv__cpu_count());
}
TEST(one_thread) {
    run(qv__tier_best(), 1);
}
TEST(avx2) {
    if (qv__tier_best() > QV__TIER_AVX2) run(QV__TIER_AVX2, qv__cpu_count());
}
