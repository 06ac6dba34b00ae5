/* Both resamplers on the sizes that pictures and video frames come in, one thread. */
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"
#include "prep/image.h"

enum { RUNS = 15, QUICK_RUNS = 3 };

typedef qv_status resizer(const uint8_t *, int, int, uint8_t *, int, int, qv_error *);

typedef struct {
    const char *name;
    resizer *run;
    int height, width, to_height, to_width;
} bench_case;

static const bench_case cases[] = {
    {"picture", qv__resize_bicubic, 3000, 4000, 1152, 1536},
    {"picture", qv__resize_bicubic, 4000, 3000, 1536, 1152},
    {"picture", qv__resize_bicubic, 1080, 1920, 992, 1792},
    {"picture", qv__resize_bicubic, 183, 275, 192, 288},
    {"video frame", qv__resize_bicubic_torch, 1080, 1920, 640, 1152},
    {"video frame", qv__resize_bicubic_torch, 240, 320, 320, 448},
};

typedef struct {
    const bench_case *c;
    const uint8_t *from;
    uint8_t *to;
} job;

static void resize(void *context) {
    const job *j = context;
    qv_error err = {0};
    if (j->c->run(j->from, j->c->height, j->c->width, j->to, j->c->to_height, j->c->to_width, &err))
        bench_fail("%s", err.message);
}

static void measure(const bench_options *o, const bench_case *c) {
    char name[64];
    snprintf(name, sizeof name, "%s %d x %d to %d x %d", c->name, c->width, c->height, c->to_width, c->to_height);
    if (!bench_wants(o, name)) return;
    size_t size = (size_t)c->height * (size_t)c->width * 3;
    uint8_t *from = malloc(size), *to = malloc((size_t)c->to_height * (size_t)c->to_width * 3);
    if (!from || !to) bench_fail("out of memory");
    for (size_t i = 0; i < size; i++) from[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
    bench_times t = bench_time(resize, &(job){c, from, to}, o->quick ? QUICK_RUNS : RUNS);
    printf("%-36s %9.2f ms median %9.2f best %8.0f Mpixel/s of source\n", name, t.median, t.best,
           (double)size / 3e3 / t.median);
    free(from);
    free(to);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "Both resamplers, one thread.");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) measure(&o, &cases[i]);
    return 0;
}
