/* Both resamplers on the sizes that pictures and video frames come in: milliseconds and megapixels of source a second,
 * best and median of nine runs, one thread. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "prep/image.h"

enum { RUNS = 9 };

typedef qv_status resizer(const uint8_t *, int, int, uint8_t *, int, int, qv_error *);

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int measure(const char *name, resizer *run, int h, int w, int to_h, int to_w) {
    size_t size = (size_t)h * (size_t)w * 3;
    uint8_t *src = malloc(size), *dst = malloc((size_t)to_h * (size_t)to_w * 3);
    int64_t ns[RUNS];
    qv_error err = {0};
    if (!src || !dst) return 1;
    for (size_t i = 0; i < size; i++) src[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24);
    for (int i = 0; i < RUNS; i++) {
        int64_t start = qv__now_ns();
        if (run(src, h, w, dst, to_h, to_w, &err)) return fprintf(stderr, "%s\n", err.message), 1;
        ns[i] = qv__now_ns() - start;
    }
    qsort(ns, RUNS, sizeof *ns, by_value);
    printf("%-8s %4d x %-4d -> %4d x %-4d  best %7.2f ms, median %7.2f ms, %6.0f Mpixel/s\n", name, w, h, to_w, to_h,
           (double)ns[0] / 1e6, (double)ns[RUNS / 2] / 1e6, (double)size / 3e-3 / (double)ns[RUNS / 2]);
    free(src);
    free(dst);
    return 0;
}

int main(void) {
    int failed = measure("picture", qv__resize_bicubic, 3000, 4000, 1152, 1536);
    failed |= measure("picture", qv__resize_bicubic, 4000, 3000, 1536, 1152);
    failed |= measure("picture", qv__resize_bicubic, 1080, 1920, 992, 1792);
    failed |= measure("picture", qv__resize_bicubic, 183, 275, 192, 288);
    failed |= measure("video", qv__resize_bicubic_torch, 1080, 1920, 640, 1152);
    failed |= measure("video", qv__resize_bicubic_torch, 240, 320, 320, 448);
    return failed;
}
