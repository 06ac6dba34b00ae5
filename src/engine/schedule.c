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

qv_status qv__round_open(qv__round *r, qv__engine *engine, int number, int64_t budget, qv_error *err) {
    r->engine = engine;
    r->number = number;
    r->budget = budget;
    r->capacity = budget < MAX_BATCH_ITEMS ? (int)budget : MAX_BATCH_ITEMS;
    size_t n = (size_t)r->capacity;
    r->items = qv__calloc(n, sizeof(qv__item *));
    r->plans = qv__calloc(n, sizeof *r->plans);
    r->batch = qv__calloc(n, sizeof *r->batch);
    r->statuses = qv__calloc(n, sizeof *r->statuses);
    if (r->items && r->plans && r->batch && r->statuses) return QV_OK;
    return qv__fail(err, QV_NO_MEMORY, "out of memory for batches of %d items", r->capacity);
}

void qv__round_close(qv__round *r) {
    qv__free(r->items);
    qv__free(r->plans);
    qv__free(r->batch);
    qv__free(r->statuses);
    *r = (qv__round){0};
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

/* The tokens of an item that others are likely to begin with too: another of its submit, the next of its client (a
 * submit may be one item), a prompt of late. The item still waits, and the lock is held. */
static int32_t worth_keeping(qv__engine *e, const qv__item *item) {
    int32_t late = qv__recent_match(&e->recent, &item->sequence);
    int32_t next = item->next ? qv__sequence_match(&item->sequence, &item->next->sequence) : 0;
    int64_t most = e->options.prefix_cache_bytes / RECENT_SHARE / (int64_t)qv__network_prefix_bytes(e->network);
    if (late > most) late = (int32_t)most;
    if (next > late) late = next;
    return item->shared > late ? item->shared : late;
}

static void release(qv__round *r, qv__plan *plan, bool computed) {
    qv__prefix_store *store = r->engine->prefixes;
    if (plan->used) qv__prefix_store_release(store, plan->used);
    if (plan->begun) qv__prefix_store_end(store, plan->begun, computed);
    *plan = (qv__plan){0};
}

/* Adds the item to the batch unless its rows do not fit; a batch takes its first item whatever its length. `keep`:
 * begin a prefix that others will use; the item is still in the queue. */
static bool add_to_batch(qv__round *r, qv__item *item, bool keep) {
    if (r->planned == r->capacity) return false;
    qv__engine *e = r->engine;
    qv__plan *plan = &r->plans[r->planned];
    int32_t have = 0;
    *plan = (qv__plan){0};
    if (e->prefixes) plan->used = qv__prefix_store_find(e->prefixes, &item->sequence, r->number + 1, &have);
    int64_t rows = item->sequence.length - have;
    if (r->planned > 0 && r->rows + rows > r->budget) {
        release(r, plan, false);
        return false;
    }
    if (plan->used) {
        plan->view = plan->used->prefix;
        plan->view.length = have;
    }
    if (e->prefixes && keep)
        plan->begun = qv__prefix_store_begin(e->prefixes, &item->sequence, worth_keeping(e, item), have, r->number + 1);
    if (e->prefixes) qv__prefix_store_count(e->prefixes, have);
    item->prefix_tokens = have;
    r->batch[r->planned] = (qv__batch_item){.sequence = &item->sequence,
                                            .prefix = plan->used ? &plan->view : NULL,
                                            .keep = plan->begun ? &plan->begun->prefix : NULL,
                                            .hidden = item->want_score ? NULL : item->hidden,
                                            .score = item->want_score ? &item->score : NULL};
    r->statuses[r->planned++] = QV_OK;
    r->rows += rows;
    if (rows > r->longest) r->longest = rows;
    return true;
}

static void begin_plan(qv__round *r, int first) {
    r->first = first;
    r->planned = 0;
    r->rows = r->longest = 0;
}

/* Clients in turn, as long as their next items fit. The first whose item does not keeps its turn for the next batch.
 * Looking for what is shared takes microseconds an item; memory for a new prefix is reserved here and touched later. */
int qv__round_form(qv__round *r) {
    qv__queue *q = &r->engine->queue;
    qv__lane *waits = NULL;
    qv__item *item;
    int64_t now = qv__now_ns();
    r->taken = 0;
    begin_plan(r, 0);
    for (int skipped = 0; skipped < SKIP_LANES && skipped < q->lanes && (item = qv__queue_peek(q, r->number > 0));) {
        if (r->rows >= r->budget) break;
        qv__lane *lane = q->turn;
        if (add_to_batch(r, item, true)) {
            qv__queue_take(q, item);
            item->state = QV__ITEM_RUNNING;
            item->started_ns = now;
            r->items[r->taken++] = item;
        } else {
            if (!waits) waits = lane;
            qv__queue_skip(q);
            skipped++;
        }
    }
    if (waits) q->turn = waits;
    r->engine->stats.running_items += r->taken;
    return r->taken;
}

/* ---- computing ---- */

/* Between row blocks of a long item: short ones that wait are computed, unless nested work has had its half. */
static void pause_for_short(void *user) {
    qv__round *outer = user, *nested = &outer->engine->rounds[1];
    qv__engine *e = outer->engine;
    int64_t now = qv__now_ns();
    if (outer->nested_ns > now - outer->started_ns - outer->nested_ns) return;
    if (qv__engine_turn(e, nested) > 0) outer->nested_ns += qv__now_ns() - now;
}

/* Nobody waits for any of the batch's items any more. */
static bool is_unwanted(void *user) {
    const qv__round *r = user;
    for (int i = 0; i < r->planned; i++) {
        const atomic_bool *unwanted = r->items[r->first + i]->unwanted;
        if (!unwanted || !atomic_load_explicit(unwanted, memory_order_relaxed)) return false;
    }
    return true;
}

/* One forward pass of the planned items; afterwards nothing is referenced any more. */
static qv_status forward(qv__round *r, qv_error *err) {
    qv__engine *e = r->engine;
    bool pauses = r->number == 0 && e->options.nested_tokens > 0 && r->longest > e->options.nested_tokens;
    if (e->prefixes) qv__prefix_store_sweep(e->prefixes);
    qv__batch batch = {.items = r->batch,
                       .count = r->planned,
                       .pause = pauses ? pause_for_short : NULL,
                       .stop = is_unwanted,
                       .user = r,
                       .features = e->features ? qv__feature_store_begin(e->features, r->number) : NULL};
    r->started_ns = qv__now_ns();
    r->nested_ns = 0;
    qv_status status = qv__network_forward(e->network, &batch, r->statuses, err);
    if (e->features) qv__feature_store_end(e->features, r->number);
    for (int i = r->planned - 1; i >= 0; i--) release(r, &r->plans[i], !status && !r->statuses[i]);
    return status;
}

static void set_status(qv__item *item, qv_status batch_status, qv_status own, const qv_error *err) {
    item->status = batch_status ? batch_status : own;
    if (batch_status && err->code)
        item->error = *err;
    else if (item->status)
        qv__fail(&item->error, item->status, "%s", qv_status_text(item->status));
}

static void count_size(qv__sizes *sizes, int64_t size) {
    int step = 0;
    while (step < QV__SIZE_STEPS - 1 && (int64_t)1 << step < size) step++;
    sizes->counts[step]++;
    sizes->sum += size;
}

static void count_batch(qv__round *r) {
    qv__engine *e = r->engine;
    qv__prefix_stats prefixes = {0};
    qv__feature_stats features = {0};
    if (e->prefixes) qv__prefix_store_get_stats(e->prefixes, &prefixes);
    if (e->features) qv__feature_store_get_stats(e->features, &features);
    pthread_mutex_lock(&e->lock);
    e->stats.batches++;
    count_size(&e->stats.batch_items, r->planned);
    count_size(&e->stats.batch_tokens, r->rows);
    e->stats.nested_batches += r->number > 0;
    e->stats.prefix_hits = prefixes.hits;
    e->stats.prefix_misses = prefixes.misses;
    e->stats.prefix_tokens = prefixes.saved_tokens;
    e->stats.prefix_bytes = prefixes.bytes;
    e->stats.prefix_evictions = prefixes.evictions;
    e->stats.image_hits = features.hits;
    e->stats.image_misses = features.misses;
    e->stats.image_bytes = features.bytes;
    e->stats.image_evictions = features.evictions;
    pthread_mutex_unlock(&e->lock);
}

/* Computes items [first, first + planned) and finishes them; QV_NO_MEMORY for several is left to the caller. */
static qv_status run_planned(qv__round *r) {
    qv_error err = {0};
    qv_status status = forward(r, &err);
    count_batch(r);
    if (status == QV_NO_MEMORY && r->planned > 1) return status;
    for (int i = 0; i < r->planned; i++) set_status(r->items[r->first + i], status, r->statuses[i], &err);
    qv__engine_finish(r->engine, r->items + r->first, r->planned);
    return QV_OK;
}

/* In smaller and smaller batches, so that only an item that does not fit alone fails. Memory is short: nothing is kept,
 * and without what they would have shared the rows are counted anew. */
static void run_in_parts(qv__round *r) {
    int limit = r->taken / 2, first = 0;
    while (first < r->taken) {
        begin_plan(r, first);
        while (r->planned < limit && first + r->planned < r->taken &&
               add_to_batch(r, r->items[first + r->planned], false)) {
        }
        if (run_planned(r))
            limit = r->planned / 2;
        else
            first += r->planned;
    }
}

void qv__round_run(qv__round *r) {
    if (run_planned(r)) run_in_parts(r);
}
