/* Stored answers of the reference through the C API: token ids, the hash of every frame, vectors and scores. The larger
 * files go through the commands in tests/golden. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "check.h"
#include "golden_inputs.h"
#include "lib/session.h"

/* What golden/data/README.md grants: a lossy video decode is not alike in any two libraries, a lossless one is. */
typedef struct {
    double cosine, difference;
    bool frames;
} tolerance;

static tolerance tolerance_of(const char *id) {
    if (strcmp(id, "video-h264") == 0 || strcmp(id, "video-vp9-max6") == 0) return (tolerance){0.9995, 0.05, false};
    return (tolerance){0.999999, 2e-5, true};
}

static void check_ids(const char *id, const qv__sequence *s, const json_t *want) {
    CHECK_MSG((size_t)s->length == json_array_size(want), "%s: %d tokens, expected %zu", id, s->length,
              json_array_size(want));
    for (int32_t i = 0; i < s->length; i++)
        CHECK_MSG(s->ids[i] == json_integer_value(json_array_get(want, (size_t)i)), "%s: token %d is %d", id, i,
                  s->ids[i]);
}

static void check_frame(const char *id, size_t n, const qv__vision_run *run, int k, const json_t *want, bool hash) {
    char hex[65];
    CHECK_MSG(run->height == json_integer_value(json_array_get(want, 0)) &&
                  run->width == json_integer_value(json_array_get(want, 1)),
              "%s: frame %zu is %d x %d", id, n, run->height, run->width);
    qv__sha256_hex(run->frame[k], (size_t)run->height * (size_t)run->width * 3, hex);
    CHECK_MSG(!hash || strcmp(hex, json_string_value(json_array_get(want, 2))) == 0, "%s: frame %zu differs", id, n);
}

/* The files list the frames of all videos, then the pictures. */
static void check_frames(const char *id, const qv__sequence *s, const json_t *want, bool hash) {
    size_t n = 0;
    for (int video = 1; video >= 0; video--)
        for (int i = 0; i < s->run_count; i++) {
            bool is_video = s->runs[i].frame[0] != s->runs[i].frame[1];
            for (int k = 0; is_video == (video == 1) && k <= video; k++, n++)
                check_frame(id, n, &s->runs[i], k, json_array_get(want, n), hash);
        }
    CHECK_MSG(n == json_array_size(want), "%s: %zu frames, expected %zu", id, n, json_array_size(want));
}

static void check_vector(const char *id, const qv_embedding *got, const json_t *want, tolerance t) {
    CHECK_MSG(got->status == QV_OK, "%s: %s", id, got->error.message);
    CHECK_INT(got->dimensions, json_array_size(want));
    double dot = 0, worst = 0, length = 0, want_length = 0;
    for (int i = 0; i < got->dimensions; i++) {
        double a = (double)got->values[i], b = json_number_value(json_array_get(want, (size_t)i));
        dot += a * b;
        length += a * a;
        want_length += b * b;
        worst = fmax(worst, fabs(a - b));
    }
    CHECK_MSG(fabs(sqrt(length) - 1) < 1e-6, "%s: length %.9g", id, sqrt(length));
    double cosine = dot / sqrt(length * want_length);
    CHECK_MSG(cosine > t.cosine && worst < t.difference, "%s: cosine %.9f, largest difference %.3g", id, cosine, worst);
}

