/* The network against the reference's stored answers (golden/data): every text of every shape, rerank scores, and the
 * traces stage by stage. Pictures come through the program in golden/; here one of them checks the vision tower. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "media/media.h"
#include "network_fixture.h"
#include "prep/image.h"

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

/* ---- traces --------------------------------------------------------------------------------------- */

/* What the trace hook saw, in order; the rows themselves, copied. */
enum { STAGES_MAX = 64 };
struct stages {
    int count;
    struct {
        char name[64];
        int64_t rows, width;
        float *values; /* [rows][width] */
    } at[STAGES_MAX];
};

static void record(void *user, const char *stage, const float *rows, int64_t stride, int64_t count, int64_t width) {
    struct stages *s = user;
    CHECK(s->count < STAGES_MAX);
    snprintf(s->at[s->count].name, sizeof s->at[0].name, "%s", stage);
    s->at[s->count].rows = count;
    s->at[s->count].width = width;
    float *values = s->at[s->count++].values = fixture_alloc((size_t)(count * width), sizeof *values);
    for (int64_t r = 0; r < count; r++) memcpy(values + r * width, rows + r * stride, (size_t)width * sizeof *rows);
}

static void check_row(const char *stage, const float *row, const json_t *expected, const char *which) {
    for (size_t k = 0; k < json_array_size(expected); k++) {
        double got = row[k], want = json_number_value(json_array_get(expected, k));
        CHECK_MSG(fabs(got - want) < 2e-5 * fmax(1, fabs(want)), "%s, %s row, value %zu: %.7g, expected %.7g", stage,
                  which, k, got, want);
    }
}

/* Stage `expected` of the reference against rows [first, first + its count) of ours. */
static void check_stage(const struct stages *s, int i, int64_t first, const json_t *expected) {
    const char *name = s->at[i].name;
    const json_t *shape = json_object_get(expected, "shape");
    int64_t rows = json_integer_value(json_array_get(shape, 0)), width = s->at[i].width;
    CHECK_STR(json_string_value(json_object_get(expected, "stage")), name);
    CHECK_INT(json_integer_value(json_array_get(shape, 1)), width);
    CHECK_MSG(first + rows <= s->at[i].rows, "%s has %lld rows", name, (long long)s->at[i].rows);
    const float *values = s->at[i].values + first * width;
    double sum = 0, mean = json_number_value(json_object_get(expected, "mean_abs"));
    for (int64_t k = 0; k < rows * width; k++) sum += fabs((double)values[k]);
    check_row(name, values, json_object_get(expected, "first"), "first");
    check_row(name, values + (rows - 1) * width, json_object_get(expected, "last"), "last");
    CHECK_MSG(fabs(sum / (double)(rows * width) - mean) < 2e-6 * mean, "%s: mean size %.8g, expected %.8g", name,
              sum / (double)(rows * width), mean);
}

static const json_t *case_named(const json_t *cases, const char *id) {
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c) if (strcmp(json_string_value(json_object_get(c, "id")), id) == 0) return c;
    check_fail(__FILE__, __LINE__, "no case %s", id);
}

static void check_text_trace(const char *model) {
    char folder[64];
    fixture f;
    qv_status status;
    qv_error err = {0};
    struct stages stages = {0};
    fixture_forget();
    snprintf(folder, sizeof folder, "%s-embedding", model);
    fixture_open(&f, &(fixture_options){.model = folder});
    json_t *cases = golden(model, "embed");
    const json_t *c = case_named(cases, "official-hello"), *trace = json_object_get(c, "trace");
    qv__batch_item item = {.sequence = sequence_of(&f, json_object_get(c, "ids")), .hidden = fixture_row(&f)};
    qv__batch batch = {.items = &item, .count = 1, .trace = record, .trace_user = &stages};
    CHECK_OK(qv__network_forward(f.network, &batch, &status, &err), err);
    CHECK_INT(stages.count, json_array_size(trace));
    for (int i = 0; i < stages.count; i++) check_stage(&stages, i, 0, json_array_get(trace, (size_t)i));
    check_embedding(&f, item.hidden, c);
    json_decref(cases);
    fixture_close(&f);
}

TEST(stages_of_a_text_tiny) {
    check_text_trace("tiny");
}
TEST(stages_of_a_text_small) {
    check_text_trace("small");
}
TEST(stages_of_a_text_untied) {
    check_text_trace("untied");
}

/* ---- a trace with pictures ------------------------------------------------------------------------ */

/* The frame that the reference's processor makes of a picture file; its digest is in the answer. */
static qv__vision_run picture_of(const char *file, const json_t *frame) {
    char relative[128], hex[65];
    void *bytes;
    size_t size;
    qv__bitmap bitmap = {0};
    qv_error err = {0};
    int height = 0, width = 0;
    snprintf(relative, sizeof relative, "golden/data/assets/%s", file);
    CHECK_OK(qv__file_read(check_source_path(relative), 1 << 24, (char **)&bytes, &size, &err), err);
    CHECK_OK(qv__image_decode(bytes, size, false, &qv__media_default_limits, &bitmap, &err), err);
    CHECK_OK(qv__smart_resize(bitmap.height, bitmap.width, 32, 4096, 1843200, &height, &width, &err), err);
    uint8_t *rgb = fixture_alloc((size_t)height * (size_t)width, 3);
    CHECK_OK(qv__resize_bicubic(bitmap.rgb, bitmap.height, bitmap.width, rgb, height, width, &err), err);
    qv__bitmap_clear(&bitmap);
    qv__free(bytes);
    qv__vision_run run = {.frame = {rgb, rgb}, .height = height, .width = width};
    qv__sha256(rgb, (size_t)height * (size_t)width * 3, run.key);
    qv__sha256_hex(rgb, (size_t)height * (size_t)width * 3, hex);
    CHECK_INT(height, json_integer_value(json_array_get(frame, 0)));
    CHECK_INT(width, json_integer_value(json_array_get(frame, 1)));
    CHECK_STR(hex, json_string_value(json_array_get(frame, 2)));
    return run;
}

static void check_picture_trace(const char *model) {
    char folder[64];
    fixture f;
    qv_status status;
    qv_error err = {0};
    struct stages stages = {0};
    fixture_forget();
    snprintf(folder, sizeof folder, "%s-embedding", model);
    fixture_open(&f, &(fixture_options){.model = folder});
    json_t *cases = golden(model, "embed");
    const json_t *c = case_named(cases, "image-base.jpg"), *trace = json_object_get(c, "trace");
    qv__vision_run run = picture_of("base.jpg", json_array_get(json_object_get(c, "frames"), 0));
    qv__sequence *s = sequence_of(&f, json_object_get(c, "ids"));
    while (s->ids[run.first_token] != f.config->image_token) run.first_token++;
    s = fixture_sequence(&f, s->ids, s->length, &run, 1);
    qv__batch_item item = {.sequence = s, .hidden = fixture_row(&f)};
    qv__batch batch = {.items = &item, .count = 1, .trace = record, .trace_user = &stages};
    CHECK_OK(qv__network_forward(f.network, &batch, &status, &err), err);
    CHECK_INT(stages.count, json_array_size(trace));
    for (int i = 0; i < stages.count; i++) check_stage(&stages, i, 0, json_array_get(trace, (size_t)i));
    check_embedding(&f, item.hidden, c);
    json_decref(cases);
    fixture_close(&f);
}

TEST(stages_of_a_picture_tiny) {
    check_picture_trace("tiny");
}
TEST(stages_of_a_picture_small) {
    check_picture_trace("small");
}
TEST(stages_of_a_picture_untied) {
    check_picture_trace("untied");
}
