#include "prep/image.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"

TEST(smart_resize_as_published) {
    static const struct {
        int h, w;
        int64_t min, max;
        int to_h, to_w;
    } rows[] = {
        {183, 275, 4096, 1843200, 192, 288},
        {256, 403, 4096, 1843200, 256, 416},
        {480, 640, 4096, 1843200, 480, 640},
        {20, 30, 4096, 1843200, 64, 96},
        {1365, 2048, 4096, 1843200, 1088, 1632},
        {1365, 2048, 4096, 1310720, 928, 1376},
        {4000, 3000, 4096, 1843200, 1536, 1152},
        {4000, 3000, 4096, 1310720, 1312, 960},
        {3000, 4000, 1024, 5000, 32, 64},
        {80, 900, 200000, 1843200, 160, 1504},
        {48, 80, 1024, 1843200, 64, 64} /* 1.5 and 2.5: half to even */,
        {1, 200, 4096, 1843200, 32, 192},
        {200, 1, 1024, 1843200, 192, 32},
        {16, 16, 1, 1843200, 32, 32},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int h = 0, w = 0;
        qv_error err = {0};
        CHECK_OK(qv__smart_resize(rows[i].h, rows[i].w, 32, rows[i].min, rows[i].max, &h, &w, &err), err);
        CHECK_MSG(h == rows[i].to_h && w == rows[i].to_w, "%d x %d became %d x %d, expected %d x %d", rows[i].h,
                  rows[i].w, h, w, rows[i].to_h, rows[i].to_w);
    }
}

