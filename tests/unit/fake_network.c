#include "fake_network.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"

/* ---- the device ---- */

typedef struct {
    _Alignas(64) size_t bytes;
} header;

static qv_status fake_alloc(qv__backend *b, size_t bytes, void **out, qv_error *err) {
    qv__network *n = (qv__network *)b;
    *out = NULL;
    if (n->fail_alloc_every && ++n->allocs % n->fail_alloc_every == 0)
        return qv__fail(err, QV_NO_MEMORY, "no device memory");
    header *h = aligned_alloc(_Alignof(header), (sizeof *h + bytes + 63) / 64 * 64);
    if (!h) return qv__fail(err, QV_NO_MEMORY, "no memory");
    h->bytes = bytes;
    memset(h + 1, 0xA5, bytes);
    n->blocks++;
    long long now = atomic_fetch_add(&n->bytes, (long long)bytes) + (long long)bytes;
    if (now > n->most_bytes) n->most_bytes = now;
    *out = h + 1;
    return QV_OK;
}

static void fake_free(qv__backend *b, void *block) {
    qv__network *n = (qv__network *)b;
    header *h = (header *)block - 1;
    n->blocks--;
    n->bytes -= (long long)h->bytes;
    memset(block, 0x5A, h->bytes); /* who still reads it will notice */
    free(h);
}

static void fake_gather(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                        const int32_t *rows, int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; i++) memcpy(out + i * out_stride, x + rows[i] * x_stride, (size_t)width * sizeof *x);
}

static const qv__backend_ops ops = {.name = "fake", .alloc = fake_alloc, .free = fake_free, .gather_rows = fake_gather};

void fake_network_init(qv__network *n) {
    memset(n, 0, sizeof *n);
    n->backend.ops = &ops;
    n->row_block = 64;
}

qv__backend *qv__network_backend(const qv__network *n) {
    return (qv__backend *)&n->backend;
}
size_t qv__network_prefix_bytes(const qv__network *n) {
    return FAKE_PREFIX_BYTES;
}
int64_t qv__network_hidden(const qv__network *n) {
    return FAKE_HIDDEN;
}
/* ---- the model ---- */

int32_t fake_run_tokens(const qv__vision_run *run) {
    return run->height / 32 * (run->width / 32);
}

static uint64_t vision_value(const qv__vision_run *run) {
    return qv__fnv1a(qv__fnv1a(QV__FNV1A_START, run->key, sizeof run->key), &run->height, 2 * sizeof run->height);
}

static uint64_t step(uint64_t state, const qv__sequence *s, int32_t i) {
    uint64_t x = (uint64_t)s->ids[i] * 31;
    for (size_t axis = 0; axis < 3; axis++)
        x = qv__mix64(x + (uint64_t)s->positions[axis * (size_t)s->length + (size_t)i]);
    for (int k = 0; k < s->run_count; k++)
        if (i >= s->runs[k].first_token && i < s->runs[k].first_token + fake_run_tokens(&s->runs[k]))
            x ^= vision_value(&s->runs[k]);
    return qv__mix64(state ^ x);
}

static void to_hidden(uint64_t state, float *hidden) {
    for (int k = 0; k < FAKE_HIDDEN; k++) hidden[k] = (float)(qv__mix64(state + (uint64_t)k) >> 40) * 0x1p-24f;
}

void fake_answer(const qv__sequence *s, float *hidden) {
    uint64_t state = 1;
    for (int32_t i = 0; i < s->length; i++) state = step(state, s, i);
    to_hidden(state, hidden);
}

static void complain(qv__network *n, const char *text) {
    if (!n->complaint[0]) snprintf(n->complaint, sizeof n->complaint, "%s", text);
}

/* k and v are [1 layer][capacity][2]; both hold the state behind the token. */
static void store_row(const qv__prefix *p, int32_t i, uint64_t state) {
    memcpy(p->k + 2 * (size_t)i, &state, sizeof state);
    memcpy(p->v + 2 * (size_t)i, &state, sizeof state);
}

static uint64_t load_row(qv__network *n, const qv__prefix *p, int32_t i) {
    uint64_t k, v;
    memcpy(&k, p->k + 2 * (size_t)i, sizeof k);
    memcpy(&v, p->v + 2 * (size_t)i, sizeof v);
    if (k != v) complain(n, "k and v of a prefix do not belong together");
    return k;
}

