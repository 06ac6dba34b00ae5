/* A picture file, decoded and resized for the model once: "MS WIDTH HEIGHT BYTES", milliseconds, the size after
 * resizing, and the most memory beyond what the process had before. For bench/start.py, which sets it against Pillow.
 *
 *     picture FILE */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "media/media.h"
#include "prep/image.h"

enum { FACTOR = 32, MIN_PIXELS = 4096, MAX_PIXELS = 1843200 };

/* The most that was resident; getrusage would tell the parent's, if that was more. */
static long most_bytes(void) {
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (f) fclose(f);
    return kib * 1024;
}

static qv_status prepare(const void *bytes, size_t size, int *height, int *width, qv_error *err) {
    qv__bitmap b;
    qv_status status = qv__image_decode(bytes, size, false, NULL, &b, err);
    if (status) return status;
    status = qv__smart_resize(b.height, b.width, FACTOR, MIN_PIXELS, MAX_PIXELS, height, width, err);
    uint8_t *out = status ? NULL : malloc((size_t)*height * (size_t)*width * 3);
    if (out) status = qv__resize_bicubic(b.rgb, b.height, b.width, out, *height, *width, err);
    free(out);
    qv__bitmap_clear(&b);
    return status;
}

int main(int argc, char **argv) {
    void *bytes;
    size_t size;
    int height, width;
    qv_error err = {0};
    if (argc != 2) return fprintf(stderr, "picture FILE\n"), 2;
    if (qv__media_load(argv[1], NULL, NULL, NULL, &bytes, &size, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    long before = most_bytes();
    int64_t start = qv__now_ns();
    if (prepare(bytes, size, &height, &width, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    double ms = (double)(qv__now_ns() - start) * 1e-6;
    printf("%.3f %d %d %ld\n", ms, width, height, most_bytes() - before);
    qv__free(bytes);
    return 0;
}
