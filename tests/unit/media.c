/* Limits, damaged files and frame picking. That pictures equal the reference's is tested in tests/media. */
#include "media/media.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"

typedef struct {
    uint8_t *data;
    size_t size;
} bytes;

static bytes asset(const char *name) {
    char path[512];
    void *data;
    size_t size;
    qv_error err = {0};
    snprintf(path, sizeof path, "golden/data/assets/%s", name);
    CHECK_OK(qv__media_load(check_source_path(path), NULL, NULL, &qv__media_default_limits, &data, &size, &err), err);
    return (bytes){data, size};
}

static const char *const pictures[] = {
    "base.jpg",      "progressive.jpg", "gray.jpg",    "cmyk.jpg",    "exif6.jpg",  "small.png",
    "rgba.png",      "la.png",          "palette.png", "one_bit.png", "gray16.png", "lossy.webp",
    "lossless.webp", "alpha.webp",      "still.gif",   "plain.bmp",   "odd444.jpg", "palette_alpha.png"};
static const char *const videos[] = {"h264.mp4", "vp9.webm", "lossless_rgb.mkv", "still.gif"};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static qv_status decode(const void *data, size_t size, const qv__media_limits *limits, qv__bitmap *b, qv_error *err) {
    return qv__image_decode(data, size, false, limits, b, err);
}

static uint64_t hash(const qv__bitmap *b) {
    uint64_t h = (uint64_t)b->height << 32 | (uint64_t)b->width;
    for (size_t i = 0; i < (size_t)b->height * (size_t)b->width * 3; i++) h = (h ^ b->rgb[i]) * 0x100000001B3u;
    return h;
}

/* Either a picture or a clean error with a text. The copy ends at a page that faults. */
static void check_any(const uint8_t *data, size_t size, bool video) {
    static const qv__media_limits small = {.max_bytes = 1 << 24,
                                           .max_pixels = 1 << 22,
                                           .max_side = 1 << 13,
                                           .max_video_frames = 1000,
                                           .max_decoded_bytes = 1 << 26,
                                           .max_seconds = 20};
    uint8_t *copy = check_guarded(size ? size : 1, false);
    memcpy(copy, data, size);
    qv_error err = {0};
    qv_status status;
    qv__bitmap b = {0};
    if (video) {
        qv__video *v = NULL;
        qv__video_facts facts;
        status = qv__video_open(copy, size, &small, &v, &facts, &err);
        if (!status) status = qv__video_read(v, (int64_t[]){facts.frames / 2}, 1, &b, &err);
        qv__video_close(&v);
    } else {
        status = decode(copy, size, &small, &b, &err);
    }
    if (status)
        CHECK_MSG(err.code == status && err.message[0], "status %d without a text", status);
    else
        CHECK(b.rgb && b.height > 0 && b.width > 0);
    qv__bitmap_clear(&b);
}

static void check_damaged(const char *name, bool video, int rounds) {
    uint64_t seed = check_seed();
    bytes whole = asset(name);
    for (int i = 0; i < rounds; i++) {
        size_t cut = check_random(&seed) % (whole.size + 1);
        check_any(whole.data, i < 16 ? (size_t)i : cut, video);
        uint8_t *flipped = malloc(whole.size);
        memcpy(flipped, whole.data, whole.size);
        for (int flips = 1 + (int)(check_random(&seed) % 8); flips > 0; flips--) {
            size_t place = check_random(&seed) % (i % 2 ? whole.size : whole.size < 600 ? whole.size : 600);
            flipped[place] ^= (uint8_t)(1u << check_random(&seed) % 8);
        }
        check_any(flipped, whole.size, video);
        free(flipped);
    }
    qv__free(whole.data);
}

TEST(damaged_pictures) {
    for (size_t i = 0; i < COUNT(pictures); i++) check_damaged(pictures[i], false, 40);
}

TEST(damaged_videos) {
    for (size_t i = 0; i < COUNT(videos); i++) check_damaged(videos[i], true, 24);
}

