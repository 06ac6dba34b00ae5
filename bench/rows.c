/* Work on rows, one thread: gigabytes a second that are read and written, beside a plain copy of as many, which is the
 * most that work bound by memory can reach. 256 rows of 2,048 values, the 2B's, and as many patches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/rows.h"
#include "kernels/vision.h"
#include "measure.h"

enum { RUNS = 101, QUICK_RUNS = 3, ROWS = 256, WIDTH = 2048, HEAD = 128, PATCH = 16, TABLE = 64 };
enum { PATCH_VALUES = 3 * 2 * PATCH * PATCH, PIXELS = ROWS * 2 * PATCH * PATCH * 3 };

typedef struct {
    const qv__rows_kernels *k;
    float *x, *y, *weight, *bias, level[256];
    uint16_t *half;
    uint8_t *pixels;
} job;

static void copy(job *j, int64_t r) {
    memcpy(j->y + r * WIDTH, j->x + r * WIDTH, WIDTH * sizeof(float));
}
static void rmsnorm(job *j, int64_t r) {
    j->k->rmsnorm(j->y + r * WIDTH, j->x + r * WIDTH, WIDTH, j->weight, 1e-6f);
}
static void layernorm(job *j, int64_t r) {
    j->k->layernorm(j->y + r * WIDTH, j->x + r * WIDTH, WIDTH, j->weight, j->bias, 1e-6f);
}
static void rope(job *j, int64_t r) {
    for (int i = 0; i < WIDTH; i += HEAD) j->k->rope(j->y + r * WIDTH + i, HEAD / 2, j->weight, j->bias);
}
static void angles(job *j, int64_t r) {
    qv__rope_angles(j->y + r * WIDTH, j->y + r * WIDTH + HEAD / 2, j->weight, (float)r, HEAD / 2);
}
static void widen(job *j, int64_t r) {
    j->k->widen(j->y + r * WIDTH, j->half + r * WIDTH, QV__BF16, WIDTH);
}
static void add(job *j, int64_t r) {
    j->k->add(j->y + r * WIDTH, j->x + r * WIDTH, WIDTH);
}
static void positions(job *j, int64_t r) {
    const void *const corner[4] = {j->half + r % TABLE * WIDTH, j->half + (r + 1) % TABLE * WIDTH,
                                   j->half + (r + 2) % TABLE * WIDTH, j->half + (r + 3) % TABLE * WIDTH};
    j->k->add_weighted(j->y + r * WIDTH, (const float[4]){0.25f, 0.25f, 0.25f, 0.25f}, corner, QV__BF16, WIDTH);
}
static void patches(job *j, int64_t r) {
    const uint8_t *first = j->pixels + r * PATCH * 3;
    qv__patch_row(j->y + r * WIDTH, (const uint8_t *const[2]){first, first + PIXELS / 2}, ROWS * PATCH * 3, PATCH,
                  j->level);
}

/* bytes: of one row, read and written. */
static const struct {
    const char *name;
    void (*row)(job *, int64_t);
    double bytes;
} cases[] = {
    {"copy", copy, WIDTH * 8},
    {"rmsnorm", rmsnorm, WIDTH * 8},
    {"layernorm", layernorm, WIDTH * 8},
    {"rope", rope, WIDTH * 8},
    {"rope angles", angles, HEAD * 4},
    {"bf16 to fp32", widen, WIDTH * 6},
    {"add", add, WIDTH * 12},
    {"positions from four corners", positions, WIDTH * 16},
    {"pixels to patch rows", patches, PATCH_VALUES * 5},
};

typedef struct {
    job *j;
    void (*row)(job *, int64_t);
} run;

static void all_rows(void *context) {
    const run *r = context;
    for (int64_t i = 0; i < ROWS; i++) r->row(r->j, i);
}

static void *memory(size_t size) {
    void *m = calloc(1, size);
    if (!m) bench_fail("out of memory");
    return m;
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "Work on rows of the 2B, one thread.");
    size_t row = WIDTH * sizeof(float);
    job j = {.k = qv__rows_kernels_of(qv__tier_best()), .x = memory(ROWS * row), .y = memory(ROWS * row)};
    j.weight = memory(row);
    j.bias = memory(row);
    j.half = memory(ROWS * row / 2);
    j.pixels = memory(PIXELS);
    for (int i = 0; i < WIDTH; i++) j.weight[i] = 1.0f / (float)(1 + i);
    for (int i = 0; i < ROWS * WIDTH; i++) j.x[i] = (float)(i % 251) * 0x1p-7f - 1;
    qv__pixel_levels(j.level);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!bench_wants(&o, cases[i].name)) continue;
        bench_times t = bench_time(all_rows, &(run){&j, cases[i].row}, o.quick ? QUICK_RUNS : RUNS);
        printf("%-36s %9.4f ms median %9.4f best %8.1f ns a row %8.2f GB/s\n", cases[i].name, t.median, t.best,
               t.median * 1e6 / ROWS, ROWS * cases[i].bytes * 1e-6 / t.median);
    }
    free(j.x), free(j.y), free(j.weight), free(j.bias), free(j.half), free(j.pixels);
    return 0;
}
