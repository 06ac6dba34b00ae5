#include "base/base64.h"

#include "check.h"

TEST(known_answers_both_ways) {
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].bytes), m = strlen(rows[i].text), got = 99;
        CHECK_INT(qv__base64_encoded_size(n), m);
        char out[16] = "";
        qv__base64_encode(rows[i].bytes, n, out);
        CHECK_STR(out, rows[i].text);
        uint8_t back[16];
        CHECK(qv__base64_decode(out, m, back, &got, NULL));
        CHECK_INT(got, n);
        CHECK(memcmp(back, rows[i].bytes, n) == 0);
    }
}

TEST(random_bytes_survive_with_and_without_line_breaks) {
    uint64_t state = check_seed();
    for (int round = 0; round < 500; round++) {
        size_t n = check_random(&state) % 300, m = qv__base64_encoded_size(n), got;
        uint8_t *data = check_guarded(n, false);
        for (size_t i = 0; i < n; i++) data[i] = (uint8_t)check_random(&state);
        char *text = check_guarded(m, false);
        qv__base64_encode(data, n, text);
        uint8_t *back = check_guarded(qv__base64_decoded_max(m), false);
        CHECK(qv__base64_decode(text, m, back, &got, NULL));
        CHECK(got == n && memcmp(back, data, n) == 0);
        char wrapped[1000];
        size_t w = 0;
        for (size_t i = 0; i < m; i++) {
            wrapped[w++] = text[i];
            if (check_random(&state) % 5 == 0) wrapped[w++] = '\n';
        }
        uint8_t again[1000];
        CHECK(qv__base64_decode(wrapped, w, again, &got, NULL));
        CHECK(got == n && memcmp(again, data, n) == 0);
    }
}

TEST(wrong_text_is_refused_where_it_goes_wrong) {
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {{"A", 1},    {"AAAAA", 5},     {"A===", 1}, {"AA=", 2},  {"AAA==", 3}, {"AAAA=", 4}, {"AA==A", 4},
                {"A-AA", 1}, {"AAAA AAAA", 4}, {"AB==", 2}, {"AAB=", 3}, {"=AAA", 1},  {"AAAAé", 4}, {"AA=A", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[32];
        size_t got, bad = 99;
        CHECK_MSG(!qv__base64_decode(rows[i].text, strlen(rows[i].text), out, &got, &bad), "%s was accepted",
                  rows[i].text);
        CHECK_MSG(bad == rows[i].offset, "%s: offset %zu", rows[i].text, bad);
    }
    uint8_t out[8];
    size_t got;
    CHECK(qv__base64_decode("Zg", 2, out, &got, NULL) && got == 1 && out[0] == 'f'); /* padding may be absent */
}

TEST(sizes_do_not_overflow) {
    CHECK(qv__base64_encoded_size(SIZE_MAX) == SIZE_MAX);
    CHECK_INT(qv__base64_encoded_size(3000000000u), 4000000000u);
}
