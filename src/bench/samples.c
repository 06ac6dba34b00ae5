#include "bench/samples.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/error.h"
#include "media/jpeg_write.h"

enum { QUALITY = 75 };

void qv__samples_clear(qv__samples *samples) {
    qv__arena_clear(&samples->arena);
    *samples = (qv__samples){0};
}

static qv_status no_memory(qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for the benchmark's inputs; fewer --num-prompts need less");
}

/* ---- texts ---- */

/* Uniform in [floor(n (1 - r)), ceil(n (1 + r))]. */
static int64_t draw_around(qv__random *random, int64_t n, double ratio) {
    if (ratio <= 0) return n;
    int64_t low = (int64_t)floor((double)n * (1 - ratio)), high = (int64_t)ceil((double)n * (1 + ratio));
    return low + (int64_t)qv__random_below(random, (uint64_t)(high - low + 1));
}

static qv_status add_text(const qv__random_samples *o, int64_t tokens, const char *head, qv__samples *out,
                          qv__sample *sample, qv_error *err) {
    if (o->stop && o->stop()) return qv__fail(err, QV_CANCELLED, "interrupted while the texts were made");
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

/* ---- pictures ---- */

static const qv__bucket *draw_bucket(const qv__random_samples *o) {
    double sum = 0, at;
    for (int i = 0; i < o->bucket_count; i++) sum += o->buckets[i].share;
    at = qv__random_unit(o->random) * sum;
    for (int i = 0; i < o->bucket_count - 1; i++)
        if ((at -= o->buckets[i].share) < 0) return &o->buckets[i];
    return &o->buckets[o->bucket_count - 1];
}

/* "data:image/jpeg;base64,..." in the arena. */
static qv_status add_url(const void *jpeg, size_t size, qv__arena *arena, const char **url, qv_error *err) {
    static const char head[] = "data:image/jpeg;base64,";
    size_t encoded = qv__base64_encoded_size(size);
    char *text = encoded == SIZE_MAX ? NULL : qv__arena_alloc(arena, sizeof head + encoded, 1);
    if (!text) return no_memory(err);
    memcpy(text, head, sizeof head - 1);
    qv__base64_encode(jpeg, size, text + sizeof head - 1);
    text[sizeof head - 1 + encoded] = 0;
    *url = text;
    return QV_OK;
}

static qv_status add_picture(const qv__random_samples *o, qv__samples *out, qv__sample *sample, qv_error *err) {
    const qv__bucket *b = draw_bucket(o);
    size_t size = (size_t)b->height * (size_t)b->width * 3;
    uint8_t *rgb = qv__malloc(size);
    qv__buffer jpeg = {0};
    if (!rgb) return no_memory(err);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t bits = qv__random_next(o->random);
        memcpy(rgb + i, &bits, size - i < 8 ? size - i : 8);
    }
    qv_status status = qv__jpeg_write(rgb, b->height, b->width, QUALITY, &jpeg, err);
    if (!status) status = add_url(jpeg.data, jpeg.size, &out->arena, &sample->images[sample->image_count], err);
    if (!status) sample->image_count++;
    qv__buffer_clear(&jpeg);
    qv__free(rgb);
    return status;
}

static qv_status add_pictures(const qv__random_samples *o, qv__samples *out, qv__sample *sample, qv_error *err) {
    int64_t count = draw_around(o->random, o->images, o->images_ratio);
    if (count > o->images_max) count = o->images_max;
    if (count <= 0) return QV_OK;
    sample->images = qv__arena_alloc(&out->arena, (size_t)count, sizeof(char *));
    if (!sample->images) return no_memory(err);
    qv_status status = QV_OK;
    for (int64_t i = 0; i < count && !status; i++) status = add_picture(o, out, sample, err);
    return status;
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
            int64_t length = at_least_one(draw_around(o->random, o->length - o->special, o->range_ratio));
            status = add_text(o, o->prefix + length, head, out, s, err);
        }
        if (!status && o->images) status = add_pictures(o, out, s, err);
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
            status = add_text(o, at_least_one(draw_around(o->random, document, o->range_ratio)), NULL, out, s, err);
    }
    return status;
}

/* ---- buckets ---- */

static bool is_share(double share) {
    return share >= 0 && share <= 1;
}

qv_status qv__buckets_parse(const char *text, qv__bucket *buckets, int *count, qv_error *err) {
    const char *at = text;
    double sum = 0;
    int used = 0;
    *count = 0;
    if (*at == '{') at++;
    while (*at && *at != '}') {
        int height, width, frames;
        double share;
        if (sscanf(at, " ( %5d , %5d , %5d ) : %lf%n", &height, &width, &frames, &share, &used) != 4 ||
            !is_share(share))
            return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.60s\" is not (height, width, frames): share", at);
        if (frames != 1 && share > 0)
            return qv__fail(err, QV_UNSUPPORTED, "a picture has 1 frame, not %d; random videos are not made", frames);
        if (height < 1 || width < 1 || height > QV__PICTURE_SIDE_MAX || width > QV__PICTURE_SIDE_MAX)
            return qv__fail(err, QV_INVALID_ARGUMENT, "a picture of %d x %d; sides of 1 to %d", height, width,
                            QV__PICTURE_SIDE_MAX);
        if (*count == QV__BUCKETS_MAX)
            return qv__fail(err, QV_INVALID_ARGUMENT, "more than %d sizes of pictures", QV__BUCKETS_MAX);
        if (share > 0) buckets[(*count)++] = (qv__bucket){height, width, share};
        sum += share;
        at += used;
        while (*at == ' ' || *at == ',') at++;
    }
    if (sum > 0) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.60s\" gives no size of pictures a share", text);
}
