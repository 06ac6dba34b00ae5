/* The worker's side: which items are computed together, what they share, and what happens when that fails. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/internal.h"

enum {
    MAX_BATCH_ITEMS = 4096,
    SKIP_LANES = 8,   /* clients passed over because their item does not fit this batch any more */
    RECENT_SHARE = 4, /* a head noticed among prompts of late may take 1/4 of the store: it may be chance */
};

qv_status qv__pass_open(qv__pass *p, qv__engine *engine, int number, int64_t budget, qv_error *err) {
    p->engine = engine;
    p->number = number;
    p->budget = budget;
    p->capacity = budget < MAX_BATCH_ITEMS ? (int)budget : MAX_BATCH_ITEMS;
    size_t n = (size_t)p->capacity;
    p->items = qv__calloc(n, sizeof(qv__item *));
    p->plans = qv__calloc(n, sizeof *p->plans);
    p->batch = qv__calloc(n, sizeof *p->batch);
    p->statuses = qv__calloc(n, sizeof *p->statuses);
    if (p->items && p->plans && p->batch && p->statuses) return QV_OK;
    return qv__fail(err, QV_NO_MEMORY, "out of memory for batches of %d items", p->capacity);
}

void qv__pass_close(qv__pass *p) {
    qv__free(p->items);
    qv__free(p->plans);
    qv__free(p->batch);
    qv__free(p->statuses);
    *p = (qv__pass){0};
}

/* ---- what is shared ---- */

static int by_content(const void *a, const void *b) {
    return qv__sequence_order(&(*(qv__item *const *)a)->sequence, &(*(qv__item *const *)b)->sequence);
}

/* In the order of content, the one with most in common is a neighbour. */
void qv__items_find_shared(qv__item *const *items, size_t count) {
    for (size_t i = 0; i < count; i++) items[i]->shared = 0;
    if (count < 2) return;
    qv__item **sorted = qv__alloc_array(count, sizeof(qv__item *));
    if (!sorted) return; /* costs time, nothing else */
    memcpy(sorted, items, count * sizeof(qv__item *));
    qsort(sorted, count, sizeof(qv__item *), by_content);
    for (size_t i = 1; i < count; i++) {
        int32_t match = qv__sequence_match(&sorted[i - 1]->sequence, &sorted[i]->sequence);
        if (match > sorted[i - 1]->shared) sorted[i - 1]->shared = match;
        if (match > sorted[i]->shared) sorted[i]->shared = match;
    }
    qv__free(sorted);
}

/* ---- planning: items become a batch, in order ---- */

/* The tokens of an item that others are likely to begin with too. */
static int32_t worth_keeping(qv__engine *e, const qv__item *item) {
    int32_t late = qv__recent_match(&e->recent, &item->sequence);
    int64_t most = e->options.prefix_cache_bytes / RECENT_SHARE / (int64_t)qv__network_prefix_bytes(e->network);
    if (late > most) late = (int32_t)most;
    return item->shared > late ? item->shared : late;
}

static void release(qv__pass *p, qv__plan *plan, bool computed) {
    qv__prefix_store *store = p->engine->prefixes;
    if (plan->used) qv__prefix_store_release(store, plan->used);
    if (plan->begun) qv__prefix_store_end(store, plan->begun, computed);
    *plan = (qv__plan){0};
}

/* Adds the item to the batch unless its rows do not fit; a batch takes its first item whatever its length. `keep`:
 * begin a prefix that others will use. */
static bool plan(qv__pass *p, qv__item *item, bool keep) {
    qv__engine *e = p->engine;
    qv__plan *plan = &p->plans[p->planned];
    int32_t have = 0;
    *plan = (qv__plan){0};
    if (e->prefixes) plan->used = qv__prefix_store_find(e->prefixes, &item->sequence, p->number + 1, &have);
    int64_t rows = item->sequence.length - have;
    if (p->planned == p->capacity || (p->planned > 0 && p->rows + rows > p->budget)) {
        release(p, plan, false);
        return false;
    }
    if (plan->used) {
        plan->view = plan->used->prefix;
        plan->view.length = have;
    }
    if (e->prefixes && keep)
        plan->begun = qv__prefix_store_begin(e->prefixes, &item->sequence, worth_keeping(e, item), have, p->number + 1);
    if (e->prefixes) qv__prefix_store_count(e->prefixes, have);
    item->prefix_tokens = have;
    p->batch[p->planned] = (qv__batch_item){.sequence = &item->sequence,
                                            .prefix = plan->used ? &plan->view : NULL,
                                            .keep = plan->begun ? &plan->begun->prefix : NULL,
                                            .hidden = item->want_score ? NULL : item->hidden,
                                            .score = item->want_score ? &item->score : NULL};
    p->statuses[p->planned++] = QV_OK;
    p->rows += rows;
    if (rows > p->longest) p->longest = rows;
    return true;
}

