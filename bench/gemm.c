/* The linear op on the shapes of the 2B model: GFLOP/s, and the fraction of the multiply-add peak that was measured
 * between its calls. The weights of successive calls lie in different memory, as those of successive layers do. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "peak.h"

enum { WEIGHT_BYTES = 96 << 20, ROWS_MAX = 1024, WIDTH_MAX = 6144, REPEATS = 9 };

typedef struct {
    const char *name;
    int64_t outputs, inputs;
    qv__epilogue epilogue;
    bool bias, residual;
} shape;

static const shape shapes[] = {
    {"qkv", 4096, 2048, QV__EPI_NONE, false, false},
    {"o", 2048, 2048, QV__EPI_NONE, false, true},
    {"gate, up", 6144, 2048, QV__EPI_SILU_MUL, false, false},
    {"down", 2048, 6144, QV__EPI_NONE, false, true},
    {"vision qkv", 3072, 1024, QV__EPI_NONE, true, false},
    {"vision fc1", 4096, 1024, QV__EPI_GELU_TANH, true, false},
    {"vision fc2", 1024, 4096, QV__EPI_NONE, true, true},
};

typedef struct {
    qv__backend *backend;
    qv__threads *threads; /* as many as the backend's, for the peak */
    qv__tier tier;
    uint16_t *weights;
    float *x, *out, *bias;
} bench;

static double call(const bench *b, const shape *s, int64_t rows, int turn) {
    qv_error err = {0};
    int64_t size = s->outputs * s->inputs, matrices = s->epilogue == QV__EPI_SILU_MUL ? 2 : 1;
    int64_t copies = WEIGHT_BYTES / 2 / (size * matrices);
    qv__weight w[2];
    for (int i = 0; i < matrices; i++) {
        qv__tensor t = {.name = s->name, .dtype = QV__BF16, .rank = 2, .shape = {s->outputs, s->inputs}};
        t.data = b->weights + (turn % copies * matrices + i) * size;
        CHECK_OK(b->backend->ops->weight_open(b->backend, &t, s->outputs, s->inputs, &w[i], &err), err);
    }
    qv__linear args = {.out = b->out,
                       .out_stride = s->outputs,
                       .x = b->x,
                       .x_stride = s->inputs,
                       .rows = rows,
                       .w = &w[0],
                       .w_up = matrices == 2 ? &w[1] : NULL,
                       .bias = s->bias ? b->bias : NULL,
                       .epilogue = s->epilogue,
                       .residual = s->residual ? b->out : NULL,
                       .residual_stride = s->outputs};
    int threads = qv__threads_count(b->threads);
    int64_t start = bench_now_ns(threads);
    b->backend->ops->linear(b->backend, &args);
    return 2.0 * (double)rows * (double)(size * matrices) / (double)(bench_now_ns(threads) - start);
}

static void measure(const bench *b, const shape *s, int64_t rows) {
    double speed[REPEATS], peak[REPEATS];
    for (int i = -1; i < REPEATS; i++) { /* the first warms up */
        double g = call(b, s, rows, i + 1), p = bench_peak_sample(b->threads, b->tier);
        if (i >= 0) speed[i] = g, peak[i] = p;
    }
    bench_summary g = bench_summarize(speed, REPEATS), p = bench_summarize(peak, REPEATS);
    printf("%-12s %5lld %12.1f %8.1f %8.1f %6.2f %6.2f\n", s->name, (long long)rows, g.median, g.max, p.median,
           p.median > 0 ? g.median / p.median : 0.0, p.max > 0 ? g.max / p.max : 0.0);
}

static void run(qv__tier tier, int threads) {
    static const int64_t rows[] = {1, 8, 20, 64, 200, 256, 800, 1024};
    const char *only = getenv("QVEC_BENCH_ROWS"); /* one number of rows, any */
    if (tier > qv__tier_best()) check_skip("this machine has no %s", qv__tier_name(tier));
    if (only && (atoi(only) < 1 || atoi(only) > ROWS_MAX)) check_skip("QVEC_BENCH_ROWS is 1 to %d", ROWS_MAX);
    qv_error err = {0};
    bench b = {.tier = tier, .threads = qv__threads_open(threads)};
    CHECK(b.threads);
    CHECK_OK(qv__cpu_backend_open(threads, qv__tier_name(tier), &b.backend, &err), err);
    uint64_t seed = 1;
    b.weights = malloc(WEIGHT_BYTES);
    b.x = malloc(sizeof(float) * ROWS_MAX * WIDTH_MAX);
    b.out = calloc(sizeof(float), ROWS_MAX * WIDTH_MAX);
    b.bias = calloc(sizeof(float), WIDTH_MAX);
    CHECK(b.weights && b.x && b.out && b.bias);
    for (size_t i = 0; i < WEIGHT_BYTES / 2; i++) b.weights[i] = (uint16_t)(0x3c00 | (check_random(&seed) & 0x807f));
    for (size_t i = 0; i < (size_t)ROWS_MAX * WIDTH_MAX; i++) b.x[i] = (float)check_uniform(&seed);
    printf("# %s, %d threads; fraction of the peak by medians, and by the best samples\n", qv__tier_name(tier),
           threads);
    printf("%-12s %5s %12s %8s %8s %6s %6s\n", "", "rows", "GFLOP/s", "max", "peak", "med", "max");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t j = 0; j < (only ? 1 : sizeof rows / sizeof *rows); j++)
            measure(&b, &shapes[i], only ? atoi(only) : rows[j]);
    free(b.weights), free(b.x), free(b.out), free(b.bias);
    b.backend->ops->close(b.backend);
    qv__threads_close(&b.threads);
}

TEST(best) {
    run(qv__tier_best(), qv__cpu_count());
}
TEST(one_thread) {
    run(qv__tier_best(), 1);
}
TEST(avx2_one_thread) {
    if (qv__tier_best() > QV__TIER_AVX2) run(QV__TIER_AVX2, 1);
}