TEST(smart_resize_refuses) {
    int h, w;
    qv_error err = {0};
    CHECK_INT(qv__smart_resize(1, 201, 32, 4096, 1843200, &h, &w, &err), QV_INVALID_ARGUMENT);
    CHECK(strstr(err.message, "201 x 1") && strstr(err.message, "200 times"));
    CHECK_INT(qv__smart_resize(0, 5, 32, 4096, 1843200, &h, &w, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__smart_resize(5, -1, 32, 4096, 1843200, &h, &w, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__smart_resize(100, 100, 32, 5000, 4000, &h, &w, &err), QV_INVALID_ARGUMENT);
    CHECK(strstr(err.message, "5000") && strstr(err.message, "4000"));
    CHECK_INT(qv__smart_resize(100, 100, 32, 0, 0, &h, &w, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__smart_resize(100, 100, 32, INT64_MAX / 2, INT64_MAX, &h, &w, &err), QV_MEDIA_LIMIT);
}

TEST(smart_resize_stays_within_the_area) {
    uint64_t state = check_seed();
    for (int i = 0; i < 20000; i++) {
        int h = 1 + (int)(check_random(&state) % 5000), w = 1 + (int)(check_random(&state) % 5000), to_h, to_w;
        if (h > 200 * w || w > 200 * h) continue;
        qv_error err = {0};
        CHECK_OK(qv__smart_resize(h, w, 32, 65536, 1843200, &to_h, &to_w, &err), err);
        int64_t area = (int64_t)to_h * to_w;
        CHECK_MSG(to_h % 32 == 0 && to_w % 32 == 0 && area >= 65536 && area <= 1843200, "%d x %d became %d x %d", h, w,
                  to_h, to_w);
    }
}

TEST(video_size_as_the_reference) {
    static const struct {
        int h, w, frames;
        int64_t total;
        int to_h, to_w;
    } rows[] = {
        {128, 192, 2, 7864320, 320, 448},       {240, 320, 4, 117964800, 320, 448},
        {1080, 1920, 64, 117964800, 640, 1152}, {1080, 1920, 64, 7864320, 352, 640},
        {720, 1280, 22, 7864320, 608, 1120},    {2160, 3840, 128, 7864320, 256, 480},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int h = 0, w = 0;
        qv_error err = {0};
        CHECK_OK(qv__video_size(rows[i].h, rows[i].w, rows[i].frames, rows[i].total, 32, &h, &w, &err), err);
        CHECK_MSG(h == rows[i].to_h && w == rows[i].to_w, "row %zu: %d x %d", i, h, w);
    }
}

static void check_choice(int64_t frames, double rate, double fps, int max, int want, const int64_t *indices) {
    int64_t got[768];
    int count = -1;
    qv_error err = {0};
    CHECK_OK(qv__video_choose(frames, rate, fps, max, got, &count, &err), err);
    CHECK_INT(count, want);
    for (int i = 0; indices && i < want; i++) CHECK_INT(got[i], indices[i]);
}

TEST(video_choose_as_the_reference) {
    check_choice(26, 8, 0, 0, 4, (const int64_t[]){0, 8, 17, 25});
    check_choice(26, 8, 2, 0, 6, (const int64_t[]){0, 5, 10, 15, 20, 25});
    check_choice(132, 24, 1, 64, 4, (const int64_t[]){0, 44, 87, 131});
    check_choice(45, 10, 4, 6, 6, (const int64_t[]){0, 9, 18, 26, 35, 44});
    check_choice(6, 30, 1, 64, 4, (const int64_t[]){0, 2, 3, 5});
    check_choice(3, 30, 1, 64, 2, (const int64_t[]){0, 2});
    check_choice(2, 30, 1, 7, 2, (const int64_t[]){0, 1});
    check_choice(100000, 25, 1, 0, 64, NULL);
    check_choice(100000, 25, 1, 9, 8, NULL);
    check_choice(8, 4, 100, 768, 8, (const int64_t[]){0, 1, 2, 3, 4, 5, 6, 7});
    check_choice(6, 1, 1e308, 2, 2, (const int64_t[]){0, 5});
}

TEST(video_choose_refuses) {
    int64_t got[64];
    int count;
    qv_error err = {0};
    CHECK_INT(qv__video_choose(1, 25, 1, 64, got, &count, &err), QV_VIDEO_DECODE);
    CHECK(strstr(err.message, "1 frames"));
    CHECK_INT(qv__video_choose(10, 0, 1, 64, got, &count, &err), QV_VIDEO_DECODE);
    CHECK_INT(qv__video_choose(10, NAN, 1, 64, got, &count, &err), QV_VIDEO_DECODE);
    CHECK_INT(qv__video_choose(10, 25, -1, 64, got, &count, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__video_choose(10, 25, NAN, 64, got, &count, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__video_choose(10, 25, 1, 1, got, &count, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__video_choose(10, 25, 1, -4, got, &count, &err), QV_INVALID_ARGUMENT);
}

TEST(frames_choose_as_the_reference) {
    static const struct {
        int frames, max, count, indices[8];
    } rows[] = {
        {2, 0, 2, {0, 1}},       {5, 0, 6, {0, 1, 2, 3, 4, 4}}, {5, 4, 4, {0, 1, 2, 4}}, {5, 2, 2, {0, 4}},
        {5, 3, 4, {0, 2, 4, 4}}, {7, 5, 6, {0, 1, 3, 4, 6, 6}}, {1, 0, 2, {0, 0}},       {9, 1, 2, {0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got[80], count;
        qv__frames_choose(rows[i].frames, rows[i].max, got, &count);
        CHECK_INT(count, rows[i].count);
        CHECK_MSG(memcmp(got, rows[i].indices, (size_t)count * sizeof *got) == 0, "row %zu", i);
    }
}

typedef qv_status resizer(const uint8_t *, int, int, uint8_t *, int, int, qv_error *);
static resizer *const resizers[] = {qv__resize_bicubic, qv__resize_bicubic_torch};

/* Nothing outside of src is read and nothing outside of dst written, at any size. */
TEST(resize_stays_inside) {
    uint64_t state = check_seed();
    for (int round = 0; round < 400; round++) {
        int h = 1 + (int)(check_random(&state) % 40), w = 1 + (int)(check_random(&state) % 40);
        int to_h = 1 + (int)(check_random(&state) % 40), to_w = 1 + (int)(check_random(&state) % 40);
        bool at_start = round & 2;
        uint8_t *src = check_guarded((size_t)(h * w * 3), at_start);
        uint8_t *dst = check_guarded((size_t)(to_h * to_w * 3), at_start);
        memset(src, 77, (size_t)(h * w * 3));
        memset(dst, 0, (size_t)(to_h * to_w * 3));
        qv_error err = {0};
        CHECK_OK(resizers[round & 1](src, h, w, dst, to_h, to_w, &err), err);
        for (int i = 0; i < to_h * to_w * 3; i++) CHECK_INT(dst[i], 77);
    }
}

TEST(resize_same_size_copies) {
    uint8_t src[7 * 5 * 3], dst[sizeof src];
    for (size_t i = 0; i < sizeof src; i++) src[i] = (uint8_t)(i * 37);
    for (int k = 0; k < 2; k++) {
        qv_error err = {0};
        memset(dst, 0, sizeof dst);
        CHECK_OK(resizers[k](src, 7, 5, dst, 7, 5, &err), err);
        CHECK(memcmp(src, dst, sizeof src) == 0);
    }
}

TEST(resize_refuses) {
    uint8_t byte[3] = {0};
    for (int k = 0; k < 2; k++) {
        qv_error err = {0};
        CHECK_INT(resizers[k](byte, 0, 1, byte, 1, 1, &err), QV_INVALID_ARGUMENT);
        CHECK_INT(resizers[k](byte, 1, 1, byte, 1, -1, &err), QV_INVALID_ARGUMENT);
    }
}

TEST(resize_without_memory) {
    static const int to[][2] = {{20, 9}, {30, 64}, {9, 30}, {64, 33}};
    uint8_t *src = calloc(30 * 30, 3), *dst = malloc(64 * 64 * 3);
    CHECK(src && dst);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
            int failures = 0;
            for (uint64_t n = 1;; n++) {
                qv_error err = {0};
                qv__alloc_fail_at(n, false);
                qv_status status = resizers[k](src, 30, 30, dst, to[i][0], to[i][1], &err);
                qv__alloc_fail_at(0, false);
                if (!status) break;
                CHECK_INT(status, QV_NO_MEMORY);
                CHECK(strstr(err.message, "30 x 30"));
                failures++;
            }
            CHECK(failures >= 2);
        }
    free(src);
    free(dst);
}
