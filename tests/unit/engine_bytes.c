/* The engine over the real network and a tiny checkpoint: the bytes of an answer do not depend on the prefix store, the
 * feature cache, the company in the batch, or on being computed inside another's pauses. */
#include "check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "prep/prompt.h"

enum { PROMPTS = 30, MAX_LENGTH = 1200, HIDDEN_MAX = 256, NESTED = 128, MAX_RUNS = 2 };

static struct {
    qv__checkpoint *checkpoint;
    qv__backend *backend;
    qv__network *network;
    const qv__config *config;
    int64_t hidden;
} model;

static void close_model(void) {
    qv__network_close(&model.network);
    if (model.backend) model.backend->ops->close(model.backend);
    qv__checkpoint_close(&model.checkpoint);
    model.backend = NULL;
}

static void open_model(const char *name) {
    char folder[4096];
    qv_error err = {0};
    const char *root = getenv("QVEC_TEST_CHECKPOINTS");
    snprintf(folder, sizeof folder, "%s/%s", root ? root : check_build_path("checkpoints"), name);
    const qv__checkpoint_options from = {.load_format = "dummy", .threads = 1};
    CHECK_OK(qv__checkpoint_open(folder, &from, &model.checkpoint, &err), err);
    model.config = qv__checkpoint_config(model.checkpoint);
    CHECK_OK(qv__cpu_backend_open(1, NULL, &model.backend, &err), err);
    qv__network_options options = {.max_tokens = MAX_LENGTH,
                                   .nested_tokens = NESTED,
                                   .row_block = 32,
                                   .score_head = qv__checkpoint_task(model.checkpoint) == QV_TASK_RERANK,
                                   .yes_id = 9693,
                                   .no_id = 2152};
    CHECK_OK(qv__network_open(model.backend, model.checkpoint, &options, &model.network, &err), err);
    model.hidden = qv__network_hidden(model.network);
    CHECK(model.hidden <= HIDDEN_MAX);
}

/* ---- prompts ---- */

typedef struct {
    qv__item item; /* first */
    int32_t ids[MAX_LENGTH], positions[3 * MAX_LENGTH];
    qv__vision_run runs[MAX_RUNS];
    float hidden[HIDDEN_MAX];
    atomic_int done;
    float expected[HIDDEN_MAX], expected_score;
} prompt;

static void put(prompt *p, int32_t id) {
    p->ids[p->item.sequence.length++] = id;
}

static void put_words(prompt *p, uint64_t seed, int count) {
    for (int i = 0; i < count; i++) put(p, (int32_t)(check_random(&seed) % 150000));
}

/* `name` tells the pixels. */
static void put_picture(prompt *p, uint64_t name, int rows, int columns) {
    qv__sequence *s = &p->item.sequence;
    int cell = model.config->vision.patch * model.config->vision.merge;
    qv__vision_run *run = &p->runs[s->run_count++];
    *run = (qv__vision_run){.height = rows * cell, .width = columns * cell};
    size_t bytes = 3 * (size_t)run->height * (size_t)run->width;
    uint8_t *pixels = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) pixels[i] = (uint8_t)(check_random(&name) >> 20);
    run->frame[0] = run->frame[1] = pixels;
    qv__sha256(pixels, bytes, run->key);
    put(p, model.config->vision_start_token);
    run->first_token = s->length;
    for (int i = 0; i < rows * columns; i++) put(p, model.config->image_token);
    put(p, model.config->vision_end_token);
}

static void count_done(qv__item *item) {
    atomic_fetch_add(&((prompt *)item)->done, 1);
}

static void finish(prompt *p, uint64_t client, bool score) {
    qv__sequence *s = &p->item.sequence;
    s->ids = p->ids;
    s->positions = p->positions;
    s->runs = p->runs;
    qv__positions(model.config, s->ids, s->length, s->runs, s->run_count, s->positions);
    p->item.hidden = p->hidden;
    p->item.want_score = score;
    p->item.client = client;
    p->item.done = count_done;
    qv_error err = {0};
    qv_status status = QV_OK;
    const qv__batch_item alone = {
        .sequence = s, .hidden = score ? NULL : p->expected, .score = score ? &p->expected_score : NULL};
    CHECK_OK(qv__network_forward(model.network, &(qv__batch){.items = &alone, .count = 1}, &status, &err), err);
    CHECK_INT(status, QV_OK);
}

/* Families of prompts with heads in common: words, with a picture in the head, with a picture behind it. */
static prompt *make_prompts(void) {
    prompt *all = calloc(PROMPTS, sizeof *all);
    for (int i = 0; i < PROMPTS; i++) {
        prompt *p = &all[i];
        put_words(p, 1, 16); /* everyone's */
        put_words(p, (uint64_t)(2 + i % 3), 11 + 20 * (i % 3));
        if (i % 3 == 1) put_picture(p, 77 + (uint64_t)(i % 2), 2, 3);
        if (i % 5 == 0) put_words(p, 100, 40);
        if (i % 4 == 0) put_picture(p, 80 + (uint64_t)(i % 8), 3, 2);
        put_words(p, (uint64_t)(1000 + i), i == 7 || i == 8 ? 700 : 1 + i * 2);
        finish(p, (uint64_t)(i % 2), false);
    }
    return all;
}

