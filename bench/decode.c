/* Decoding pictures and picking video frames, one thread: megapixels of the result per second. */
#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "check.h"
#include "media/media.h"

static double seconds_since(int64_t start) {
    return (double)(qv__now_ns() - start) * 1e-9;
}

static void *load(const char *name, size_t *size) {
    char path[512];
    void *data;
    qv_error err = {0};
    snprintf(path, sizeof path, "golden/data/assets/%s", name);
    CHECK_OK(qv__media_load(check_source_path(path), NULL, NULL, NULL, &data, size, &err), err);
    return data;
}

static void print(const char *name, double pixels, double seconds) {
    printf("%-28s %9.3f ms %9.1f Mpixel/s\n", name, seconds * 1e3, pixels * 1e-6 / seconds);
}

static void measure_picture(const char *name) {
    size_t size;
    void *data = load(name, &size);
    double best = 1e9, pixels = 0;
    for (int round = 0; round < 20; round++) {
        qv__bitmap b;
        qv_error err = {0};
        int64_t start = qv__now_ns();
        CHECK_OK(qv__image_decode(data, size, false, NULL, &b, &err), err);
        double s = seconds_since(start);
        pixels = (double)b.height * b.width;
        if (s < best) best = s;
        qv__bitmap_clear(&b);
    }
    print(name, pixels, best);
    qv__free(data);
}

/* Opening included, as every request pays it. step: every step-th frame. */
static void measure_video(const char *name, int64_t step) {
    size_t size;
    void *data = load(name, &size);
    double best = 1e9, pixels = 0;
    int count = 0;
    for (int round = 0; round < 5; round++) {
        qv__video *v = NULL;
        qv__video_facts facts;
        qv_error err = {0};
        int64_t indices[256];
        qv__bitmap frames[256];
        int64_t start = qv__now_ns();
        CHECK_OK(qv__video_open(data, size, NULL, &v, &facts, &err), err);
        for (count = 0; count < 256 && count * step < facts.frames; count++) indices[count] = count * step;
        CHECK_OK(qv__video_read(v, indices, count, frames, &err), err);
        double s = seconds_since(start);
        qv__video_close(&v);
        pixels = (double)count * facts.height * facts.width;
        if (s < best) best = s;
        for (int i = 0; i < count; i++) qv__bitmap_clear(&frames[i]);
    }
    char text[64];
    snprintf(text, sizeof text, "%s, %d frames", name, count);
    print(text, pixels, best);
    qv__free(data);
}

TEST(pictures) {
    static const char *const names[] = {"large.jpg", "base.jpg",   "progressive.jpg", "vga.png",
                                        "rgba.png",  "lossy.webp", "lossless.webp",   "still.gif"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) measure_picture(names[i]);
}

TEST(videos) {
    measure_video("h264.mp4", 1);
    measure_video("h264.mp4", 24);
    measure_video("vp9.webm", 10);
    measure_video("lossless_rgb.mkv", 8);
}
