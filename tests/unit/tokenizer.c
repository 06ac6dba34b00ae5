#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"
#include "small_tokenizer.h"

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
        const json_t *text = json_array_get(json_array_get(rows, i), 0),
                     *want = json_array_get(json_array_get(rows, i), 1);
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

TEST(invalid_utf8_names_the_byte) {
    static const struct {
        const char *text;
        size_t size, at;
    } rows[] = {{"abc\xFFz", 5, 3}, {"\xC3", 1, 0}, {"ab\xED\xA0\x80", 5, 2}, {"\xC0\x80", 2, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_error err = {0};
        qv__ids ids = {0};
        char offset[32];
        snprintf(offset, sizeof offset, "byte %zu", rows[i].at);
        CHECK_INT(qv__tokenizer_encode(opened("embedding"), rows[i].text, rows[i].size, false, 0, &ids, &err),
                  QV_INVALID_UTF8);
        CHECK_MSG(strstr(err.message, offset), "%s", err.message);
        CHECK_INT(ids.size, 0);
        qv__ids_clear(&ids);
    }
}

TEST(limit_stops) {
    qv_error err = {0};
    qv__ids ids = {0};
    CHECK_OK(qv__tokenizer_encode(opened("embedding"), "hello world", 11, true, 3, &ids, &err), err);
    CHECK_INT(qv__tokenizer_encode(opened("embedding"), "hello world", 11, true, 2, &ids, &err), QV_TOO_LARGE);
    qv__ids_clear(&ids);
}

TEST(lookups) {
    const qv__tokenizer *t = opened("embedding");
    size_t n;
    CHECK_INT(qv__tokenizer_id(t, "yes"), 9693);
    CHECK_INT(qv__tokenizer_id(t, "no"), 2152);
    CHECK_INT(qv__tokenizer_id(t, "Ġworld"), 1879);
    CHECK_INT(qv__tokenizer_id(t, "<|image_pad|>"), 151655);
    CHECK_INT(qv__tokenizer_id(t, "no such token \xF0\x9F\x98\x80"), -1);
    CHECK_INT(qv__tokenizer_size(t), 151669);
    CHECK(qv__tokenizer_is_special(t, 151655) && !qv__tokenizer_is_special(t, 151667) &&
          !qv__tokenizer_is_special(t, 1));
    const char *bytes = qv__tokenizer_bytes(t, 1879, &n);
    CHECK(bytes && n == 6 && memcmp(bytes, " world", 6) == 0);
    CHECK(!qv__tokenizer_bytes(t, -1, &n) && !qv__tokenizer_bytes(t, 151669, &n));
    CHECK_INT(qv__tokenizer_find_token(t, "ab<|image_pad|>", 15, 151655), 2);
    CHECK(qv__tokenizer_find_token(t, "ab<|image_pad|", 14, 151655) == SIZE_MAX);
}

/* Pieces and texts of a megabyte in every shape that could turn quadratic or exhaust a stack. */
TEST(megabyte_inputs) {
    static const struct {
        const char *unit;
        size_t tokens;
    } rows[] = {{"a", 131072},          {" ", 8192},     {"\n", 32768},  {"ab", 524288},
                {"<|im_end|>", 104857}, {"<|", 1048576}, {"1", 1048576}, {"\xCC\x81\xCC\xA3", 0}};
    size_t size = 1 << 20;
    char *text = malloc(size);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t unit = strlen(rows[i].unit), used = size / unit * unit;
        for (size_t k = 0; k < used; k += unit) memcpy(text + k, rows[i].unit, unit);
        qv_error err = {0};
        qv__ids ids = {0};
        CHECK_OK(qv__tokenizer_encode(opened("embedding"), text, used, false, 0, &ids, &err), err);
        if (rows[i].tokens) CHECK_INT(ids.size, rows[i].tokens);
        qv__ids_clear(&ids);
    }
    free(text);
}

static qv_status parse_small(const char *extra, qv__tokenizer **t, qv_error *err) {
    const char *json = small_tokenizer(extra);
    return qv__tokenizer_parse(json, strlen(json), t, err);
}

TEST(small_tokenizer_merges_and_flags) {
    qv_error err = {0};
    qv__tokenizer *t;
    CHECK_OK(parse_small("", &t, &err), err);
    check_ids(t, "abcab", 5, false, IDS(257, 256));     /* ab, c -> abc */
    check_ids(t, "aaaaa", 5, true, IDS(260, 'a', 300)); /* leftmost pairs first */
    check_ids(t, "a <|end  b", 10, false, IDS('a', 301, 'b'));
    check_ids(t, "x<|end|>", 8, false, IDS('x', 300));
    check_ids(t, "wo\xC3\xA9rd", 6, false, IDS(302)); /* matched after NFC */
    check_ids(t, "", 0, true, IDS(300));
    qv__tokenizer_close(&t);
    CHECK(!t);
    qv__tokenizer_close(&t);
}

