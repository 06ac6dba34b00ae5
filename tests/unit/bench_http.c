/* The benchmarks' side of HTTP: URLs, heads, answers in any pieces, bodies of the back ends, data sets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/answer.h"
#include "bench/payload.h"
#include "bench/samples_media.h"
#include "bench/target.h"
#include "check.h"
#include "media/jpeg_write.h"
#include "media/media.h"
#include "media/mp4_write.h"

/* ---- answers ---- */

/* Feeds a text `step` bytes at a time. The status; *taken: bytes that belong to the answer. */
static qv_status feed(qv__answer *a, const char *text, size_t step, size_t *taken, qv_error *err) {
    size_t size = strlen(text), used;
    qv__answer_start(a);
    *taken = 0;
    while (*taken < size && a->state != QV__ANSWER_DONE) {
        size_t n = size - *taken < step ? size - *taken : step;
        qv_status status = qv__answer_feed(a, text + *taken, n, &used, err);
        *taken += used;
        if (status) return status;
    }
    return QV_OK;
}

static void check_answer(const char *text, int status, const char *body, bool keep_alive) {
    qv__answer a = {0};
    for (size_t step = 1; step < 80; step += 13) {
        qv_error err = {0};
        size_t taken;
        CHECK_OK(feed(&a, text, step, &taken, &err), err);
        CHECK_INT(a.state, QV__ANSWER_DONE);
        CHECK_INT(taken, strlen(text));
        CHECK_INT(a.status, status);
        CHECK_INT(a.body.size, strlen(body));
        CHECK(!a.body.size || !memcmp(a.body.data, body, a.body.size));
        CHECK_INT(a.keep_alive, keep_alive);
    }
    qv__answer_clear(&a);
}

TEST(answers_with_a_length) {
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true);
    check_answer("HTTP/1.1 503\r\nconnection: Close\r\nCONTENT-LENGTH:0\r\n\r\n", 503, "", false);
    check_answer("HTTP/1.0 200 OK\ncontent-length: 2\n\nab", 200, "ab", false);
    check_answer("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", 200, "ab", true);
    check_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
}

TEST(answers_in_chunks) {
    check_answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        200, "abc0123456789", true);
}

TEST(answers_until_the_end) {
    qv__answer a = {0};
    qv_error err = {0};
    size_t taken;
    CHECK_OK(feed(&a, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nall of it", 7, &taken, &err),
             err);
    CHECK(a.state == QV__ANSWER_UNTIL_CLOSE && a.binary);
    CHECK_OK(qv__answer_end(&a, &err), err);
    CHECK_INT(a.body.size, 9);
    CHECK(!a.keep_alive);
    CHECK_OK(feed(&a, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 7, &taken, &err), err);
    CHECK_FAILS(qv__answer_end(&a, &err), QV_IO, "in the middle", err);
    qv__answer_start(&a);
    CHECK_FAILS(qv__answer_end(&a, &err), QV_IO, "without an answer", err);
    qv__answer_clear(&a);
}

TEST(bytes_behind_an_answer_are_left) {
    qv__answer a = {0};
    qv_error err = {0};
    size_t used;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP";
    qv__answer_start(&a);
    CHECK_OK(qv__answer_feed(&a, text, sizeof text - 1, &used, &err), err);
    CHECK_INT(used, sizeof text - 1 - 4);
    qv__answer_clear(&a);
}

static void check_refused(const char *text, const char *words) {
    qv__answer a = {0};
    for (size_t step = 1; step < 200; step += 37) {
        qv_error err = {0};
        size_t taken;
        CHECK_FAILS(feed(&a, text, step, &taken, &err), QV_IO, words, err);
    }
    qv__answer_clear(&a);
}

TEST(bad_answers_are_refused) {
    check_refused("SSH-2.0-OpenSSH\r\n", "status line");
    check_refused("HTTP/2 200\r\n\r\n", "status line");
    check_refused("HTTP/1.1 200 OK\r\nno colon\r\n", "not a header");
    check_refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length");
    check_refused("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "Content-Length");
    check_refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different");
    check_refused("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", "268435456");
    check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "chunked");
    check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "without its size");
    check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "268435456");
    check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than it says");
}

