/* Stage by stage against the reference: every golden case with a `trace` goes through the network with its hook set. A
 * stage is compared by its shape, its mean absolute value, and the beginnings of its first and last row. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "golden_inputs.h"
#include "lib/session.h"

/* ---- what the hook saw ---------------------------------------------------------------------------- */

enum { STAGES_MAX = 64 };
struct stages {
    int count;
    struct {
        char name[64];
        int64_t rows, width;
        float *values; /* [rows][width], of all groups of pictures one after another */
    } at[STAGES_MAX];
};

static int stage_named(const struct stages *s, const char *name) {
    int i = 0;
    while (i < s->count && strcmp(s->at[i].name, name)) i++;
    return i;
}

static void record(void *user, const char *stage, const float *rows, int64_t stride, int64_t count, int64_t width) {
    struct stages *s = user;
    int i = stage_named(s, stage);
    CHECK(i < STAGES_MAX);
    if (i == s->count) snprintf(s->at[s->count++].name, sizeof s->at[0].name, "%s", stage);
    size_t size = (size_t)((s->at[i].rows + count) * width) * sizeof(float);
    float *values = realloc(s->at[i].values, size);
    CHECK(values && (s->at[i].rows == 0 || s->at[i].width == width));
    for (int64_t r = 0; r < count; r++)
        memcpy(values + (s->at[i].rows + r) * width, rows + r * stride, (size_t)width * sizeof *rows);
    s->at[i].values = values;
    s->at[i].width = width;
    s->at[i].rows += count;
}

static void forget(struct stages *s) {
    for (int i = 0; i < s->count; i++) free(s->at[i].values);
    s->count = 0;
}

/* ---- comparison ----------------------------------------------------------------------------------- */

static void check_row(const char *stage, const float *row, const json_t *expected, const char *which) {
    for (size_t k = 0; k < json_array_size(expected); k++) {
        double got = (double)row[k], want = json_number_value(json_array_get(expected, k));
        CHECK_MSG(fabs(got - want) < 2e-5 * fmax(1, fabs(want)), "%s, %s row, value %zu: %.7g, expected %.7g", stage,
                  which, k, got, want);
    }
}

/* `expected` against our rows [first, first + its count) of the same stage. */
static void check_rows(const struct stages *s, int i, int64_t first, const json_t *expected) {
    const char *name = s->at[i].name;
    const json_t *shape = json_object_get(expected, "shape");
    int64_t rows = json_integer_value(json_array_get(shape, 0)), width = s->at[i].width;
    CHECK_INT(json_integer_value(json_array_get(shape, 1)), width);
    CHECK_MSG(first >= 0 && first + rows <= s->at[i].rows, "%s has %lld rows", name, (long long)s->at[i].rows);
    const float *values = s->at[i].values + first * width;
    check_row(name, values, json_object_get(expected, "first"), "first");
    check_row(name, values + (rows - 1) * width, json_object_get(expected, "last"), "last");
    double sum = 0, want = json_number_value(json_object_get(expected, "mean_abs"));
    for (int64_t k = 0; k < rows * width; k++) sum += fabs((double)values[k]);
    double mean = sum / (double)(rows * width);
    CHECK_MSG(fabs(mean - want) < 2e-6 * want, "%s: mean size %.8g, expected %.8g", name, mean, want);
}

/* The reference computes all pictures of a prompt and then all videos, and lists their stages apart; here the order is
 * the prompt's, in which the videos come first. */
static void check_trace(const struct stages *s, const json_t *trace) {
    int64_t compared[STAGES_MAX] = {0};
    for (size_t k = 0; k < json_array_size(trace); k++) {
        const json_t *expected = json_array_get(trace, k);
        const char *name = json_string_value(json_object_get(expected, "stage"));
        int i = stage_named(s, name);
        CHECK_MSG(i < s->count, "no stage %s", name);
        int64_t rows = json_integer_value(json_array_get(json_object_get(expected, "shape"), 0));
        compared[i] += rows;
        check_rows(s, i, s->at[i].rows - compared[i], expected);
    }
    for (int i = 0; i < s->count; i++)
        CHECK_MSG(compared[i] == s->at[i].rows, "%s: %lld rows of %lld", s->at[i].name, (long long)compared[i],
                  (long long)s->at[i].rows);
}

/* ---- cases ---------------------------------------------------------------------------------------- */

static void trace_case(qv_model *model, const json_t *c, qv__arena *arena) {
    struct stages stages = {0};
    qv__item *item;
    qv__prepared facts;
    qv_error err = {0};
    qv_status status;
    qv_input input = golden_input(c, arena);
    golden_wishes(c, &input);
    CHECK_OK(qv__session_prepare(model, &input, NULL, &item, &facts, &err), err);
    CHECK_INT(item->sequence.length, json_array_size(json_object_get(c, "ids")));
    qv__batch_item one = {.sequence = &item->sequence, .hidden = item->hidden};
    qv__batch batch = {.items = &one, .count = 1, .trace = record, .trace_user = &stages};
    CHECK_OK(qv__network_forward(model->network, &batch, &status, &err), err);
    CHECK_INT(status, QV_OK);
    check_trace(&stages, json_object_get(c, "trace"));
    forget(&stages);
    qv__item_free(item);
}

static void trace_cases(const char *checkpoint, const char *file) {
    json_t *cases = golden_cases(file), *c;
    qv__arena arena = {0};
    qv_model *model = golden_model(checkpoint, 0, &(qv_model_options){.threads = 2});
    size_t i;
    int count = 0;
    json_array_foreach(cases, i, c) {
        if (!json_object_get(c, "trace")) continue;
        trace_case(model, c, &arena);
        count++;
    }
    CHECK_INT(count, 3); /* a text, a picture, pictures and a video */
    qv_model_close(&model);
    qv__arena_clear(&arena);
    json_decref(cases);
}

TEST(stages_of_the_tiny_shape) {
    trace_cases("tiny-embedding", "tiny-embed");
}
TEST(stages_of_the_small_shape) {
    trace_cases("small-embedding", "small-embed");
}
TEST(stages_of_the_untied_shape) {
    trace_cases("untied-embedding", "untied-embed");
}
