/* The public side: who may put items in, and the two threads: the worker computes, the timekeeper finishes waiting
 * items whose deadline has passed, also while the worker is deep in a forward pass. */
#include "engine/engine.h"

#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/internal.h"

enum { DEFAULT_BATCHED = 2048, DEFAULT_NESTED = 1024 };

/* ---- finishing ---- */

static void count_finished(qv__engine_stats *s, const qv__item *item) {
    switch (item->status) {
    case QV_OK:
        s->finished_items++;
        s->finished_tokens += item->sequence.length;
        break;
    case QV_CANCELLED: s->cancelled_items++; break;
    case QV_DEADLINE: s->expired_items++; break;
    default: s->failed_items++;
    }
}

/* The caller may free an item, or submit it again, as soon as it is done. */
void qv__engine_finish(qv__engine *e, qv__item *const *items, int count) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&e->lock);
    for (int i = 0; i < count; i++) {
        items[i]->finished_ns = now;
        items[i]->state = QV__ITEM_DONE;
        count_finished(&e->stats, items[i]);
    }
    e->stats.running_items -= count;
    pthread_mutex_unlock(&e->lock);
    for (int i = 0; i < count; i++) items[i]->done(items[i]);
}

/* Items that left the queue uncomputed, in order, chained by `next`: marked with the lock held, called back without. */
typedef struct {
    qv__item *first, **last;
} chain;

static void add_to_chain(qv__engine *e, chain *c, qv__item *item, qv_status status, const char *text) {
    item->status = qv__fail(&item->error, status, "%s", text);
    item->finished_ns = qv__now_ns();
    item->state = QV__ITEM_DONE;
    count_finished(&e->stats, item);
    item->next = NULL;
    *c->last = item;
    c->last = &item->next;
}

static void call_back(qv__item *item) {
    for (qv__item *next; item; item = next) {
        next = item->next;
        item->done(item);
    }
}

static qv__item *take_expired(qv__engine *e) {
    chain c = {NULL, &c.first};
    int64_t now = qv__now_ns();
    for (qv__item *item; (item = qv__queue_take_expired(&e->queue, now));)
        add_to_chain(e, &c, item, QV_DEADLINE, "the deadline passed while the input waited");
    return c.first;
}

/* ---- the threads ---- */

int qv__engine_turn(qv__engine *e, qv__round *r) {
    pthread_mutex_lock(&e->lock);
    qv__item *expired = take_expired(e);
    int taken = qv__round_form(r);
    pthread_mutex_unlock(&e->lock);
    call_back(expired);
    if (taken > 0) qv__round_run(r);
    return taken;
}

static bool wait_for_work(qv__engine *e) {
    pthread_mutex_lock(&e->lock);
    if (e->busy_since_ns) e->stats.busy_ns += qv__now_ns() - e->busy_since_ns;
    e->busy_since_ns = 0;
    while (e->queue.items == 0 && !e->closing) pthread_cond_wait(&e->work, &e->lock);
    bool more = e->queue.items > 0;
    if (more) e->busy_since_ns = qv__now_ns();
    pthread_mutex_unlock(&e->lock);
    return more;
}

static void *worker_main(void *context) {
    qv__engine *e = context;
    while (wait_for_work(e)) qv__engine_turn(e, &e->rounds[0]);
    return NULL;
}

static void wait_for_deadline(qv__engine *e) {
    int64_t deadline = qv__queue_next_deadline(&e->queue);
    struct timespec at = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    if (deadline == INT64_MAX)
        pthread_cond_wait(&e->tick, &e->lock);
    else
        pthread_cond_timedwait(&e->tick, &e->lock, &at);
}

