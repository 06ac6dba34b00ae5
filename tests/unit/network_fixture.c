#include "network_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "prep/prompt.h"

static qv__arena memory;

void *fixture_alloc(size_t count, size_t size) {
    void *block = qv__arena_alloc(&memory, count, size);
    CHECK(block);
    memset(block, 0, count * size);
    return block;
}

void fixture_forget(void) {
    qv__arena_clear(&memory);
}

/* ---- models --------------------------------------------------------------------------------------- */

qv__checkpoint *fixture_checkpoint(const char *model) {
    static struct {
        char name[64];
        qv__checkpoint *checkpoint;
    } opened[8];
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        if (strcmp(opened[i].name, model) == 0) return opened[i].checkpoint;
        if (opened[i].checkpoint) continue;
        char path[4096];
        const char *folder = getenv("QVEC_TEST_CHECKPOINTS");
        if (model[0] == '/')
            snprintf(path, sizeof path, "%s", model);
        else
            snprintf(path, sizeof path, "%s/%s", folder ? folder : "build/tests/checkpoints", model);
        qv_error err = {0};
        qv__checkpoint_options options = {.load_format = "dummy:0", .threads = 2};
        CHECK_OK(qv__checkpoint_open(path, &options, &opened[i].checkpoint, &err), err);
        snprintf(opened[i].name, sizeof opened[i].name, "%s", model);
        return opened[i].checkpoint;
    }
    check_fail(__FILE__, __LINE__, "too many models");
}

void fixture_open(fixture *f, const fixture_options *options) {
    qv_error err = {0};
    qv__network_options network = options->network;
    if (network.max_tokens == 0) network.max_tokens = 4096;
    *f = (fixture){.checkpoint = fixture_checkpoint(options->model)};
    f->config = qv__checkpoint_config(f->checkpoint);
    f->hidden = f->config->text.hidden;
    CHECK_OK(qv__cpu_backend_open(options->threads ? options->threads : 2, options->tier, &f->backend, &err), err);
    CHECK_OK(qv__network_open(f->backend, f->checkpoint, &network, &f->network, &err), err);
}

void fixture_close(fixture *f) {
    qv__network_close(&f->network);
    f->backend->ops->close(f->backend);
    f->backend = NULL;
}

/* ---- prompts -------------------------------------------------------------------------------------- */

qv__sequence *fixture_sequence(const fixture *f, const int32_t *ids, int32_t length, const qv__vision_run *runs,
                               int run_count) {
    qv__sequence *s = fixture_alloc(1, sizeof *s);
    s->length = length;
    s->run_count = run_count;
    s->ids = fixture_alloc((size_t)length, sizeof *s->ids);
    s->positions = fixture_alloc(3 * (size_t)length, sizeof *s->positions);
    s->runs = fixture_alloc((size_t)run_count, sizeof *s->runs);
    memcpy(s->ids, ids, (size_t)length * sizeof *ids);
    if (run_count) memcpy(s->runs, runs, (size_t)run_count * sizeof *runs);
    qv__positions(f->config, s->ids, length, s->runs, run_count, s->positions);
    return s;
}

static int32_t random_id(uint64_t *state) {
    return (int32_t)(check_random(state) % 150000);
}

qv__sequence *fixture_random_text(const fixture *f, int32_t length, uint64_t *state) {
    int32_t *ids = fixture_alloc((size_t)length, sizeof *ids);
    for (int32_t i = 0; i < length; i++) ids[i] = random_id(state);
    return fixture_sequence(f, ids, length, NULL, 0);
}

qv__vision_run fixture_picture(int height, int width, bool video, uint64_t *state) {
    size_t size = (size_t)height * (size_t)width * 3;
    uint8_t *pixels = fixture_alloc(2, size);
    for (size_t i = 0; i < 2 * size; i++) pixels[i] = (uint8_t)(check_random(state) >> 32);
    qv__vision_run run = {.frame = {pixels, video ? pixels + size : pixels}, .height = height, .width = width};
    qv__sha256(pixels, video ? 2 * size : size, run.key);
    return run;
}

qv__sequence *fixture_random_mixture(const fixture *f, int before, const qv__vision_run *pictures, int count, int after,
                                     uint64_t *state) {
    enum { ROOM = 4096 };
    int32_t *ids = fixture_alloc(ROOM, sizeof *ids), n = 0;
    qv__vision_run *runs = fixture_alloc((size_t)count, sizeof *runs);
    while (n < before) ids[n++] = random_id(state);
    for (int i = 0; i < count; i++) {
        int tokens = pictures[i].height / 32 * (pictures[i].width / 32);
        CHECK(n + tokens + 4 + after <= ROOM);
        ids[n++] = f->config->vision_start_token;
        runs[i] = pictures[i];
        runs[i].first_token = n;
        for (int k = 0; k < tokens; k++) ids[n++] = f->config->image_token;
        ids[n++] = f->config->vision_end_token;
        for (int k = 0; k < 2; k++) ids[n++] = random_id(state);
    }
    for (int i = 0; i < after; i++) ids[n++] = random_id(state);
    return fixture_sequence(f, ids, n, runs, count);
}

/* ---- forward -------------------------------------------------------------------------------------- */

float *fixture_row(const fixture *f) {
    float *row = fixture_alloc((size_t)f->hidden, sizeof *row);
    for (int i = 0; i < f->hidden; i++) row[i] = 12345;
    return row;
}

const float *fixture_hidden(const fixture *f, const qv__sequence *s) {
    qv_error err = {0};
    qv_status status;
    qv__batch_item item = {.sequence = s, .hidden = fixture_row(f)};
    qv__batch batch = {.items = &item, .count = 1};
    CHECK_OK(qv__network_forward(f->network, &batch, &status, &err), err);
    CHECK_INT(status, QV_OK);
    return item.hidden;
}

qv__prefix fixture_prefix(const fixture *f, int64_t capacity) {
    size_t bytes = qv__network_prefix_bytes(f->network) * (size_t)capacity;
    qv_error err = {0};
    void *k, *v;
    CHECK_OK(f->backend->ops->alloc(f->backend, bytes / 2, &k, &err), err);
    CHECK_OK(f->backend->ops->alloc(f->backend, bytes / 2, &v, &err), err);
    return (qv__prefix){.length = capacity, .capacity = capacity, .k = k, .v = v};
}

void fixture_prefix_close(const fixture *f, qv__prefix *prefix) {
    f->backend->ops->free(f->backend, prefix->k);
    f->backend->ops->free(f->backend, prefix->v);
}

static void count_call(void *user) {
    ++*(int *)user;
}

void fixture_run_nested(void *nested) {
    fixture_nested *n = nested;
    qv_status status;
    qv_error err = {0};
    int inner_pauses = 0;
    float hidden[1024];
    qv__batch_item item = {.sequence = n->prompt, .hidden = hidden};
    qv__batch batch = {.items = &item, .count = 1, .pause = count_call, .user = &inner_pauses};
    n->calls++;
    if (qv__network_forward(n->f->network, &batch, &status, &err) || status || inner_pauses ||
        memcmp(hidden, n->expected, (size_t)n->f->hidden * sizeof(float)))
        n->different++;
}
