/* The linear op on the shapes of the 2B model. The weights of successive calls lie in different memory, as those of
 * successive layers do.
 *
 *     bench_gemm [--quick | --all] [--threads N] [--tier TIER] [--only PART] [--seconds S]     --all: one thread too */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm8.h"
#include "measure.h"

enum { WEIGHT_BYTES = 96 << 20, ROWS_MAX = 1024, WIDTH_MAX = 6144 };
enum { SCALE_BYTES = WEIGHT_BYTES / QV__INT8_GROUP * 4 };

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
    uint16_t *weights; /* bf16, or as many bytes of codes */
    float *x, *out, *bias, *scales;
} bench;

/* Matrix `i` of those that lie one after another, all of shape `s`. */
static void open_weight(const bench *b, const shape *s, int64_t i, bool int8, qv__weight *w) {
    qv_error err = {0};
    qv_status status;
    int64_t size = s->outputs * s->inputs;
    qv__tensor t = {.name = s->name, .dtype = QV__BF16, .rank = 2, .shape = {s->outputs, s->inputs}};
    t.data = b->weights + i * size;
    if (int8) {
        int64_t scales = size / QV__INT8_GROUP;
        qv__tensor codes = {.name = s->name, .dtype = QV__U8, .bytes = (size_t)size};
        qv__tensor of_groups = {.name = s->name, .dtype = QV__F32, .bytes = (size_t)scales * sizeof(float)};
        codes.data = (const uint8_t *)b->weights + i * size;
        of_groups.data = b->scales + i * scales;
        status = b->backend->ops->weight_open8(b->backend, &codes, &of_groups, NULL, s->outputs, s->inputs, w, &err);
    } else {
        status = b->backend->ops->weight_open(b->backend, &t, s->outputs, s->inputs, w, &err);
    }
    if (status) bench_fail("%s", err.message);
}

static void call(const bench *b, const shape *s, int64_t rows, bool int8, int turn, bench_meter *m) {
    qv__weight w[2];
    int matrices = s->epilogue == QV__EPI_SILU_MUL ? 2 : 1;
    int64_t size = s->outputs * s->inputs, copies = WEIGHT_BYTES / (int8 ? 1 : 2) / (size * matrices);
    for (int i = 0; i < matrices; i++) open_weight(b, s, turn % copies * matrices + i, int8, &w[i]);
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
    bench_start(m);
    b->backend->ops->linear(b->backend, &args);
    bench_stop(m, 2.0 * (double)rows * (double)(s->outputs * s->inputs * matrices));
    for (int i = 0; i < matrices; i++) b->backend->ops->weight_close(b->backend, &w[i]);
}

static void measure(const bench *b, const shape *s, int64_t rows, bool int8, const bench_options *o) {
    static bench_meter m;
    char name[64];
    double seconds = o->seconds > 0 ? o->seconds : o->quick ? 0.03 : o->all ? 1 : 0.2;
    snprintf(name, sizeof name, "%s, %lld rows%s", s->name, (long long)rows, int8 ? ", int8" : "");
    if (!bench_wants(o, name)) return;
    bench_begin(&m, b->backend, 0, 1); /* warms up */
    call(b, s, rows, int8, 0, &m);
    bench_begin(&m, b->backend, seconds, 5);
    m.mix = int8 ? BENCH_INT8 : BENCH_FMA;
    while (bench_again(&m)) call(b, s, rows, int8, m.runs + 1, &m);
    bench_print_row(&m, name, 0);
}

static void fill(bench *b) {
    uint32_t state = 1;
    b->weights = malloc(WEIGHT_BYTES);
    b->x = malloc(sizeof(float) * ROWS_MAX * WIDTH_MAX);
    b->out = calloc(sizeof(float), ROWS_MAX * WIDTH_MAX);
    b->bias = calloc(sizeof(float), WIDTH_MAX);
    b->scales = malloc(SCALE_BYTES);
    if (!b->weights || !b->x || !b->out || !b->bias || !b->scales) bench_fail("out of memory");
    for (size_t i = 0; i < WEIGHT_BYTES / 2; i++) {
        state = state * 1664525u + 1013904223u;
        b->weights[i] = (uint16_t)(0x3c00 | (state >> 16 & 0x807f));
    }
    for (size_t i = 0; i < SCALE_BYTES / sizeof(float); i++) b->scales[i] = 1e-3f;
    for (size_t i = 0; i < (size_t)ROWS_MAX * WIDTH_MAX; i++) {
        state = state * 1664525u + 1013904223u;
        b->x[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

static void run(const bench_options *o, int threads) {
    static const int64_t rows[] = {1, 8, 20, 64, 200, 256, 800, 1024};
    qv_error err = {0};
    bench b = {0};
    if (qv__cpu_backend_open(threads, o->tier, &b.backend, &err)) bench_fail("%s", err.message);
    fill(&b);
    printf("# linear, %s, %d threads\n", qv__cpu_backend_tier(b.backend), qv__cpu_backend_threads(b.backend));
    bench_print_header();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
            for (int int8 = 0; int8 < 2; int8++)
                if (!o->quick || rows[j] == 1 || rows[j] == 20 || rows[j] == 200)
                    measure(&b, &shapes[i], rows[j], int8, o);
    free(b.weights), free(b.x), free(b.out), free(b.bias), free(b.scales);
    b.backend->ops->close(b.backend);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "The linear op on the shapes of the 2B model.");
    run(&o, o.threads);
    if (o.all && o.threads != 1) run(&o, 1);
    return 0;
}