static void *timekeeper_main(void *context) {
    qv__engine *e = context;
    pthread_mutex_lock(&e->lock);
    while (!e->stop_timekeeper) {
        qv__item *expired = take_expired(e);
        if (!expired) {
            wait_for_deadline(e);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        call_back(expired);
        pthread_mutex_lock(&e->lock);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static void stop_timekeeper(qv__engine *e) {
    pthread_mutex_lock(&e->lock);
    e->stop_timekeeper = true;
    pthread_cond_signal(&e->tick);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->timekeeper, NULL);
}

static qv_status start_threads(qv__engine *e, qv_error *err) {
    if (pthread_create(&e->timekeeper, NULL, timekeeper_main, e))
        return qv__fail(err, QV_NO_MEMORY, "the engine's timekeeper thread cannot be started");
    if (pthread_create(&e->worker, NULL, worker_main, e) == 0) return QV_OK;
    stop_timekeeper(e);
    return qv__fail(err, QV_NO_MEMORY, "the engine's worker thread cannot be started");
}

/* ---- open and close ---- */

static void free_engine(qv__engine *e) {
    for (int i = 0; i < QV__ROUNDS; i++) qv__round_close(&e->rounds[i]);
    qv__prefix_store_close(&e->prefixes);
    qv__feature_store_close(&e->features);
    qv__recent_clear(&e->recent);
    qv__queue_close(&e->queue);
    pthread_cond_destroy(&e->work);
    pthread_cond_destroy(&e->tick);
    pthread_mutex_destroy(&e->lock);
    qv__free(e);
}

static void init_locks(qv__engine *e) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, NULL);
    pthread_cond_init(&e->tick, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static qv_status make_parts(qv__engine *e, qv_error *err) {
    qv__engine_options *o = &e->options;
    qv__backend *backend = qv__network_backend(e->network);
    size_t token_bytes = qv__network_prefix_bytes(e->network);
    bool nests = o->nested_tokens > 0;
    if (!qv__queue_open(&e->queue, nests ? (int32_t)o->nested_tokens : 0))
        return qv__fail(err, QV_NO_MEMORY, "out of memory for the queue");
    qv_status status = qv__round_open(&e->rounds[0], e, 0, o->max_batched_tokens, err);
    if (!status && nests) status = qv__round_open(&e->rounds[1], e, 1, o->nested_tokens, err);
    if (!status && o->prefix_cache_bytes > 0 && token_bytes > 0)
        status = qv__prefix_store_open(backend, token_bytes, o->prefix_cache_bytes, &e->prefixes, err);
    if (!status && o->image_cache_bytes > 0)
        status = qv__feature_store_open(backend, o->image_cache_bytes, &e->features, err);
    return status;
}

static qv_status check_options(qv__engine_options *o, qv_error *err) {
    if (o->max_batched_tokens == 0) o->max_batched_tokens = DEFAULT_BATCHED;
    if (o->nested_tokens == 0) o->nested_tokens = DEFAULT_NESTED;
    if (o->max_batched_tokens < 0 || o->max_batched_tokens > INT32_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "a batch of %lld tokens; 1 to %d can be computed together",
                        (long long)o->max_batched_tokens, INT32_MAX);
    if (o->nested_tokens > INT32_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "a nested batch of %lld tokens; at most %d can be computed together",
                        (long long)o->nested_tokens, INT32_MAX);
    return QV_OK;
}

qv_status qv__engine_open(qv__network *network, const qv__engine_options *options, qv__engine **out, qv_error *err) {
    qv__engine_options checked = *options;
    *out = NULL;
    qv_status status = check_options(&checked, err);
    if (status) return status;
    qv__engine *e = qv__calloc(1, sizeof *e);
    if (!e) return qv__fail(err, QV_NO_MEMORY, "out of memory for the engine");
    e->network = network;
    e->options = checked;
    e->opened_ns = qv__now_ns();
    init_locks(e);
    status = make_parts(e, err);
    if (!status) status = start_threads(e, err);
    if (status) return free_engine(e), status;
    *out = e;
    return QV_OK;
}

void qv__engine_close(qv__engine **engine, bool drain) {
    qv__engine *e = *engine;
    if (!e) return;
    chain cancelled = {NULL, &cancelled.first};
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    for (qv__item *item; !drain && (item = qv__queue_peek(&e->queue, false));) {
        qv__queue_take(&e->queue, item);
        add_to_chain(e, &cancelled, item, QV_CANCELLED, "the model is being closed");
    }
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->lock);
    call_back(cancelled.first);
    pthread_join(e->worker, NULL);
    stop_timekeeper(e);
    free_engine(e);
    *engine = NULL;
}

/* ---- in and out ---- */

static qv_status check_items(const qv__engine *e, qv__item *const *items, size_t count, int64_t *tokens,
                             qv_error *err) {
    int64_t max_items = e->options.max_queued_items, max_tokens = e->options.max_queued_tokens;
    *tokens = 0;
    for (size_t i = 0; i < count; i++) {
        const qv__item *item = items[i];
        if (item->sequence.length < 1) return qv__fail(err, QV_INVALID_ARGUMENT, "input %zu has no tokens", i + 1);
        if (!item->done || (!item->want_score && !item->hidden))
            return qv__fail(err, QV_INVALID_ARGUMENT, "input %zu has no place for its result", i + 1);
        *tokens += item->sequence.length;
    }
    if (max_items > 0 && (uint64_t)count > (uint64_t)max_items)
        return qv__fail(err, QV_TOO_LARGE, "%zu inputs at once; the queue holds %lld", count, (long long)max_items);
    if (max_tokens > 0 && *tokens > max_tokens)
        return qv__fail(err, QV_TOO_LARGE, "inputs of %lld tokens together; the queue holds %lld", (long long)*tokens,
                        (long long)max_tokens);
    return QV_OK;
}

/* With the lock held. */
static qv_status enqueue(qv__engine *e, qv__item *const *items, size_t count, int64_t tokens, qv_error *err) {
    int64_t max_items = e->options.max_queued_items, max_tokens = e->options.max_queued_tokens;
    const qv__queue *q = &e->queue;
    if (e->closing) return qv__fail(err, QV_SHUTTING_DOWN, "the model is being closed");
    if (max_items > 0 && (int64_t)count > max_items - q->items)
        return qv__fail(err, QV_OVERLOADED, "the queue holds %lld inputs, %lld wait and %zu more do not fit",
                        (long long)max_items, (long long)q->items, count);
    if (max_tokens > 0 && tokens > max_tokens - q->tokens)
        return qv__fail(err, QV_OVERLOADED, "the queue holds %lld tokens, %lld wait and %lld more do not fit",
                        (long long)max_tokens, (long long)q->tokens, (long long)tokens);
    int64_t next = qv__queue_next_deadline(q);
    if (!qv__queue_add(&e->queue, items, count))
        return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu more inputs in the queue", count);
    for (size_t i = 0; i < count; i++) items[i]->state = QV__ITEM_WAITING;
    if (qv__queue_next_deadline(q) < next) pthread_cond_signal(&e->tick);
    return QV_OK;
}

qv_status qv__engine_submit(qv__engine *e, qv__item *const *items, size_t count, qv_error *err) {
    int64_t tokens, now = qv__now_ns();
    qv_status status = check_items(e, items, count, &tokens, err);
    if (status || count == 0) return status;
    for (size_t i = 0; i < count; i++) {
        qv__item *item = items[i];
        item->status = QV_OK;
        item->error = (qv_error){.code = QV_OK};
        item->queued_ns = now;
        item->started_ns = item->finished_ns = item->prefix_tokens = 0;
        item->shared = 0;
    }
    if (e->prefixes) qv__items_find_shared(items, count); /* here, so that the lock is not held for it */
    pthread_mutex_lock(&e->lock);
    status = enqueue(e, items, count, tokens, err);
    pthread_mutex_unlock(&e->lock);
    if (!status) pthread_cond_signal(&e->work); /* with the lock free: the worker would wake up only to wait for it */
    return status;
}

void qv__engine_cancel(qv__engine *e, qv__item *item) {
    chain c = {NULL, &c.first};
    pthread_mutex_lock(&e->lock);
    if (item->state == QV__ITEM_WAITING) {
        qv__queue_remove(&e->queue, item);
        add_to_chain(e, &c, item, QV_CANCELLED, "the input was cancelled while it waited");
    }
    pthread_mutex_unlock(&e->lock);
    call_back(c.first);
}

void qv__engine_cancel_client(qv__engine *e, uint64_t client) {
    chain c = {NULL, &c.first};
    pthread_mutex_lock(&e->lock);
    for (qv__item *item; (item = qv__queue_take_client(&e->queue, client));)
        add_to_chain(e, &c, item, QV_CANCELLED, "the input was cancelled while it waited");
    pthread_mutex_unlock(&e->lock);
    call_back(c.first);
}

void qv__engine_get_stats(qv__engine *e, qv__engine_stats *stats) {
    pthread_mutex_lock(&e->lock);
    int64_t now = qv__now_ns();
    *stats = e->stats;
    stats->waiting_items = e->queue.items;
    stats->waiting_tokens = e->queue.tokens;
    stats->oldest_wait_ns = e->queue.items ? now - qv__queue_oldest(&e->queue) : 0;
    if (e->busy_since_ns) stats->busy_ns += now - e->busy_since_ns;
    stats->open_ns = now - e->opened_ns;
    pthread_mutex_unlock(&e->lock);
}

void qv__engine_get_waiting(qv__engine *e, uint64_t client, qv__engine_waiting *w) {
    pthread_mutex_lock(&e->lock);
    w->items = e->queue.items;
    w->tokens = e->queue.tokens;
    qv__queue_count_client(&e->queue, client, &w->own_items, &w->own_tokens);
    pthread_mutex_unlock(&e->lock);
}
