/* Vectors on their way out as JSON, one thread: what an answer of 64 vectors costs beside the C library's own printing
 * of as many numbers, and beside copying as many bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/write.h"
#include "measure.h"

enum { RUNS = 31, QUICK_RUNS = 3, VECTORS = 64, WIDTH = 2048 };

typedef struct {
    float *values; /* [VECTORS][WIDTH], rows of length 1 */
    qv__buffer out;
    void (*write)(qv__buffer *out, const float *vector);
} job;

static void as_printf(qv__buffer *out, const float *vector) {
    for (int i = 0; i < WIDTH; i++) qv__buffer_printf(out, i ? ",%.9g" : "[%.9g", (double)vector[i]);
}
static void as_copies(qv__buffer *out, const float *vector) {
    qv__buffer_append(out, vector, WIDTH * sizeof *vector);
}
static void as_numbers(qv__buffer *out, const float *vector) {
    qv__write_floats(out, vector, WIDTH);
}
static void as_base64(qv__buffer *out, const float *vector) {
    qv__write_base64(out, vector, WIDTH, QV__WIRE_F32, false);
}
static void as_half_base64(qv__buffer *out, const float *vector) {
    qv__write_base64(out, vector, WIDTH, QV__WIRE_F16, false);
}
static void as_int8(qv__buffer *out, const float *vector) {
    qv__write_quantized(out, vector, WIDTH, QV__INT8, false);
}
static void as_binary(qv__buffer *out, const float *vector) {
    qv__write_quantized(out, vector, WIDTH, QV__UBINARY, false);
}

static void write_all(void *context) {
    job *j = context;
    j->out.size = 0;
    for (int i = 0; i < VECTORS; i++) j->write(&j->out, j->values + i * WIDTH);
    if (j->out.failed) bench_fail("out of memory");
}

static void fill(float *values) {
    uint32_t state = 1;
    for (int v = 0; v < VECTORS; v++, values += WIDTH) {
        double sum = 0;
        for (int i = 0; i < WIDTH; i++) {
            state = state * 1664525u + 1013904223u;
            values[i] = (float)(int32_t)state * 0x1p-31f;
            sum += (double)values[i] * values[i];
        }
        for (int i = 0; i < WIDTH; i++) values[i] *= (float)(1 / sqrt(sum));
    }
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "64 vectors of 2,048 numbers as JSON, one thread.");
    static const struct {
        const char *name;
        void (*write)(qv__buffer *out, const float *vector);
    } cases[] = {{"numbers by printf %.9g", as_printf}, {"numbers", as_numbers},   {"base64", as_base64},
                 {"fp16 in base64", as_half_base64},    {"int8 numbers", as_int8}, {"ubinary numbers", as_binary},
                 {"bytes, copied", as_copies}};
    job j = {.values = malloc(sizeof(float) * VECTORS * WIDTH)};
    if (!j.values) bench_fail("out of memory");
    fill(j.values);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!bench_wants(&o, cases[i].name)) continue;
        j.write = cases[i].write;
        bench_times t = bench_time(write_all, &j, o.quick ? QUICK_RUNS : RUNS);
        printf("%-36s %9.3f ms median %9.3f best %8.1f ns a number %8.1f MB/s\n", cases[i].name, t.median, t.best,
               t.median * 1e6 / (VECTORS * WIDTH), (double)j.out.size * 1e-3 / t.median);
    }
    qv__buffer_clear(&j.out);
    free(j.values);
    return 0;
}