static void embed_file(const char *checkpoint, int seed, const char *file) {
    json_t *cases = golden_cases(file);
    size_t count = json_array_size(cases);
    qv__arena arena = {0};
    qv_model *model = golden_model(checkpoint, seed, &(qv_model_options){.threads = 2});
    qv_input *inputs = calloc(count, sizeof *inputs);
    qv_embedding *out = calloc(count, sizeof *out);
    CHECK(inputs && out);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(cases, i);
        const char *id = json_string_value(json_object_get(item, "id"));
        qv__item *prepared;
        qv__prepared facts;
        qv_error err = {0};
        inputs[i] = golden_input(item, &arena);
        golden_wishes(item, &inputs[i]);
        qv_status status = qv__session_prepare(model, &inputs[i], NULL, &prepared, &facts, &err);
        CHECK_MSG(status == QV_OK, "%s: %s", id, err.message);
        check_ids(id, &prepared->sequence, json_object_get(item, "ids"));
        check_frames(id, &prepared->sequence, json_object_get(item, "frames"), tolerance_of(id).frames);
        CHECK_INT(facts.visual_count, prepared->sequence.run_count);
        qv__item_free(prepared);
    }
    qv_error err = {0};
    CHECK_OK(qv_model_embed(model, inputs, count, out, &err), err);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(cases, i);
        const char *id = json_string_value(json_object_get(item, "id"));
        check_vector(id, &out[i], json_object_get(item, "embedding"), tolerance_of(id));
        CHECK_INT(out[i].tokens, json_array_size(json_object_get(item, "ids")));
        CHECK_INT(out[i].prompt, inputs[i].prompt);
    }
    qv_embedding_clear(out, count);
    CHECK(!out[0].values);
    qv_model_close(&model);
    CHECK(!model);
    qv__arena_clear(&arena);
    free(inputs);
    free(out);
    json_decref(cases);
}

static void rerank_case(qv_model *model, const json_t *item, qv__arena *arena) {
    const char *id = json_string_value(json_object_get(item, "id"));
    const json_t *list = json_object_get(item, "documents"), *want = json_object_get(item, "scores");
    size_t count = json_array_size(list);
    qv_input query = golden_input(json_object_get(item, "query"), arena), documents[16];
    qv_score out[16];
    golden_wishes(item, &query);
    CHECK(count <= 16);
    for (size_t i = 0; i < count; i++) {
        qv__query *opened;
        qv__item *prepared;
        qv__prepared facts;
        qv_error err = {0};
        documents[i] = golden_input(json_array_get(list, i), arena);
        CHECK_OK(qv__query_open(model, &query, NULL, &opened, &err), err);
        CHECK_OK(qv__session_prepare_document(model, opened, &documents[i], NULL, &prepared, &facts, &err), err);
        qv__query_release(&opened);
        check_ids(id, &prepared->sequence, json_array_get(json_object_get(item, "ids"), i));
        check_frames(id, &prepared->sequence, json_array_get(json_object_get(item, "frames"), i), true);
        qv__item_free(prepared);
    }
    qv_error err = {0};
    CHECK_OK(qv_model_rerank(model, &query, documents, count, out, &err), err);
    for (size_t i = 0; i < count; i++) {
        double expected = json_number_value(json_array_get(want, i));
        CHECK_MSG(fabs((double)out[i].score - expected) < 1e-5, "%s: score %zu is %.9g, expected %.9g", id, i,
                  (double)out[i].score, expected);
        CHECK(fabs(1 / (1 + exp(-(double)out[i].logit)) - (double)out[i].score) < 1e-7);
        CHECK_INT(out[i].tokens, json_array_size(json_array_get(json_object_get(item, "ids"), i)));
    }
}

static void rerank_file(const char *checkpoint, int seed, const char *file) {
    json_t *cases = golden_cases(file);
    qv__arena arena = {0};
    qv_model *model = golden_model(checkpoint, seed, &(qv_model_options){.threads = 2});
    for (size_t i = 0; i < json_array_size(cases); i++) rerank_case(model, json_array_get(cases, i), &arena);
    qv_model_close(&model);
    qv__arena_clear(&arena);
    json_decref(cases);
}

TEST(embed_tiny) {
    embed_file("tiny-embedding", 0, "tiny-embed");
}
TEST(embed_untied) {
    embed_file("untied-embedding", 0, "untied-embed");
}
TEST(embed_tiny_seed_7) {
    embed_file("tiny-embedding", 7, "extra-tiny-embed");
}
TEST(rerank_tiny) {
    rerank_file("tiny-reranker", 0, "tiny-rerank");
}
TEST(rerank_untied) {
    rerank_file("untied-reranker", 0, "untied-rerank");
}
TEST(rerank_tiny_seed_7) {
    rerank_file("tiny-reranker", 7, "extra-tiny-rerank");
}
TEST(rerank_untied_seed_7) {
    rerank_file("untied-reranker", 7, "extra-untied-rerank");
}