/* A picture without its last tenth is an error, whatever the format. */
TEST(cut_pictures) {
    for (size_t i = 0; i < COUNT(pictures); i++) {
        bytes whole = asset(pictures[i]);
        qv__bitmap b;
        for (size_t tenths = 1; tenths < 10; tenths++) {
            qv_error err = {0};
            qv_status status = decode(whole.data, whole.size * tenths / 10, &qv__media_default_limits, &b, &err);
            CHECK_MSG(status == QV_IMAGE_DECODE, "%s cut to %zu tenths: status %d", pictures[i], tenths, status);
        }
        qv__free(whole.data);
    }
}

TEST(bytes_behind_a_picture_are_ignored) {
    for (size_t i = 0; i < COUNT(pictures); i++) {
        bytes whole = asset(pictures[i]);
        qv__bitmap a, b;
        qv_error err = {0};
        uint8_t *longer = malloc(whole.size + 1000);
        memcpy(longer, whole.data, whole.size);
        memset(longer + whole.size, 0xA5, 1000);
        CHECK_OK(decode(whole.data, whole.size, &qv__media_default_limits, &a, &err), err);
        CHECK_OK(decode(longer, whole.size + 1000, &qv__media_default_limits, &b, &err), err);
        CHECK_MSG(hash(&a) == hash(&b), "%s", pictures[i]);
        qv__bitmap_clear(&a);
        qv__bitmap_clear(&b);
        free(longer);
        qv__free(whole.data);
    }
}

TEST(not_a_picture) {
    static const struct {
        const char *data, *text;
        size_t size;
    } cases[] = {{"", "empty", 0},
                 {"hello", "not a picture", 5},
                 {"<html><body>404</body>", "HTML", 22},
                 {"%PDF-1.7", "PDF", 8},
                 {"\0\0\0\x1c"
                  "ftypavif",
                  "AVIF", 12},
                 {"\0\0\0\x1c"
                  "ftypisom",
                  "MP4", 12}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        qv__bitmap b;
        qv_error err = {0};
        CHECK_INT(decode(cases[i].data, cases[i].size, &qv__media_default_limits, &b, &err), QV_IMAGE_DECODE);
        CHECK_MSG(strstr(err.message, cases[i].text), "%s", err.message);
        CHECK(!b.rgb);
    }
}

/* ---- limits ---- */

static void put_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t crc32_of(const uint8_t *p, size_t n) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

TEST(a_png_of_billions_of_pixels) {
    bytes png = asset("small.png");
    put_u32(png.data + 16, 50000);
    put_u32(png.data + 20, 50000);
    put_u32(png.data + 29, crc32_of(png.data + 12, 17));
    qv__bitmap b;
    qv_error err = {0};
    CHECK_INT(decode(png.data, png.size, &qv__media_default_limits, &b, &err), QV_MEDIA_LIMIT);
    CHECK_MSG(strstr(err.message, "50000 x 50000") && strstr(err.message, "89478485"), "%s", err.message);
    qv__free(png.data);
}

TEST(a_jpeg_of_billions_of_pixels) {
    bytes jpeg = asset("base.jpg");
    for (size_t i = 2; i + 9 < jpeg.size; i += 2u + (size_t)(jpeg.data[i + 2] << 8 | jpeg.data[i + 3])) {
        if (jpeg.data[i + 1] != 0xC0) continue;
        memcpy(jpeg.data + i + 5, (uint8_t[4]){0xFF, 0xDC, 0xFF, 0xDC}, 4); /* 65500 a side */
        break;
    }
    qv__bitmap b;
    qv_error err = {0};
    CHECK_INT(decode(jpeg.data, jpeg.size, &qv__media_default_limits, &b, &err), QV_MEDIA_LIMIT);
    CHECK_MSG(strstr(err.message, "65500 x 65500"), "%s", err.message);
    qv__free(jpeg.data);
}

