/* The published outputs: each refers to texts that are there, and the models have the entries that they should. */
#include "cli/published.h"

#include <math.h>

#include "check.h"

static void check_pairs(const qv__published *p) {
    double most = p->task == QV_TASK_RERANK ? 0.999 : 1;
    for (size_t i = 0; i < p->pair_count; i++) {
        const qv__published_pair *pair = &p->pairs[i];
        CHECK(pair->query >= 0 && pair->document > pair->query && (size_t)pair->document < p->text_count);
        CHECK(!p->query_count || ((size_t)pair->query < p->query_count && (size_t)pair->document >= p->query_count));
        CHECK(fabs(pair->value) < most);
        for (size_t j = 0; j < i; j++)
            CHECK(p->pairs[j].query != pair->query || p->pairs[j].document != pair->document);
    }
}

static void check_values(const qv__published *p) {
    CHECK(p->value_offset + p->value_count <= (size_t)p->hidden);
    for (size_t t = 0; t < p->text_count; t++) {
        double length = 0;
        for (size_t i = 0; i < p->value_count; i++) {
            double value = (double)p->values[t * p->value_count + i];
            length += value * value;
        }
        CHECK(length > 0 && length < 1); /* a part of a vector of unit length */
    }
}

static size_t check_model(qv_task task, int hidden, int layers) {
    size_t count = 0;
    qv__config config = {.text = {.hidden = hidden, .layers = layers}};
    for (const qv__published *p = NULL; (p = qv__published_next(p, task, &config)); count++) {
        CHECK(p->text_count && !p->pairs != !p->values);
        CHECK(p->tolerance > 0 && p->tolerance <= 0.03);
        for (size_t i = 0; i < p->text_count; i++) CHECK(p->texts[i][0]);
        check_pairs(p);
        if (p->values) check_values(p);
    }
    return count;
}

TEST(published_outputs_refer_to_their_texts) {
    CHECK(check_model(QV_TASK_EMBED, 2048, 28) == 4);
    CHECK(check_model(QV_TASK_EMBED, 4096, 36) == 2);
    CHECK(check_model(QV_TASK_RERANK, 2048, 28) == 2);
}

TEST(other_shapes_have_none) {
    CHECK(check_model(QV_TASK_RERANK, 4096, 36) == 0);
    CHECK(check_model(QV_TASK_EMBED, 256, 4) == 0);
}
