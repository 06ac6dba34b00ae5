#include "bench/samples.h"

#include "base/error.h"
#include "bench/samples_media.h"

void qv__samples_clear(qv__samples *samples) {
    qv__arena_clear(&samples->arena);
    *samples = (qv__samples){0};
}

static qv_status no_memory(qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for the benchmark's inputs; fewer --num-prompts need less");
}

/* ---- texts ---- */

static qv_status add_text(const qv__random_samples *o, int64_t tokens, const char *head, qv__samples *out,
                          qv__sample *sample, qv_error *err) {
    if (o->stop && o->stop()) return qv__fail(err, QV_CANCELLED, "interrupted while the inputs were made");
    qv__buffer text = {0};
    qv_status status = qv__texts_make(o->texts, o->random, tokens, head, &text, err);
    const char *copy = status ? NULL : qv__arena_strndup(&out->arena, text.data, text.size);
    qv__buffer_clear(&text);
    if (status) return status;
    if (!copy) return no_memory(err);
    sample->texts[sample->text_count++] = copy;
    sample->tokens += tokens;
    return QV_OK;
}

/* Room for `requests` samples of at most `texts` texts each. */
static qv_status open_samples(qv__samples *out, size_t requests, size_t texts, qv_error *err) {
    *out = (qv__samples){0};
    out->items = qv__arena_alloc(&out->arena, requests, sizeof *out->items);
    if (!out->items) return no_memory(err);
    for (size_t i = 0; i < requests; i++) {
        out->items[i] = (qv__sample){.texts = qv__arena_alloc(&out->arena, texts, sizeof(char *))};
        if (!out->items[i].texts) return no_memory(err);
    }
    out->count = requests;
    return QV_OK;
}

/* ---- whole sets ---- */

static size_t count_requests(const qv__random_samples *o) {
    return (size_t)((o->inputs + o->batch_size - 1) / o->batch_size);
}

/* Inputs of request i: the last may have fewer. */
static int64_t count_inputs(const qv__random_samples *o, size_t i) {
    int64_t left = o->inputs - (int64_t)i * o->batch_size;
    return left < o->batch_size ? left : o->batch_size;
}

static int64_t at_least_one(int64_t tokens) {
    return tokens < 1 ? 1 : tokens;
}

/* The text that all begin with. *head: in the arena, NULL without. */
static qv_status make_head(const qv__random_samples *o, qv__samples *out, const char **head, qv_error *err) {
    *head = NULL;
    if (!o->prefix) return QV_OK;
    qv__sample holder = {.texts = head};
    return add_text(o, o->prefix, NULL, out, &holder, err);
}

qv_status qv__samples_random(const qv__random_samples *o, qv__samples *out, qv_error *err) {
    const char *head = NULL;
    qv_status status = open_samples(out, count_requests(o), (size_t)o->batch_size, err);
    if (!status) status = make_head(o, out, &head, err);
    for (size_t i = 0; i < out->count && !status; i++) {
        qv__sample *s = &out->items[i];
        s->inputs = count_inputs(o, i);
        for (int64_t k = 0; k < s->inputs && !status; k++) {
            int64_t length = at_least_one(qv__draw_around(o->random, o->length - o->special, o->range_ratio));
            status = add_text(o, o->prefix + length, head, out, s, err);
        }
        if (!status && o->media) status = qv__media_make(o, out, s, err);
    }
    return status;
}

/* As vLLM splits a length: query + separator + document. */
qv_status qv__samples_random_rerank(const qv__random_samples *o, qv__samples *out, qv_error *err) {
    int64_t query = at_least_one(o->whole_length ? o->length : o->length / 2 - 1);
    int64_t document = at_least_one(o->whole_length ? o->length : o->length - query - 1);
    qv__sample holder = {0};
    const char *text = NULL;
    holder.texts = &text;
    qv_status status = open_samples(out, count_requests(o), (size_t)o->batch_size + 1, err);
    if (!status) status = add_text(o, query, NULL, out, &holder, err);
    for (size_t i = 0; i < out->count && !status; i++) {
        qv__sample *s = &out->items[i];
        s->inputs = count_inputs(o, i);
        s->texts[s->text_count++] = text;
        s->tokens = query * s->inputs;
        for (int64_t k = 0; k < s->inputs && !status; k++)
            status = add_text(o, at_least_one(qv__draw_around(o->random, document, o->range_ratio)), NULL, out, s, err);
    }
    return status;
}