/* The same scan a thousand times: work without end in few bytes. */
TEST(a_jpeg_of_many_scans) {
    bytes jpeg = asset("progressive.jpg");
    size_t last = 0;
    for (size_t i = 0; i + 1 < jpeg.size; i++)
        if (jpeg.data[i] == 0xFF && jpeg.data[i + 1] == 0xDA) last = i;
    size_t scan = jpeg.size - 2 - last, size = last + 1000 * scan + 2;
    uint8_t *many = malloc(size);
    memcpy(many, jpeg.data, last);
    for (size_t k = 0; k < 1000; k++) memcpy(many + last + k * scan, jpeg.data + last, scan);
    memcpy(many + size - 2, jpeg.data + jpeg.size - 2, 2);
    qv__bitmap b;
    qv_error err = {0};
    qv_status status = decode(many, size, &qv__media_default_limits, &b, &err);
    CHECK_MSG(status == QV_MEDIA_LIMIT || status == QV_IMAGE_DECODE, "status %d", status);
    free(many);
    qv__free(jpeg.data);
}

TEST(each_limit_names_itself) {
    bytes png = asset("vga.png"), mp4 = asset("h264.mp4");
    qv__bitmap b;
    qv__video *v;
    qv__video_facts facts;
    struct {
        qv__media_limits limits;
        const char *picture, *video;
    } cases[6];
    for (int i = 0; i < 6; i++) cases[i].limits = qv__media_default_limits;
    cases[0].limits.max_bytes = 1000, cases[0].picture = "1000 bytes", cases[0].video = "1000 bytes";
    cases[1].limits.max_pixels = 5000, cases[1].picture = "5000 pixels", cases[1].video = "5000 pixels";
    cases[2].limits.max_side = 100, cases[2].picture = "100 pixels a side", cases[2].video = "100 pixels a side";
    cases[3].limits.max_seconds = 0, cases[3].picture = "0 seconds", cases[3].video = "0 seconds";
    cases[4].limits.max_video_frames = 50, cases[4].picture = NULL, cases[4].video = "50 frames";
    cases[5].limits.max_decoded_bytes = 999, cases[5].picture = NULL, cases[5].video = "limit of 999";
    for (int i = 0; i < 6; i++) {
        qv_error err = {0};
        if (cases[i].picture) {
            CHECK_INT(decode(png.data, png.size, &cases[i].limits, &b, &err), QV_MEDIA_LIMIT);
            CHECK_MSG(strstr(err.message, cases[i].picture), "%s", err.message);
        }
        qv_status status = qv__video_open(mp4.data, mp4.size, &cases[i].limits, &v, &facts, &err);
        if (!status) status = qv__video_read(v, (int64_t[]){0}, 1, &b, &err);
        qv__video_close(&v);
        CHECK_INT(status, QV_MEDIA_LIMIT);
        CHECK_MSG(strstr(err.message, cases[i].video), "%s", err.message);
    }
    qv__free(png.data);
    qv__free(mp4.data);
}

TEST(decoding_is_given_up_when_told) {
    bytes png = asset("vga.png"), mp4 = asset("h264.mp4");
    atomic_bool stop = false;
    qv__media_limits limits = qv__media_default_limits;
    limits.stop = &stop;
    for (int i = 0; i < 2; i++, stop = true) {
        qv__bitmap b = {0};
        qv__video *v = NULL;
        qv__video_facts facts;
        qv_error err = {0};
        CHECK_INT(decode(png.data, png.size, &limits, &b, &err), i ? QV_CANCELLED : QV_OK);
        qv__bitmap_clear(&b);
        qv_status status = qv__video_open(mp4.data, mp4.size, &limits, &v, &facts, &err);
        if (!status) status = qv__video_read(v, (int64_t[]){0}, 1, &b, &err);
        CHECK_INT(status, i ? QV_CANCELLED : QV_OK);
        qv__bitmap_clear(&b);
        qv__video_close(&v);
    }
    qv__free(png.data);
    qv__free(mp4.data);
}