TEST(heads_have_limits) {
    qv__answer a = {0};
    qv_error err = {0};
    static char line[QV__ANSWER_LINE_MAX + 2];
    size_t used;
    memset(line, 'a', sizeof line);
    qv__answer_start(&a);
    CHECK_FAILS(qv__answer_feed(&a, line, sizeof line, &used, &err), QV_IO, "65536", err);
    qv__answer_start(&a);
    CHECK_OK(qv__answer_feed(&a, "HTTP/1.1 200 OK\r\n", 17, &used, &err), err);
    for (int i = 0; i < QV__ANSWER_HEADERS_MAX; i++) CHECK_OK(qv__answer_feed(&a, "a:b\r\n", 5, &used, &err), err);
    CHECK_FAILS(qv__answer_feed(&a, "a:b\r\n", 5, &used, &err), QV_IO, "256", err);
    qv__answer_clear(&a);
}

static void check_tokens(const char *body, int64_t expected) {
    qv_error err = {0};
    int64_t tokens;
    CHECK_OK(qv__answer_tokens(body, strlen(body), &tokens, &err), err);
    CHECK_INT(tokens, expected);
}

TEST(tokens_of_answers) {
    check_tokens(
        "{\"data\":[{\"embedding\":[0.1,-2e-3]}],\"usage\":{\"total_tokens\":9,\"prompt_tokens\":7,\"x\":null}}", 7);
    check_tokens(" {\"usage\":{\"total_tokens\":9},\"data\":[]} \n", 9);
    check_tokens("{\"usage\":null}", -1);
    check_tokens("{\"usage\":{\"prompt_tokens\":\"7\"}}", -1);
    check_tokens("[[0.1],[0.2]]", -1);
    for (int i = 0; i < 5; i++) {
        static const char *const bad[] = {"", "not json", "{\"data\":[", "{\"a\":1} {", "7"};
        qv_error err = {0};
        int64_t tokens = 0;
        CHECK_FAILS(qv__answer_tokens(bad[i], strlen(bad[i]), &tokens, &err), QV_INVALID_JSON, "not JSON", err);
        CHECK_INT(tokens, -1);
    }
}

/* ---- targets ---- */

static void check_url(const char *url, const char *host, int port, const char *prefix) {
    qv__target t;
    qv_error err = {0};
    CHECK_OK(qv__target_parse(url, &t, &err), err);
    CHECK_STR(t.host, host);
    CHECK_INT(t.port, port);
    CHECK_STR(t.prefix, prefix);
}

TEST(urls) {
    check_url("http://localhost:8000", "localhost", 8000, "");
    check_url("HTTP://h/", "h", 80, "");
    check_url("http://[::1]:81/a/b//?q#f", "::1", 81, "/a/b");
    check_url("http://[::1]", "::1", 80, "");
    check_url("https://h", "h", 443, "");
    check_url("HTTPS://[::1]:80/a/", "::1", 80, "/a");
    static const char *const bad[] = {
        "localhost:8000", "http://",     "http://:80",     "http://h:",    "http://h:0", "http://h:65536",
        "http://h:8x",    "http://[::1", "http://[::1]80", "http://h/a b", "https://"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        qv__target t;
        qv_error err = {0};
        CHECK_MSG(qv__target_parse(bad[i], &t, &err) && err.message[0], "%s was taken", bad[i]);
    }
}

TEST(heads) {
    qv__target t;
    qv_error err = {0};
    qv__buffer out = {0};
    static const char *const lines[] = {"A: b"};
    CHECK_OK(qv__target_parse("http://[::1]:81/p", &t, &err), err);
    qv__target_write_head(&t, &(qv__head){"POST", "/v1/embeddings", lines, 1}, 12, &out);
    qv__buffer_append(&out, "", 1);
    CHECK_STR(out.data, "POST /p/v1/embeddings HTTP/1.1\r\nHost: [::1]:81\r\nA: b\r\nContent-Type: application/json\r\n"
                        "Content-Length: 12\r\n\r\n");
    qv__buffer_clear(&out);
}

