#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"

static qv__tokenizer *opened(const char *kind) {
    static qv__tokenizer *tokenizers[2];
    qv__tokenizer **t = &tokenizers[kind[0] == 'r'];
    qv_error err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/tiny-%s", getenv("QVEC_TEST_CHECKPOINTS"), kind);
    if (!*t) CHECK_OK(qv__tokenizer_open(path, t, &err), err);
    return *t;
}

/* Encodes a literal and compares with ids up to -1. */
static void check_ids(const qv__tokenizer *t, const char *text, size_t size, bool post, const int32_t *expected) {
    qv_error err = {0};
    qv__ids ids = {0};
    CHECK_OK(qv__tokenizer_encode(t, text, size, post, 0, &ids, &err), err);
    size_t n = 0;
    while (expected[n] >= 0) n++;
    CHECK_INT(ids.size, n);
    for (size_t i = 0; i < n; i++) CHECK_INT(ids.data[i], expected[i]);
    qv__ids_clear(&ids);
}
#define IDS(...) ((const int32_t[]){__VA_ARGS__, -1})

TEST(golden_strings) {
    const qv__tokenizer *t = opened("embedding");
    json_error_t e;
    json_t *rows = json_load_file(check_source_path("golden/data/tokenizer.json"), JSON_ALLOW_NUL, &e);
    CHECK_MSG(rows, "%s", e.text);
    CHECK_INT(json_array_size(rows), 700);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *text = json_array_get(json_array_get(rows, i), 0), *want = json_array_get(json_array_get(rows, i), 1);
        qv_error err = {0};
        qv__ids ids = {0};
        CHECK_OK(qv__tokenizer_encode(t, json_string_value(text), json_string_length(text), false, 0, &ids, &err), err);
        bool same = ids.size == json_array_size(want);
        for (size_t k = 0; same && k < ids.size; k++) same = ids.data[k] == json_integer_value(json_array_get(want, k));
        CHECK_MSG(same, "string %zu differs: %.200s", i, json_string_value(text));
        qv__ids_clear(&ids);
    }
    json_decref(rows);
}

TEST(post_processor_is_the_files) {
    check_ids(opened("embedding"), "hello world", 11, true, IDS(14990, 1879, 151643));
    check_ids(opened("reranker"), "hello world", 11, true, IDS(14990, 1879));
    const int32_t *suffix;
    CHECK_INT(qv__tokenizer_suffix(opened("embedding"), &suffix), 1);
    CHECK_INT(suffix[0], 151643);
    CHECK_INT(qv__tokenizer_suffix(opened("reranker"), &suffix), 0);
    CHECK(suffix);
}