/* An MP4 whose table says that 80 million samples of one byte follow. */
TEST(a_video_that_announces_millions_of_samples) {
    bytes mp4 = asset("h264.mp4");
    uint8_t *stsz = memmem(mp4.data, mp4.size, "stsz", 4);
    CHECK(stsz);
    put_u32(stsz + 8, 1);
    put_u32(stsz + 12, 80000000);
    qv__video *v;
    qv__video_facts facts;
    qv_error err = {0};
    CHECK_INT(qv__video_open(mp4.data, mp4.size, &qv__media_default_limits, &v, &facts, &err), QV_MEDIA_LIMIT);
    CHECK_MSG(strstr(err.message, "80000000 samples"), "%s", err.message);
    qv__free(mp4.data);
}

TEST(every_allocation_may_fail) {
    for (size_t i = 0; i < COUNT(pictures); i++) {
        bytes whole = asset(pictures[i]);
        for (uint64_t n = 1;; n++) {
            qv__bitmap b = {0};
            qv_error err = {0};
            qv__alloc_fail_at(n, true);
            qv_status status = qv__image_decode(whole.data, whole.size, true, &qv__media_default_limits, &b, &err);
            qv__alloc_fail_at(0, false);
            if (!status) {
                qv__bitmap_clear(&b);
                break;
            }
            CHECK_MSG(status == QV_NO_MEMORY && !b.rgb, "%s, allocation %d: status %d", pictures[i], (int)n, status);
        }
        qv__free(whole.data);
    }
    bytes whole = asset("h264.mp4");
    for (uint64_t n = 1;; n++) {
        qv__bitmap b[2] = {0};
        qv__video *v;
        qv__video_facts facts;
        qv_error err = {0};
        qv__alloc_fail_at(n, true);
        qv_status status = qv__video_open(whole.data, whole.size, &qv__media_default_limits, &v, &facts, &err);
        if (!status) status = qv__video_read(v, (int64_t[]){3, 3}, 2, b, &err);
        qv__alloc_fail_at(0, false);
        qv__video_close(&v);
        if (status)
            CHECK_MSG(status == QV_NO_MEMORY && !b[0].rgb && !b[1].rgb, "allocation %d: status %d", (int)n, status);
        qv__bitmap_clear(&b[0]);
        qv__bitmap_clear(&b[1]);
        if (!status) break;
    }
    qv__free(whole.data);
}

/* ---- video ---- */

/* All frames in one call, one call per frame, and picks in a new video each give the same. */
TEST(frames_by_number) {
    uint64_t seed = check_seed();
    for (size_t i = 0; i < COUNT(videos); i++) {
        bytes whole = asset(videos[i]);
        qv__video *v = NULL, *w = NULL;
        qv__video_facts facts;
        qv_error err = {0};
        static qv__bitmap all[256];
        int64_t indices[256];
        CHECK_OK(qv__video_open(whole.data, whole.size, NULL, &v, &facts, &err), err);
        CHECK(facts.frames > 0 && facts.frames <= 256 && facts.rate > 0);
        int n = (int)facts.frames;
        for (int k = 0; k < n; k++) indices[k] = k;
        CHECK_OK(qv__video_read(v, indices, n, all, &err), err);
        CHECK_INT(all[0].height, facts.height);
        CHECK_INT(all[0].width, facts.width);
        for (int k = 0; k + 1 < n; k += 2) { /* as the model asks for them */
            qv__bitmap pair[2];
            CHECK_OK(qv__video_read(v, indices + k, 2, pair, &err), err);
            CHECK(hash(&pair[0]) == hash(&all[k]) && hash(&pair[1]) == hash(&all[k + 1]));
            qv__bitmap_clear(&pair[0]);
            qv__bitmap_clear(&pair[1]);
        }
        CHECK_OK(qv__video_open(whole.data, whole.size, NULL, &w, &facts, &err), err);
        for (int k = 0; k < 24; k++) {
            int64_t pick = (int64_t)(check_random(&seed) % (uint64_t)n), pair[2] = {pick, pick};
            qv__bitmap got[2];
            CHECK_OK(qv__video_read(k % 2 ? v : w, pair, 2, got, &err), err);
            for (int j = 0; j < 2; j++) {
                CHECK_MSG(hash(&got[j]) == hash(&all[pick]), "%s frame %d", videos[i], (int)pick);
                qv__bitmap_clear(&got[j]);
            }
        }
        for (int k = 0; k < n; k++) qv__bitmap_clear(&all[k]);
        qv__video_close(&v);
        qv__video_close(&w);
        qv__free(whole.data);
    }
}

