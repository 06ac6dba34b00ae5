#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"

static qv__arena prompts;

qv_model *bench_open_model(const bench_options *o, const char *kind) {
    const char *root = getenv("QVEC_TEST_CHECKPOINTS");
    const qv_model_options options = {.load_format = "dummy",
                                      .quantization = o->int8 ? "int8" : NULL,
                                      .threads = o->threads,
                                      .cpu_tier = o->tier,
                                      .image_cache_bytes = -1,
                                      .prefix_cache_bytes = -1};
    char folder[4096];
    qv_model *m;
    qv_error err = {0};
    int64_t start = qv__now_ns();
    snprintf(folder, sizeof folder, "%s/%s-%s", root ? root : "build/tests/checkpoints", o->shape, kind);
    if (qv_model_open(folder, &options, &m, &err)) bench_fail("%s", err.message);
    printf("# %s-%s%s, weights made by rule in %.1f s; %d threads, %s\n", o->shape, kind, o->int8 ? ", int8" : "",
           (double)(qv__now_ns() - start) * 1e-9, m->options.threads, m->options.cpu_tier);
    return m;
}

void bench_close_model(qv_model **model) {
    qv_model_close(model);
    qv__arena_clear(&prompts);
}

/* ---- prompts -------------------------------------------------------------------------------------- */

static uint64_t random_bits(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

int32_t bench_random_id(void) {
    return (int32_t)(random_bits() % 150000);
}

static void *make(size_t count, size_t size) {
    void *block = qv__arena_alloc(&prompts, count, size);
    if (!block) bench_fail("out of memory");
    return memset(block, 0, count * size);
}

static qv__sequence *new_sequence(int32_t length) {
    qv__sequence *s = make(1, sizeof *s);
    s->length = length;
    s->ids = make((size_t)length, sizeof *s->ids);
    s->positions = make(3 * (size_t)length, sizeof *s->positions);
    return s;
}

qv__sequence *bench_text(const qv_model *m, int32_t length, const qv__sequence *like, int32_t head) {
    qv__sequence *s = new_sequence(length);
    for (int32_t i = 0; i < length; i++) s->ids[i] = like && i < head ? like->ids[i] : bench_random_id();
    qv__positions(qv__checkpoint_config(m->checkpoint), s->ids, length, NULL, 0, s->positions);
    return s;
}

qv__sequence *bench_picture(const qv_model *m, int height, int width) {
    const qv__config *c = qv__checkpoint_config(m->checkpoint);
    int cell = c->vision.patch * c->vision.merge;
    size_t bytes = (size_t)height * (size_t)width * 3;
    qv__sequence *s = new_sequence(height / cell * (width / cell));
    uint8_t *pixels = make(bytes, 1);
    for (size_t i = 0; i < bytes; i++) pixels[i] = (uint8_t)(random_bits() >> 32);
    for (int32_t i = 0; i < s->length; i++) s->ids[i] = c->image_token;
    s->runs = make(1, sizeof *s->runs);
    s->run_count = 1;
    s->runs[0] = (qv__vision_run){.frame = {pixels, pixels}, .height = height, .width = width};
    qv__sha256(pixels, bytes, s->runs[0].key);
    qv__positions(c, s->ids, s->length, s->runs, 1, s->positions);
    return s;
}

/* ---- operations ----------------------------------------------------------------------------------- */

double bench_text_flops(const qv__text_config *t, int64_t length, int64_t prefix) {
    double hidden = t->hidden, queries = (double)t->heads * t->head_dim, keys = (double)t->kv_heads * t->head_dim;
    double rows = (double)(length - prefix), seen = rows * ((double)prefix + (rows + 1) / 2), others = t->layers - 1;
    double keys_row = 2 * 2 * hidden * keys, other_row = 2 * hidden * (2 * queries + 3.0 * t->intermediate);
    double attention = 4 * queries * (others * seen + (double)length);
    return t->layers * rows * keys_row + (others * rows + 1) * other_row + attention;
}

double bench_vision_flops(const qv__vision_config *v, int height, int width) {
    double rows = (double)(height / v->patch) * (width / v->patch), c = v->hidden, merge = (double)v->merge * v->merge;
    double patches = 2 * rows * v->channels * v->temporal_patch * v->patch * v->patch * c;
    double block = 2 * rows * (4 * c * c + 2 * c * v->intermediate) + 4 * rows * rows * c;
    double merger = 2 * (rows / merge) * merge * c * (merge * c + v->out_hidden);
    return patches + v->depth * block + (1 + v->deepstack_count) * merger;
}
