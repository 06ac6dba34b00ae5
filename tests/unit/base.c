#include <stdio.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/utf8.h"
#include "check.h"

TEST(status_names) {
    CHECK_STR(qv_status_name(QV_IMAGE_DECODE), "image_decode");
    CHECK_INT(qv_status_http(QV_OVERLOADED), 429);
    CHECK_STR(qv_status_name((qv_status)-999), "internal");
}

TEST(error_text_is_cut_on_a_character) {
    qv_error err = {0};
    char text[1200] = "";
    for (int i = 0; i < 255; i++) strcat(text, "é");
    CHECK_INT(qv__fail(&err, QV_IO, "x%s%s", text, text), QV_IO);
    size_t n = strlen(err.message);
    CHECK(n <= sizeof err.message - 1);
    CHECK_INT(qv__utf8_valid_prefix(err.message, n), n);
    CHECK_INT(qv__fail_in(&err, QV_INTERNAL, "outer"), QV_IO);
    CHECK(strncmp(err.message, "outer: x", 8) == 0);
    CHECK_INT(qv__fail(NULL, QV_IO, "no place to write"), QV_IO);
}

TEST(utf8_prefix) {
    static const struct {
        const char *text;
        size_t size, valid;
    } rows[] = {
        {"", 0, 0},
        {"abc", 3, 3},
        {"\xC3\xA9", 2, 2},
        {"\xC3", 1, 0},
        {"a\xC0\x80", 3, 1},
        {"\xED\xA0\x80", 3, 0},
        {"\xF4\x90\x80\x80", 4, 0},
        {"\xF4\x8F\xBF\xBF", 4, 4},
        {"12345678\xFF", 9, 8},
        {"\xE0\x9F\xBF", 3, 0},
        {"\xF0\x8F\xBF\xBF", 4, 0},
        {"1234567\xE2\x82\xAC", 10, 10},
        {"\x80", 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *guarded = check_guarded(rows[i].size, false);
        memcpy(guarded, rows[i].text, rows[i].size);
        CHECK_INT(qv__utf8_valid_prefix(guarded, rows[i].size), rows[i].valid);
    }
}

TEST(sha256_of_abc) {
    char hex[65];
    qv__sha256_hex("abc", 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(buffer_stops_at_its_maximum) {
    qv__buffer b = {.max = 10};
    CHECK(qv__buffer_puts(&b, "12345"));
    CHECK(!qv__buffer_puts(&b, "123456"));
    CHECK(b.failed && b.size == 5);
    CHECK(!qv__buffer_puts(&b, "1"));
    qv__buffer_clear(&b);
    CHECK(qv__buffer_puts(&b, "1234567890"));
    qv__buffer_clear(&b);
}

TEST(arena_limits_and_overflow) {
    qv__arena a = {.max = 1 << 20};
    CHECK(!qv__arena_alloc(&a, SIZE_MAX, 2));
    CHECK(!qv__arena_alloc(&a, SIZE_MAX, 1));
    CHECK(!qv__arena_alloc(&a, 1 << 21, 1));
    for (int i = 0; i < 100; i++) {
        char *p = qv__arena_alloc(&a, 1000, 1);
        CHECK(p && (uintptr_t)p % 64 == 0);
        memset(p, i, 1000);
    }
    qv__arena_clear(&a);
    CHECK_INT(a.used, 0);
}

static void count_task(void *context, size_t i, int worker) {
    int *counts = context;
    __atomic_add_fetch(&counts[i], 1, __ATOMIC_RELAXED);
    __atomic_or_fetch(&counts[1000], 1 << worker, __ATOMIC_RELAXED);
}

TEST(threads_run_every_task_once) {
    for (int threads = 1; threads <= 5; threads++) {
        qv__threads *t = qv__threads_open(threads);
        CHECK(t && qv__threads_count(t) == threads);
        for (int round = 0; round < 300; round++) {
            int counts[1001] = {0};
            size_t tasks = (size_t)round * 7 % 1000;
            qv__threads_run(t, tasks, count_task, counts);
            for (size_t i = 0; i < 1000; i++) CHECK_INT(counts[i], i < tasks);
            CHECK(counts[1000] < 1 << threads);
        }
        qv__threads_close(&t);
        CHECK(!t);
    }
}

TEST(allocations_that_cannot_be) {
    CHECK(!qv__alloc_array(SIZE_MAX / 2, 3));
    CHECK(!qv__strndup("x", SIZE_MAX));
    void *empty = qv__malloc(0), *aligned = qv__alloc_aligned(100, 4096);
    CHECK(empty && aligned && (uintptr_t)aligned % 4096 == 0);
    qv__free(empty);
    qv__free(aligned);
    char *copy = qv__strndup("abcdef", 3);
    CHECK_STR(copy, "abc");
    qv__free(copy);
    qv__free(NULL);
}

TEST(the_hook_fails_one_allocation_or_all_after_it) {
    for (int forever = 0; forever < 2; forever++) {
        void *blocks[4];
        qv__alloc_fail_at(2, forever);
        for (int i = 0; i < 4; i++) blocks[i] = qv__malloc(8);
        CHECK_INT(qv__alloc_count(), 4);
        qv__alloc_fail_at(0, false);
        CHECK(blocks[0] && !blocks[1] && (blocks[2] == NULL) == forever && (blocks[3] == NULL) == forever);
        for (int i = 0; i < 4; i++) qv__free(blocks[i]);
    }
}

TEST(arena_blocks) {
    qv__arena a = {0};
    char *small = qv__arena_alloc(&a, 3, 1), *large = qv__arena_alloc(&a, 1 << 20, 4),
         *again = qv__arena_alloc(&a, 3, 1);
    CHECK(small && large && again && (uintptr_t)large % 64 == 0 && (uintptr_t)again % 64 == 0);
    memset(large, 1, 4 << 20);
    memset(small, 2, 3);
    memset(again, 3, 3);
    CHECK(large[0] == 1 && large[(4 << 20) - 1] == 1 && small[2] == 2);
    CHECK(qv__arena_alloc(&a, 0, 8)); /* nothing is a block too */
    CHECK_STR(qv__arena_strndup(&a, "name.rest", 4), "name");
    qv__arena_clear(&a);
    CHECK(!a.blocks);
    qv__alloc_fail_at(1, true);
    void *none = qv__arena_alloc(&a, 1, 1);
    qv__alloc_fail_at(0, false);
    CHECK(!none && qv__arena_alloc(&a, 1, 1)); /* a failure leaves it usable */
    qv__arena_clear(&a);
    a.max = 100;
    CHECK(qv__arena_alloc(&a, 60, 1) && !qv__arena_alloc(&a, 60, 1));
    qv__arena_clear(&a);
    CHECK(qv__arena_alloc(&a, 60, 1));
    qv__arena_clear(&a);
}

TEST(buffer_grows_and_remembers_failure) {
    qv__buffer b = {0};
    for (int i = 0; i < 1000; i++) CHECK(qv__buffer_printf(&b, "%03d,", i));
    CHECK(b.size == 4000 && !memcmp(b.data + 3996, "999,", 4));
    CHECK(!qv__buffer_reserve(&b, SIZE_MAX) && b.failed);
    CHECK(!qv__buffer_append(&b, "x", 1) && b.size == 4000);
    qv__buffer_clear(&b);
    CHECK(!b.data && !b.failed && qv__buffer_append(&b, NULL, 0));
    qv__alloc_fail_at(1, true);
    bool grew = qv__buffer_puts(&b, "text");
    qv__alloc_fail_at(0, false);
    CHECK(!grew && b.failed && b.size == 0);
    qv__buffer_clear(&b);
    CHECK(qv__buffer_printf(&b, "%s", "") && b.size == 0);
    qv__buffer_clear(&b);
}

TEST(threads_without_memory) {
    for (uint64_t n = 1;; n++) {
        qv__alloc_fail_at(n, false);
        qv__threads *t = qv__threads_open(3);
        bool reached = qv__alloc_count() >= n;
        qv__alloc_fail_at(0, false);
        CHECK((t == NULL) == reached);
        qv__threads_close(&t);
        if (!reached) break;
    }
    CHECK(qv__cpu_count() >= 1);
}

static char line[64];
static int lines;

static void take_line(const qv__log_entry *entry) {
    qv__log_text(entry, line, sizeof line);
    lines++;
}

TEST(log_lines_reach_the_sink_up_to_its_level) {
    lines = 0;
    qv__log_set_sink(take_line, QV__LOG_WARN);
    qv__log(QV__LOG_WARN, "%d warns", 7);
    CHECK_STR(line, "7 warns");
    qv__log(QV__LOG_INFO, "informs");
    const qv__log_field fields[] = {{.name = "path", .text = "/a\nb", .bare = true},
                                    {.name = "ms", .number = 1.25, .decimals = 1}};
    qv__log_fields(QV__LOG_WARN, "request", fields, 2);
    CHECK_STR(line, "request /a?b ms=1.2");
    const qv__log_field too_long[] = {
        {.name = "id", .text = "0123456789012345678901234567890123456789012345678901234567890123456789"}};
    qv__log_fields(QV__LOG_WARN, "cut", too_long, 1);
    CHECK_STR(line, "cut id=01234567890123456789012345678901234567890123456789012345");
    CHECK(qv__log_wants(QV__LOG_WARN) && !qv__log_wants(QV__LOG_INFO));
    qv__log_set_sink(NULL, QV__LOG_DEBUG);
    qv__log(QV__LOG_ERROR, "silent again");
    CHECK(!qv__log_wants(QV__LOG_ERROR));
    CHECK_INT(lines, 3);
}