/* ---- bodies ---- */

static void check_body_at(size_t index, const char *backend, const qv__sample *sample, const char *extra,
                          const char *expected) {
    qv__backend_kind kind;
    qv_error err = {0};
    qv__buffer out = {0};
    CHECK(qv__backend_find(backend, &kind));
    CHECK_OK(qv__payload_write(kind, "m", sample, index, extra, &out, &err), err);
    qv__buffer_append(&out, "", 1);
    CHECK_STR(out.data, expected);
    qv__buffer_clear(&out);
}

static void check_body(const char *backend, const qv__sample *sample, const char *extra, const char *expected) {
    check_body_at(0, backend, sample, extra, expected);
}

TEST(bodies) {
    const char *texts[] = {"a\"b", "c"};
    qv__medium media[] = {{"data:x", false}, {"data:y", true}};
    qv__sample one = {.texts = texts, .text_count = 1}, two = {.texts = texts, .text_count = 2},
               seen = {.texts = texts, .text_count = 1, .media = media, .media_count = 2};
    check_body("openai-embeddings", &one, NULL, "{\"model\":\"m\",\"input\":\"a\\\"b\",\"truncate_prompt_tokens\":-1}");
    check_body("openai-embeddings", &two, "\"x\":1",
               "{\"model\":\"m\",\"input\":[\"a\\\"b\",\"c\"],\"truncate_prompt_tokens\":-1,\"x\":1}");
    check_body("vllm-rerank", &two, "\"x\":1",
               "{\"model\":\"m\",\"query\":\"a\\\"b\",\"documents\":[\"c\"],\"truncate_prompt_tokens\":-1}");
    check_body("openai-embeddings-chat", &seen, NULL,
               "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\\"b\"},"
               "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}},{\"type\":\"video_url\",\"video_url\":"
               "{\"url\":\"data:y\"}}]}],\"truncate_prompt_tokens\":-1}");
    qv_error err = {0};
    qv__buffer out = {0};
    CHECK_FAILS(qv__payload_write(QV__BACKEND_RERANK, "m", &one, 0, NULL, &out, &err), QV_INVALID_ARGUMENT, "query",
                err);
    CHECK_FAILS(qv__payload_write(QV__BACKEND_CHAT, "m", &two, 0, NULL, &out, &err), QV_INVALID_ARGUMENT, "one text",
                err);
    CHECK_FAILS(qv__payload_write(QV__BACKEND_POOLING, "m", &seen, 0, NULL, &out, &err), QV_INVALID_ARGUMENT,
                "pictures", err);
    qv__buffer_clear(&out);
}

TEST(bodies_of_other_servers) {
    const char *texts[] = {"a", "b"};
    qv__medium picture[] = {{"data:x", false}}, video[] = {{"data:y", true}};
    qv__sample one = {.texts = texts, .text_count = 1}, two = {.texts = texts, .text_count = 2},
               seen = {.texts = texts, .text_count = 1, .media = picture, .media_count = 1},
               film = {.texts = texts, .text_count = 1, .media = video, .media_count = 1};
    check_body("infinity-embeddings", &one, NULL, "{\"model\":\"m\",\"input\":\"a\"}");
    check_body("infinity-embeddings", &two, "\"x\":1", "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"x\":1}");
    check_body("infinity-embeddings-clip", &one, NULL, "{\"model\":\"m\",\"input\":\"a\"}");
    check_body("infinity-embeddings-clip", &seen, NULL,
               "{\"model\":\"m\",\"input\":\"data:x\",\"modality\":\"image\"}");
    check_body("openai-embeddings-vlm2vec", &one, NULL,
               "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
               "\"truncate_prompt_tokens\":-1}");
    check_body_at(4, "openai-embeddings-vlm2vec", &seen, NULL,
                  "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                  "\"image_url\":{\"url\":\"data:x\"}},{\"type\":\"text\",\"text\":\"Represent the given image.\"}]}],"
                  "\"truncate_prompt_tokens\":-1}");
    check_body_at(5, "openai-embeddings-vlm2vec", &seen, NULL,
                  "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                  "\"image_url\":{\"url\":\"data:x\"}},{\"type\":\"text\",\"text\":\"Represent the given image with "
                  "the following question: a\"}]}],\"truncate_prompt_tokens\":-1}");
    qv_error err = {0};
    qv__buffer out = {0};
    CHECK_FAILS(qv__payload_write(QV__BACKEND_INFINITY, "m", &seen, 0, NULL, &out, &err), QV_INVALID_ARGUMENT,
                "infinity-embeddings-clip", err);
    CHECK_FAILS(qv__payload_write(QV__BACKEND_INFINITY_CLIP, "m", &film, 0, NULL, &out, &err), QV_INVALID_ARGUMENT,
                "no videos", err);
    qv__buffer_clear(&out);
}