static void free_prompts(prompt *all, int count) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < all[i].item.sequence.run_count; k++) free((void *)all[i].runs[k].frame[0]);
    free(all);
}

/* ---- through the engine ---- */

static void submit(qv__engine *e, prompt *all, size_t count) {
    qv_error err = {0};
    qv__item *items[128];
    for (size_t i = 0; i < count; i++) {
        items[i] = &all[i].item;
        atomic_store(&all[i].done, 0);
        memset(all[i].hidden, 0xFF, sizeof all[i].hidden);
        all[i].item.score = -1000;
    }
    CHECK_OK(qv__engine_submit(e, items, count, &err), err);
}

static void check_answers(prompt *all, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int ms = 0; !atomic_load(&all[i].done); ms++) {
            CHECK_MSG(ms < 60000, "prompt %zu is not done", i);
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        CHECK_MSG(all[i].item.status == QV_OK, "prompt %zu: %s", i, all[i].item.error.message);
        if (all[i].item.want_score)
            CHECK(memcmp(&all[i].item.score, &all[i].expected_score, sizeof(float)) == 0);
        else
            CHECK_MSG(memcmp(all[i].hidden, all[i].expected, (size_t)model.hidden * sizeof(float)) == 0,
                      "prompt %zu has other bytes than alone", i);
    }
}

static qv__engine *open_engine(int64_t prefix_bytes, int64_t image_bytes) {
    qv__engine *e;
    qv_error err = {0};
    qv__engine_options options = {.max_batched_tokens = 256,
                                  .nested_tokens = NESTED,
                                  .prefix_cache_bytes = prefix_bytes,
                                  .image_cache_bytes = image_bytes};
    CHECK_OK(qv__engine_open(model.network, &options, &e, &err), err);
    return e;
}

static qv__engine_stats stats_of(qv__engine *e) {
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    return stats;
}

TEST(bytes_of_prompts) {
    open_model("tiny-embedding");
    prompt *all = make_prompts();
    int64_t each = (int64_t)qv__network_prefix_bytes(model.network);
    const struct {
        int64_t prefix, image;
        bool shares;
    } sizes[] = {{0, 0, false},     {0, 1 << 26, false},      {1 << 26, 1 << 26, true},
                 {100, 100, false}, {30 * each, 20000, true}, {70 * each, 0, true}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        qv__engine *e = open_engine(sizes[k].prefix, sizes[k].image);
        for (int round = 0; round < 2; round++) { /* cold, warm */
            submit(e, all, PROMPTS);
            check_answers(all, PROMPTS);
            for (int i = 0; i < PROMPTS; i += 4) { /* one at a time */
                submit(e, &all[i], 1);
                check_answers(&all[i], 1);
            }
        }
        qv__engine_stats stats = stats_of(e);
        CHECK_INT(stats.prefix_tokens > 0, sizes[k].shares);
        CHECK(stats.nested_batches > 0);
        CHECK(stats.prefix_bytes <= sizes[k].prefix && stats.image_bytes <= sizes[k].image);
        if (k == 1)
            CHECK_MSG(stats.image_hits > PROMPTS / 2, "%lld hits and %lld misses of pictures",
                      (long long)stats.image_hits, (long long)stats.image_misses);
        qv__engine_close(&e, true);
    }
    free_prompts(all, PROMPTS);
    close_model();
}

/* A document alone, among a hundred of its query, and again with another query's in between. */
TEST(bytes_of_scores) {
    enum { DOCUMENTS = 100 };
    open_model("tiny-reranker");
    prompt *all = calloc(DOCUMENTS, sizeof *all);
    for (int i = 0; i < DOCUMENTS; i++) {
        put_words(&all[i], 1, 20);
        put_words(&all[i], 2 + (uint64_t)(i >= 80), 25); /* the query */
        put_words(&all[i], 1000 + (uint64_t)i, 5 + i % 30);
        put_words(&all[i], 3, 5);
        finish(&all[i], 0, true);
    }
    for (int off = 0; off < 2; off++) {
        qv__engine *e = open_engine(off ? 0 : 1 << 26, 0);
        for (int i = 0; i < DOCUMENTS; i += 33) {
            submit(e, &all[i], 1);
            check_answers(&all[i], 1);
        }
        submit(e, all, DOCUMENTS);
        check_answers(all, DOCUMENTS);
        CHECK(stats_of(e).prefix_tokens >= (off ? 0 : 45 * (DOCUMENTS - 2)));
        qv__engine_close(&e, true);
    }
    free_prompts(all, DOCUMENTS);
    close_model();
}
