#include "peak.h"

#include <stdlib.h>

#include "base/clock.h"

enum { ROUNDS = 20000, TASKS_PER_THREAD = 8 };

/* Twelve independent chains hide the latency of two pipes on every machine so far. Assembly, because a compiler
 * would fold the loop; the registers are not read afterwards, so no result is needed. */
#define TWELVE(FMA) FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11)
#define FMA_YMM(n) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #n "\n"
#define FMA_ZMM(n) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #n "\n"
/* Eight sums, as kernels/x86/gemm8_avx2.c has them; a product goes through a register of its own. */
#define EIGHT(STEP) STEP(0, 8) STEP(1, 9) STEP(2, 10) STEP(3, 11) STEP(4, 8) STEP(5, 9) STEP(6, 10) STEP(7, 11)
#define MADD_YMM(n, product)                                                                                           \
    "vpmaddwd %%ymm12, %%ymm13, %%ymm" #product "\nvpaddd %%ymm" #product ", %%ymm" #n ", %%ymm" #n "\n"
#define DOT_ZMM(n) "vpdpbusd %%zmm12, %%zmm13, %%zmm" #n "\n"
#define CLOBBERED                                                                                                      \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"

#if defined(__x86_64__)
/* Zeros in, zeros out: no denormals on the way, and no dirty upper halves left behind. */
static void clear_registers(void) {
    __asm__ volatile("vzeroall" ::: CLOBBERED);
}
static void loop_avx2(void *context, size_t i, int worker) {
    clear_registers();
    for (int round = 0; round < ROUNDS; round++) __asm__ volatile(TWELVE(FMA_YMM)::: CLOBBERED);
    clear_registers();
}
static void loop_avx512(void *context, size_t i, int worker) {
    clear_registers();
    for (int round = 0; round < ROUNDS; round++) __asm__ volatile(TWELVE(FMA_ZMM)::: CLOBBERED);
    clear_registers();
}
static void loop_madd(void *context, size_t i, int worker) {
    clear_registers();
    for (int round = 0; round < ROUNDS; round++) __asm__ volatile(EIGHT(MADD_YMM)::: CLOBBERED);
    clear_registers();
}
static void loop_dot(void *context, size_t i, int worker) {
    clear_registers();
    for (int round = 0; round < ROUNDS; round++) __asm__ volatile(TWELVE(DOT_ZMM)::: CLOBBERED);
    clear_registers();
}
#endif

int64_t bench_now_ns(int threads) {
    if (threads > 1) return qv__now_ns();
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double bench_peak_sample(qv__threads *threads, qv__tier tier, bench_mix mix) {
    void (*loop)(void *, size_t, int) = NULL;
    int products = 0; /* of a round */
#if defined(__x86_64__)
    if (tier >= QV__TIER_AVX2) loop = loop_avx2, products = 12 * 8;
    if (tier == QV__TIER_AVX512) loop = loop_avx512, products = 12 * 16;
    if (loop && mix == BENCH_INT8) loop = loop_madd, products = 8 * 16;
    if (tier == QV__TIER_AVX512 && mix == BENCH_INT8 && qv__tier_has_vnni()) loop = loop_dot, products = 12 * 64;
#endif
    if (!loop) return 0;
    int count = qv__threads_count(threads);
    size_t tasks = (size_t)count * TASKS_PER_THREAD;
    int64_t start = bench_now_ns(count);
    qv__threads_run(threads, tasks, loop, NULL);
    return 2.0 * products * ROUNDS * (double)tasks / (double)(bench_now_ns(count) - start);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bench_summary bench_summarize(double *samples, int count) {
    qsort(samples, (size_t)count, sizeof *samples, compare);
    return (bench_summary){samples[count / 2], samples[count - 1]};
}
