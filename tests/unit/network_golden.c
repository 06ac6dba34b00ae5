/* The network against the reference's stored answers (golden/data): every text of every shape, and rerank scores. Ids
 * go straight in; network_trace.c looks between the stages, library_golden.c begins at files and prompts. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "network_fixture.h"

static json_t *golden(const char *model, const char *task) {
    char relative[128];
    json_error_t error;
    snprintf(relative, sizeof relative, "golden/data/%s-%s.json", model, task);
    json_t *cases = json_load_file(check_source_path(relative), 0, &error);
    CHECK_MSG(cases, "%s: %s", relative, error.text);
    return cases;
}

static qv__sequence *sequence_of(const fixture *f, const json_t *ids) {
    int32_t length = (int32_t)json_array_size(ids), *values = fixture_alloc((size_t)length, sizeof *values);
    for (int32_t i = 0; i < length; i++) values[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    return fixture_sequence(f, values, length, NULL, 0);
}

/* ---- embeddings ----------------------------------------------------------------------------------- */

static void check_embedding(const fixture *f, const float *hidden, const json_t *c) {
    const json_t *expected = json_object_get(c, "embedding");
    double square = 0, dot = 0, want_square = 0, worst = 0;
    for (int i = 0; i < f->hidden; i++) square += (double)hidden[i] * hidden[i];
    for (int i = 0; i < f->hidden; i++) {
        double got = hidden[i] / sqrt(square), want = json_number_value(json_array_get(expected, (size_t)i));
        dot += got * want;
        want_square += want * want;
        worst = fmax(worst, fabs(got - want));
    }
    double cosine = dot / sqrt(want_square);
    CHECK_MSG(cosine > 0.999999 && worst < 2e-5, "%s: cosine %.9f, largest difference %.3g",
              json_string_value(json_object_get(c, "id")), cosine, worst);
}

enum { BATCH = 64, BATCH_TOKENS = 2048 };

/* Texts of at most `longest` tokens, in batches as the engine would form them. */
static int check_texts(const char *model, int longest) {
    char folder[64];
    fixture f;
    fixture_forget();
    snprintf(folder, sizeof folder, "%s-embedding", model);
    fixture_open(&f, &(fixture_options){.model = folder});
    json_t *cases = golden(model, "embed"), *batch_cases[BATCH];
    qv__batch_item items[BATCH];
    qv_status status[BATCH];
    qv_error err = {0};
    int count = 0, total = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i <= json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i); /* NULL at the end */
        int64_t length = (int64_t)json_array_size(json_object_get(c, "ids"));
        if (count == BATCH || (count && (!c || tokens + length > BATCH_TOKENS))) {
            CHECK_OK(qv__network_forward(f.network, &(qv__batch){.items = items, .count = count}, status, &err), err);
            for (int k = 0; k < count; k++) check_embedding(&f, items[k].hidden, batch_cases[k]);
            total += count;
            count = 0;
            tokens = 0;
        }
        if (!c || length > longest || json_array_size(json_object_get(c, "frames"))) continue;
        items[count] =
            (qv__batch_item){.sequence = sequence_of(&f, json_object_get(c, "ids")), .hidden = fixture_row(&f)};
        batch_cases[count++] = c;
        tokens += length;
    }
    json_decref(cases);
    fixture_close(&f);
    return total;
}

TEST(texts_of_the_tiny_shape) {
    CHECK(check_texts("tiny", 4096) > 40);
}
TEST(texts_of_the_small_shape) {
    CHECK(check_texts("small", 1400) > 40);
}
TEST(texts_of_the_untied_shape) {
    CHECK(check_texts("untied", 4096) > 40);
}

/* ---- scores --------------------------------------------------------------------------------------- */

static int check_scores(const char *model) {
    char folder[64];
    fixture f;
    qv_error err = {0};
    qv_status status;
    int total = 0;
    fixture_forget();
    snprintf(folder, sizeof folder, "%s-reranker", model);
    qv__network_options options = {.max_tokens = 2048, .score_head = true, .yes_id = 9693, .no_id = 2152};
    fixture_open(&f, &(fixture_options){.model = folder, .network = options});
    json_t *cases = golden(model, "rerank"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        const json_t *ids = json_object_get(c, "ids"), *frames = json_object_get(c, "frames");
        for (size_t d = 0; d < json_array_size(ids); d++) {
            float logit;
            if (json_array_size(json_array_get(frames, d))) continue;
            qv__batch_item item = {.sequence = sequence_of(&f, json_array_get(ids, d)), .score = &logit};
            CHECK_OK(qv__network_forward(f.network, &(qv__batch){.items = &item, .count = 1}, &status, &err), err);
            CHECK_INT(status, QV_OK);
            double score = 1 / (1 + exp(-(double)logit));
            double expected = json_number_value(json_array_get(json_object_get(c, "scores"), d));
            CHECK_MSG(fabs(score - expected) < 1e-5, "%s document %zu: %.8f, expected %.8f",
                      json_string_value(json_object_get(c, "id")), d, score, expected);
            total++;
        }
    }
    json_decref(cases);
    fixture_close(&f);
    return total;
}

TEST(scores_with_a_tied_head) {
    CHECK(check_scores("tiny") >= 8);
}
TEST(scores_with_a_head_of_its_own) {
    CHECK(check_scores("untied") >= 8);
}