/* ---- data sets ---- */

TEST(buckets) {
    qv__bucket b[QV__BUCKETS_MAX];
    qv_error err = {0};
    int count;
    CHECK_OK(qv__buckets_parse("{(256, 256, 1): 0.5, (720,1280,1):0.25,(9, 9, 16): 0.0}", b, &count, &err), err);
    CHECK_INT(count, 2);
    CHECK(b[1].height == 720 && b[1].width == 1280 && b[1].frames == 1 && b[1].share == 0.25);
    CHECK_OK(qv__buckets_parse("{(720, 1280, 16): 1}", b, &count, &err), err);
    CHECK_INT(b[0].frames, 16);
    CHECK_FAILS(qv__buckets_parse("{(1, 1, 0): 1}", b, &count, &err), QV_INVALID_ARGUMENT, "4096", err);
    CHECK_FAILS(qv__buckets_parse("{(8192, 2, 2): 1}", b, &count, &err), QV_INVALID_ARGUMENT, "8190", err);
    CHECK_FAILS(qv__buckets_parse("{(8, 9, 2): 1}", b, &count, &err), QV_INVALID_ARGUMENT, "even", err);
    CHECK_FAILS(qv__buckets_parse("{}", b, &count, &err), QV_INVALID_ARGUMENT, "share", err);
    CHECK_FAILS(qv__buckets_parse("{(1, 1): 1}", b, &count, &err), QV_INVALID_ARGUMENT, "frames", err);
    CHECK_FAILS(qv__buckets_parse("{(99999, 1, 1): 1}", b, &count, &err), QV_INVALID_ARGUMENT, "16384", err);
}

TEST(records_begin_again) {
    static const char text[] = "{\"text\":\"a\"}\r\n\n{\"query\":\"q\",\"documents\":[\"b\",\"c\"]}";
    qv__samples s;
    qv_error err = {0};
    CHECK_OK(qv__samples_parse(text, sizeof text - 1, "x", NULL, 5, &s, &err), err);
    CHECK_INT(s.count, 5);
    CHECK_STR(s.items[4].texts[0], "a");
    CHECK(s.items[3].text_count == 3 && s.items[3].inputs == 2);
    qv__samples_clear(&s);
    static const char *const bad[] = {
        "", "[]", "{}", "{\"text\":1}", "{\"text\":[]}", "[1]", "{\"text\":\"a\",\"image\":\"f.png\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_MSG(qv__samples_parse(bad[i], strlen(bad[i]), "x", NULL, 1, &s, &err), "%s was taken", bad[i]);
        qv__samples_clear(&s);
    }
}

TEST(pictures_are_jpeg) {
    enum { H = 33, W = 50 };
    static uint8_t rgb[H * W * 3];
    qv__buffer jpeg = {0};
    qv__bitmap back = {0};
    qv_error err = {0};
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i / (W * 3) * 5 + 20); /* smooth, so that little is lost */
    CHECK_OK(qv__jpeg_write(rgb, H, W, 90, &jpeg, &err), err);
    CHECK_OK(qv__image_decode(jpeg.data, jpeg.size, false, NULL, &back, &err), err);
    CHECK(back.height == H && back.width == W);
    for (size_t i = 0; i < sizeof rgb; i++) CHECK_MSG(abs(back.rgb[i] - rgb[i]) < 6, "byte %zu", i);
    CHECK_FAILS(qv__jpeg_write(rgb, 0, W, 90, &jpeg, &err), QV_INVALID_ARGUMENT, "65535", err);
    qv__bitmap_clear(&back);
    qv__buffer_clear(&jpeg);
}

