/* Opening the tokenizer and encoding mixed text, one thread. The text is that of the golden strings, repeated. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "check.h"
#include "text/tokenizer.h"

static double seconds_since(int64_t start) {
    return (double)(qv__now_ns() - start) * 1e-9;
}

static void measure(const qv__tokenizer *t, const char *name, const char *text, size_t size) {
    qv_error err = {0};
    qv__ids ids = {0};
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        ids.size = 0;
        int64_t start = qv__now_ns();
        CHECK_OK(qv__tokenizer_encode(t, text, size, false, 0, &ids, &err), err);
        double s = seconds_since(start);
        if (s < best) best = s;
    }
    printf("%-16s %8.2f MB/s %10.0f tokens/s\n", name, (double)size * 1e-6 / best, (double)ids.size / best);
    qv__ids_clear(&ids);
}

static char *repeat(const char *unit, size_t unit_size, size_t size) {
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = unit[i % unit_size];
    return text;
}

TEST(tokenizer) {
    enum { SIZE = 4 << 20 };
    static const char english[] = "The capital of China is Beijing, and it's home to 21 million people. ";
    char path[4096];
    const char *checkpoints = getenv("QVEC_TEST_CHECKPOINTS");
    qv_error err = {0};
    qv__tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/tiny-embedding", checkpoints ? checkpoints : check_build_path("checkpoints"));
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        qv__tokenizer_close(&t);
        int64_t start = qv__now_ns();
        CHECK_OK(qv__tokenizer_open(path, &t, &err), err);
        if (seconds_since(start) < best) best = seconds_since(start);
    }
    printf("%-16s %8.1f ms\n", "open", best * 1e3);
    char *text = repeat(english, sizeof english - 1, SIZE / (sizeof english - 1) * (sizeof english - 1));
    measure(t, "English", text, SIZE / (sizeof english - 1) * (sizeof english - 1));
    free(text);
    json_t *rows = json_load_file(check_source_path("golden/data/tokenizer.json"), JSON_ALLOW_NUL, NULL);
    CHECK(rows);
    size_t written;
    FILE *f = open_memstream(&text, &written);
    for (size_t n = 0, i = 0; n < SIZE; i++) {
        const json_t *s = json_array_get(json_array_get(rows, i % json_array_size(rows)), 0);
        n += fwrite(json_string_value(s), 1, json_string_length(s), f);
    }
    fclose(f);
    measure(t, "mixed scripts", text, written);
    free(text);
    text = repeat("a", 1, 1 << 20);
    measure(t, "one 1 MiB word", text, 1 << 20);
    free(text);
    json_decref(rows);
    qv__tokenizer_close(&t);
}
