/* Decoding pictures and picking video frames, one thread. */
#include <stdio.h>

#include "base/memory.h"
#include "measure.h"
#include "media/media.h"

enum { RUNS = 20, QUICK_RUNS = 3, FRAMES_MAX = 256 };

typedef struct {
    void *data;
    size_t size;
    int64_t step;  /* video: every step-th frame */
    double pixels; /* of what the last run decoded */
    int frames;
} job;

static job load(const char *name) {
    char path[512];
    job j = {0};
    qv_error err = {0};
    snprintf(path, sizeof path, "golden/data/assets/%s", name);
    if (qv__media_load(bench_source_path(path), NULL, NULL, NULL, &j.data, &j.size, &err))
        bench_fail("%s", err.message);
    return j;
}

static void print(const char *name, const job *j, bench_times t) {
    printf("%-36s %9.3f ms median %9.3f best %8.1f Mpixel/s\n", name, t.median, t.best, j->pixels * 1e-3 / t.median);
}

static void decode_picture(void *context) {
    job *j = context;
    qv__bitmap b;
    qv_error err = {0};
    if (qv__image_decode(j->data, j->size, false, NULL, &b, &err)) bench_fail("%s", err.message);
    j->pixels = (double)b.height * b.width;
    qv__bitmap_clear(&b);
}

/* Opening included, as every request pays it. */
static void decode_video(void *context) {
    job *j = context;
    qv__video *v = NULL;
    qv__video_facts facts;
    qv_error err = {0};
    int64_t indices[FRAMES_MAX];
    qv__bitmap frames[FRAMES_MAX];
    if (qv__video_open(j->data, j->size, NULL, &v, &facts, &err)) bench_fail("%s", err.message);
    for (j->frames = 0; j->frames < FRAMES_MAX && j->frames * j->step < facts.frames; j->frames++)
        indices[j->frames] = j->frames * j->step;
    if (qv__video_read(v, indices, j->frames, frames, &err)) bench_fail("%s", err.message);
    qv__video_close(&v);
    j->pixels = (double)j->frames * facts.height * facts.width;
    for (int i = 0; i < j->frames; i++) qv__bitmap_clear(&frames[i]);
}

static void measure_picture(const bench_options *o, const char *name) {
    if (!bench_wants(o, name)) return;
    job j = load(name);
    bench_times t = bench_time(decode_picture, &j, o->quick ? QUICK_RUNS : RUNS);
    print(name, &j, t);
    qv__free(j.data);
}

static void measure_video(const bench_options *o, const char *name, int64_t step) {
    char text[64];
    if (!bench_wants(o, name)) return;
    job j = load(name);
    j.step = step;
    bench_times t = bench_time(decode_video, &j, o->quick ? QUICK_RUNS : RUNS);
    snprintf(text, sizeof text, "%s, %d frames", name, j.frames);
    print(text, &j, t);
    qv__free(j.data);
}

int main(int argc, char **argv) {
    static const char *const pictures[] = {"large.jpg", "base.jpg",   "progressive.jpg", "vga.png",
                                           "rgba.png",  "lossy.webp", "lossless.webp",   "still.gif"};
    bench_options o = bench_read_options(argc, argv, "Decoding pictures and picking video frames, one thread.");
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) measure_picture(&o, pictures[i]);
    measure_video(&o, "h264.mp4", 1);
    measure_video(&o, "h264.mp4", 24);
    measure_video(&o, "vp9.webm", 10);
    measure_video(&o, "lossless_rgb.mkv", 8);
    return 0;
}