static void spend(qv__network *n, const qv__batch *batch, int64_t rows, int depth) {
    for (int64_t done = 0; done < rows;) {
        int64_t block = rows - done < n->row_block ? rows - done : n->row_block;
        done += block;
        int64_t ns = n->row_ns * block;
        if (ns > 0) nanosleep(&(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
        if (batch->pause && done < rows) {
            if (depth > 1) complain(n, "a nested forward is paused");
            batch->pause(batch->user);
        }
    }
}

static void look(qv__network *n, const qv__batch *batch, const qv__vision_run *run, const float **found) {
    const qv__feature_cache *cache = batch->features;
    int32_t tokens = fake_run_tokens(run);
    uint64_t value = vision_value(run);
    *found = NULL;
    if (cache && cache->find && cache->find(cache->user, run, found)) return;
    n->vision_runs++;
    float *features = malloc((size_t)tokens * 2 * sizeof *features);
    for (int32_t i = 0; i < tokens; i++) memcpy(features + 2 * i, &value, sizeof value);
    if (cache && cache->offer) cache->offer(cache->user, run, features, tokens * 2);
    free(features);
}

static void check_features(qv__network *n, const qv__vision_run *run, const float *features) {
    uint64_t value = vision_value(run), is;
    for (int32_t i = 0; features && i < fake_run_tokens(run); i++) {
        memcpy(&is, features + 2 * i, sizeof is);
        if (is != value) complain(n, "features are not those of the picture");
    }
}

static void compute(qv__network *n, const qv__batch_item *item, qv_status *status) {
    const qv__sequence *s = item->sequence;
    int32_t first = item->prefix ? (int32_t)item->prefix->length : 0;
    uint64_t state = 1;
    if (item->hidden == NULL && item->score == NULL) complain(n, "an item wants nothing");
    if (item->prefix && (first < 1 || first >= s->length || first > item->prefix->capacity))
        complain(n, "a prefix of a wrong length");
    for (int32_t i = 0; i < s->length; i++) {
        state = step(state, s, i);
        if (i < first && load_row(n, item->prefix, i) != state) complain(n, "a prefix holds something else");
        if (item->keep && i < item->keep->length) store_row(item->keep, i, state);
        if (s->ids[i] == FAKE_NON_FINITE) *status = QV_NON_FINITE;
    }
    float hidden[FAKE_HIDDEN];
    to_hidden(state, hidden);
    if (item->hidden) memcpy(item->hidden, hidden, sizeof hidden);
    if (item->score) *item->score = hidden[0];
}

static qv_status trouble(const qv__network *n, const qv__batch *batch, int64_t rows, qv_error *err) {
    if (n->memory_rows && rows > n->memory_rows)
        return qv__fail(err, QV_NO_MEMORY, "a batch of %lld rows", (long long)rows);
    for (int i = 0; i < batch->count; i++) {
        const qv__sequence *s = batch->items[i].sequence;
        for (int32_t k = 0; k < s->length; k++) {
            if (s->ids[k] == FAKE_BAD_BATCH) return qv__fail(err, QV_INTERNAL, "the device is on fire");
            if (s->ids[k] == FAKE_HUNGRY) return qv__fail(err, QV_NO_MEMORY, "a hungry item");
        }
    }
    return QV_OK;
}

enum { MOST_RUNS = 256 };

qv_status qv__network_forward(qv__network *n, const qv__batch *batch, qv_status *item_status, qv_error *err) {
    int depth = ++n->depth;
    int64_t rows = 0, longest = 0;
    const float *features[MOST_RUNS];
    int runs = 0;
    if (depth > 2) complain(n, "forwards nested too deep");
    if (n->before) n->before(n, batch);
    for (int i = 0; i < batch->count; i++) {
        const qv__batch_item *item = &batch->items[i];
        int64_t own = item->sequence->length - (item->prefix ? item->prefix->length : 0);
        rows += own;
        if (own > longest) longest = own;
        for (int k = 0; k < item->sequence->run_count && runs < MOST_RUNS; k++)
            look(n, batch, &item->sequence->runs[k], &features[runs++]);
    }
    n->forwards++;
    n->rows += rows;
    if (depth > 1) n->nested_rows += rows;
    if (rows > n->most_rows && rows > longest) n->most_rows = rows;
    spend(n, batch, rows, depth); /* other forwards may run in here: what was handed out must not move */
    for (int i = 0, r = 0; i < batch->count; i++)
        for (int k = 0; k < batch->items[i].sequence->run_count && r < runs; k++, r++)
            check_features(n, &batch->items[i].sequence->runs[k], features[r]);
    qv_status status = trouble(n, batch, rows, err);
    for (int i = 0; i < batch->count && !status; i++) compute(n, &batch->items[i], &item_status[i]);
    n->depth--;
    return status;
}