/* What would change ids is refused, and the message names the field. */
TEST(unsupported_constructs_are_named) {
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(pattern, behavior)                                                                                       \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"          \
    "\"" pattern "\"},\"behavior\":\"" behavior "\"}," BYTES "]},"
    static const char *const rows[][2] = {
        {"\"pre_tokenizer\":null,", "pre_tokenizer"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\"},", "Metaspace"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},", "add_prefix_space"},
        {"\"normalizer\":null,", "normalizer"}, /* twice */
        {"\"magic\":1,", "magic"},
        {"\"pre_tokenizer\":" BYTES ",\"post_processor\":{\"type\":\"BertProcessing\"},", "BertProcessing"},
        {SPLIT("a*", "Isolated"), "nothing"},
        {SPLIT("\\\\h", "Isolated"), "byte 0"},
        {SPLIT("(a", "Isolated"), "unclosed"},
        {SPLIT("a", "MergedWithNext"), "MergedWithNext"},
        {SPLIT("[a[b]]", "Isolated"), "byte 2"},
        {SPLIT("\\\\p{Greek}", "Isolated"), "property"},
        {SPLIT("^a", "Isolated"), "byte 0"},
        {SPLIT("(?<n>a)", "Isolated"), "group"},
        {SPLIT("a{2}+", "Isolated"), "byte 4"},
        {SPLIT("*", "Isolated"), "pattern"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_error err = {0};
        qv__tokenizer *t = (qv__tokenizer *)1;
        qv_status status = parse_small(rows[i][0], &t, &err);
        CHECK_MSG(status == QV_UNSUPPORTED || status == QV_BAD_CHECKPOINT, "row %zu: status %d", i, status);
        CHECK_MSG(strstr(err.message, rows[i][1]), "row %zu: %s", i, err.message);
        CHECK(!t);
    }
}

TEST(every_cut_of_the_file_is_refused) {
    char *json = strdup(small_tokenizer(""));
    size_t size = strlen(json);
    for (size_t n = 0; n < size; n++) {
        qv_error err = {0};
        qv__tokenizer *t;
        char *exact = malloc(n ? n : 1); /* so that a read past the end is seen */
        memcpy(exact, json, n);
        CHECK(qv__tokenizer_parse(exact, n, &t, &err) != QV_OK);
        CHECK(err.message[0]);
        free(exact);
    }
    free(json);
}

TEST(allocation_failures) {
    static const char text[] =
        "the abc aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa we\xCC\x81rd <|end|>";
    const char *json = small_tokenizer("");
    size_t size = strlen(json);
    for (uint64_t n = 1;; n++) {
        qv_error err = {0};
        qv__tokenizer *t = NULL;
        qv__ids ids = {0};
        qv__alloc_fail_at(n, false);
        qv_status status = qv__tokenizer_parse(json, size, &t, &err);
        if (!status) status = qv__tokenizer_encode(t, text, sizeof text - 1, true, 0, &ids, &err);
        bool reached = qv__alloc_count() >= n;
        qv__alloc_fail_at(0, false);
        qv__ids_clear(&ids);
        qv__tokenizer_close(&t);
        /* PCRE2 goes on without JIT code when memory for that is short, so a late failure may be no failure. */
        CHECK_MSG(status == QV_NO_MEMORY || status == QV_OK, "allocation %d: %s", (int)n, err.message);
        if (!reached) {
            CHECK_INT(status, QV_OK);
            CHECK(n > 15);
            break;
        }
    }
}

TEST(vocab_and_merges_files) {
    char folder[] = "/tmp/qvec-test-XXXXXX", path[4200];
    CHECK(mkdtemp(folder));
    json_t *root = json_loads(small_tokenizer(""), 0, NULL);
    json_t *model = json_object_get(root, "model"), *merges = json_object_get(model, "merges");
    snprintf(path, sizeof path, "%s/vocab.json", folder);
    CHECK(json_dump_file(json_object_get(model, "vocab"), path, 0) == 0);
    snprintf(path, sizeof path, "%s/merges.txt", folder);
    FILE *f = fopen(path, "w");
    fprintf(f, "#version: 0.2\n");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *m = json_array_get(merges, i);
        if (json_is_string(m))
            fprintf(f, "%s\n", json_string_value(m));
        else
            fprintf(f, "%s %s\r\n", json_string_value(json_array_get(m, 0)), json_string_value(json_array_get(m, 1)));
    }
    fclose(f);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    f = fopen(path, "w");
    fputs("{\"added_tokens_decoder\":{\"300\":{\"content\":\"<|end|>\",\"special\":true}}}", f);
    fclose(f);
    json_decref(root);
    qv_error err = {0};
    qv__tokenizer *t;
    CHECK_OK(qv__tokenizer_open(folder, &t, &err), err);
    check_ids(t, "the abc<|end|>", 14, true, IDS('t', 262, ' ', 257, 300));
    qv__tokenizer_close(&t);
    snprintf(path, sizeof path, "rm -r '%s'", folder);
    CHECK_INT(system(path), 0);
    CHECK_INT(qv__tokenizer_open(folder, &t, &err), QV_NOT_FOUND);
}