/* Frame i is all of one grey, which the codec keeps. */
static void draw_grey(void *user, uint8_t *rgb, size_t size) {
    int *frame = user;
    memset(rgb, 40 + 20 * (*frame)++, size);
}

static void check_video(int height, int width, int frames) {
    int drawn = 0;
    qv__mp4_source source = {height, width, frames, 30, draw_grey, &drawn};
    qv__buffer mp4 = {0}, again = {0};
    qv__video *video;
    qv__video_facts facts;
    qv_error err = {0};
    CHECK_OK(qv__mp4_write(&source, &mp4, &err), err);
    CHECK_INT(drawn, frames);
    CHECK_OK(qv__video_open(mp4.data, mp4.size, NULL, &video, &facts, &err), err);
    CHECK(facts.frames == frames && facts.height == height && facts.width == width);
    CHECK_MSG(facts.rate > 29.9 && facts.rate < 30.1, "%g frames a second", facts.rate);
    for (int64_t i = 0; i < frames; i++) {
        qv__bitmap back;
        CHECK_OK(qv__video_read(video, &i, 1, &back, &err), err);
        CHECK_MSG(abs(back.rgb[0] - (40 + 20 * (int)i)) < 6, "frame %d of %d x %d is %d", (int)i, height, width,
                  back.rgb[0]);
        qv__bitmap_clear(&back);
    }
    drawn = 0;
    CHECK_OK(qv__mp4_write(&source, &again, &err), err);
    CHECK(again.size == mp4.size && !memcmp(again.data, mp4.data, mp4.size));
    qv__video_close(&video);
    qv__buffer_clear(&mp4);
    qv__buffer_clear(&again);
}

TEST(videos_are_mp4) {
    check_video(48, 64, 9);
    check_video(34, 50, 2);
    check_video(2, 2, 2);
    check_video(720, 16, 1);
    qv__buffer out = {0};
    qv_error err = {0};
    CHECK_FAILS(qv__mp4_write(&(qv__mp4_source){8192, 8, 2, 30, draw_grey, NULL}, &out, &err), QV_INVALID_ARGUMENT,
                "8190", err);
    CHECK_FAILS(qv__mp4_write(&(qv__mp4_source){8, 8, 0, 30, draw_grey, NULL}, &out, &err), QV_INVALID_ARGUMENT,
                "65536", err);
}

/* Sizes are drawn until the limit of their kind is reached; then the others are. */
TEST(random_media_keep_their_limits) {
    qv__random random;
    qv__samples samples = {0};
    qv_error err = {0};
    qv__random_samples o = {.random = &random, .media = 7, .images_max = 3, .videos_max = 1};
    qv__random_seed(&random, 5);
    CHECK_OK(qv__buckets_parse("{(16, 16, 1): 0.1, (8, 24, 1): 0, (16, 24, 3): 0.9}", o.buckets, &o.bucket_count, &err),
             err);
    for (int round = 0; round < 20; round++) {
        qv__sample s = {0};
        size_t videos = 0;
        CHECK_OK(qv__media_make(&o, &samples, &s, &err), err);
        CHECK_INT(s.media_count, 4);
        for (size_t i = 0; i < s.media_count; i++) {
            static const char *const heads[] = {"data:image/jpeg;base64,/9j/", "data:video/mp4;base64,AAAA"};
            const qv__medium *m = &s.media[i];
            videos += m->video;
            CHECK(!strncmp(m->url, heads[m->video], strlen(heads[m->video])));
        }
        CHECK_INT(videos, 1);
    }
    qv__samples_clear(&samples);
}