TEST(frames_that_are_not_there) {
    bytes whole = asset("h264.mp4");
    static const int64_t wrong[][2] = {{-1, 0}, {0, 132}, {5, 4}};
    qv__video *v = NULL;
    qv__video_facts facts;
    qv_error err = {0};
    CHECK_OK(qv__video_open(whole.data, whole.size, NULL, &v, &facts, &err), err);
    CHECK_INT(facts.frames, 132);
    CHECK(facts.rate == 24);
    for (int i = 0; i < 3; i++) {
        qv__bitmap b[2];
        CHECK_INT(qv__video_read(v, wrong[i], 2, b, &err), QV_INVALID_ARGUMENT);
        CHECK(!b[0].rgb && !b[1].rgb);
    }
    CHECK_OK(qv__video_read(v, NULL, 0, NULL, &err), err);
    qv__video_close(&v);
    qv__video_close(&v);
    qv__free(whole.data);
}

TEST(not_a_video) {
    static const char *const names[] = {"base.jpg", "rgba.png", "plain.bmp"};
    static const char list[] = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n";
    static const char concat[] = "ffconcat version 1.0\nfile '/etc/passwd'\n";
    qv__video *v;
    qv__video_facts facts;
    for (size_t i = 0; i < COUNT(names); i++) {
        bytes whole = asset(names[i]);
        qv_error err = {0};
        CHECK_INT(qv__video_open(whole.data, whole.size, NULL, &v, &facts, &err), QV_VIDEO_DECODE);
        CHECK(!v);
        qv__free(whole.data);
    }
    qv_error err = {0};
    CHECK_INT(qv__video_open(list, sizeof list - 1, NULL, &v, &facts, &err), QV_VIDEO_DECODE);
    CHECK_INT(qv__video_open(concat, sizeof concat - 1, NULL, &v, &facts, &err), QV_VIDEO_DECODE);
    CHECK_INT(qv__video_open("", 0, NULL, &v, &facts, &err), QV_VIDEO_DECODE);
}

/* ---- threads ---- */

static void *decode_all(void *context) {
    uint64_t *sum = context;
    for (size_t i = 0; i < COUNT(pictures); i++) {
        bytes whole = asset(pictures[i]);
        qv__bitmap b;
        if (!decode(whole.data, whole.size, &qv__media_default_limits, &b, NULL)) *sum += hash(&b);
        qv__bitmap_clear(&b);
        qv__free(whole.data);
    }
    bytes whole = asset("vp9.webm");
    qv__video *v;
    qv__video_facts facts;
    qv__bitmap b = {0};
    if (!qv__video_open(whole.data, whole.size, NULL, &v, &facts, NULL) &&
        !qv__video_read(v, (int64_t[]){30}, 1, &b, NULL))
        *sum += hash(&b);
    qv__bitmap_clear(&b);
    qv__video_close(&v);
    qv__free(whole.data);
    return NULL;
}

TEST(threads_do_not_meet) {
    pthread_t threads[4];
    uint64_t sums[5] = {0};
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, decode_all, &sums[i]));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    decode_all(&sums[4]);
    for (int i = 0; i < 4; i++) CHECK(sums[i] == sums[4]);
}
