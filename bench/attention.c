/* Attention on the shapes of the 2B model. A causal row counts the keys that it sees; two products of head_dim
 * multiply-adds for each.
 *
 *     bench_attention [--quick | --all] [--threads N] [--tier TIER] [--only PART] [--seconds S]
 *     --all: one thread too */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

enum { SEGMENTS_MAX = 8 };

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
    uint32_t state = 1;
    if (!x) bench_fail("out of memory");
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return x;
}

static double flops(const shape *s) {
    double rows = s->length - s->prefix, keys = s->causal ? s->prefix + (rows + 1) / 2 : s->length;
    return 4.0 * s->segments * s->heads * s->head_dim * rows * keys;
}

static void measure(qv__backend *cpu, const shape *s, double seconds) {
    static bench_meter m;
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
    cpu->ops->attention(cpu, &a);
    for (bench_begin(&m, cpu, seconds, 3); bench_again(&m);) {
        bench_start(&m);
        cpu->ops->attention(cpu, &a);
        bench_stop(&m, flops(s));
    }
    bench_print_row(&m, s->name, 0);
    free(q), free(out), free(k), free(v);
}

static void run(const bench_options *o, int threads) {
    qv_error err = {0};
    qv__backend *cpu;
    if (qv__cpu_backend_open(threads, o->tier, &cpu, &err)) bench_fail("%s", err.message);
    printf("# attention, %s, %d threads\n", qv__cpu_backend_tier(cpu), qv__cpu_backend_threads(cpu));
    bench_print_header();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (bench_wants(o, shapes[i].name))
            measure(cpu, &shapes[i], o->seconds > 0 ? o->seconds : o->quick ? 0.1 : o->all ? 2 : 0.7);
    cpu->ops->close(cpu);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "Attention on the shapes of the 2B model.");
    run(&o, o.threads);
    if (o.all && o.threads != 1) run(&o, 1);
    return 0;
}