static void begin_plan(qv__pass *p, int first) {
    p->first = first;
    p->planned = 0;
    p->rows = p->longest = 0;
}

/* Clients in turn, as long as their next items fit. The first whose item does not keeps its turn for the next batch. */
int qv__pass_form(qv__pass *p) {
    qv__queue *q = &p->engine->queue;
    qv__lane *waits = NULL;
    qv__item *item;
    int64_t now = qv__now_ns();
    p->taken = 0;
    begin_plan(p, 0);
    for (int skipped = 0; skipped < SKIP_LANES && skipped < q->lanes && (item = qv__queue_peek(q, p->number > 0));) {
        if (p->rows >= p->budget) break;
        qv__lane *lane = q->turn;
        if (plan(p, item, true)) {
            qv__queue_take(q, item);
            item->state = QV__ITEM_RUNNING;
            item->started_ns = now;
            p->items[p->taken++] = item;
        } else {
            if (!waits) waits = lane;
            qv__queue_skip(q);
            skipped++;
        }
    }
    if (waits) q->turn = waits;
    p->engine->stats.running_items += p->taken;
    return p->taken;
}

/* ---- computing ---- */

/* Between row blocks of a long item: short ones that wait are computed, unless nested work has had its half. */
static void pause_for_short(void *user) {
    qv__pass *outer = user, *nested = &outer->engine->passes[1];
    qv__engine *e = outer->engine;
    int64_t now = qv__now_ns();
    if (outer->nested_ns > now - outer->started_ns - outer->nested_ns) return;
    if (qv__engine_turn(e, nested) > 0) outer->nested_ns += qv__now_ns() - now;
}

/* One forward pass of the planned items; afterwards nothing is referenced any more. */
static qv_status forward(qv__pass *p, qv_error *err) {
    qv__engine *e = p->engine;
    bool pauses = p->number == 0 && e->options.nested_tokens > 0 && p->longest > e->options.nested_tokens;
    if (e->prefixes) qv__prefix_store_sweep(e->prefixes);
    qv__batch batch = {.items = p->batch,
                       .count = p->planned,
                       .pause = pauses ? pause_for_short : NULL,
                       .user = p,
                       .features = e->features ? qv__feature_store_begin(e->features, p->number) : NULL};
    p->started_ns = qv__now_ns();
    p->nested_ns = 0;
    qv_status status = qv__network_forward(e->network, &batch, p->statuses, err);
    if (e->features) qv__feature_store_end(e->features, p->number);
    for (int i = p->planned - 1; i >= 0; i--) release(p, &p->plans[i], !status && !p->statuses[i]);
    return status;
}

static void set_status(qv__item *item, qv_status batch_status, qv_status own, const qv_error *err) {
    item->status = batch_status ? batch_status : own;
    if (batch_status && err->code)
        item->error = *err;
    else if (item->status)
        qv__fail(&item->error, item->status, "%s", qv_status_text(item->status));
}

static void count_batch(qv__pass *p) {
    qv__engine *e = p->engine;
    qv__prefix_stats prefixes = {0};
    qv__feature_stats features = {0};
    if (e->prefixes) qv__prefix_store_get_stats(e->prefixes, &prefixes);
    if (e->features) qv__feature_store_get_stats(e->features, &features);
    pthread_mutex_lock(&e->lock);
    e->stats.batches++;
    e->stats.nested_batches += p->number > 0;
    e->stats.prefix_hits = prefixes.hits;
    e->stats.prefix_misses = prefixes.misses;
    e->stats.prefix_tokens = prefixes.saved_tokens;
    e->stats.prefix_bytes = prefixes.bytes;
    e->stats.image_hits = features.hits;
    e->stats.image_misses = features.misses;
    e->stats.image_bytes = features.bytes;
    pthread_mutex_unlock(&e->lock);
}

/* Computes items [first, first + planned) and finishes them; QV_NO_MEMORY for several is left to the caller. */
static qv_status run_planned(qv__pass *p) {
    qv_error err = {0};
    qv_status status = forward(p, &err);
    count_batch(p);
    if (status == QV_NO_MEMORY && p->planned > 1) return status;
    for (int i = 0; i < p->planned; i++) set_status(p->items[p->first + i], status, p->statuses[i], &err);
    qv__engine_finish(p->engine, p->items + p->first, p->planned);
    return QV_OK;
}

/* In smaller and smaller batches, so that only an item that does not fit alone fails. Memory is short: nothing is kept,
 * and without what they would have shared the rows are counted anew. */
static void run_in_parts(qv__pass *p) {
    int limit = p->taken / 2, first = 0;
    while (first < p->taken) {
        begin_plan(p, first);
        while (p->planned < limit && first + p->planned < p->taken && plan(p, p->items[first + p->planned], false)) {
        }
        if (run_planned(p))
            limit = p->planned / 2;
        else
            first += p->planned;
    }
}

void qv__pass_run(qv__pass *p) {
    if (run_planned(p)) run_in_parts(p);
}
