/* qv_model_embed and qv_model_rerank: any number of inputs through a bounded window, answers in the inputs' order.
 *
 * The calling thread and a few helpers take turns at whatever is next: settle what the engine has finished, or prepare
 * some more inputs and submit them, or wait. Inputs are submitted in groups, so that the engine sees what they have in
 * common, and at most about WINDOW_BATCHES batches of tokens are on their way, so memory does not grow with `count`. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "lib/session.h"

enum { GROUP_MAX = 64, WINDOW_ITEMS = 1024, WINDOW_BATCHES = 8, HELPERS_MAX = 16, RETRY_NS = 5000000 };

typedef struct call call;

/* An input on its way; lies in its item's arena. */
typedef struct flight {
    call *call;
    size_t index;
    qv__item *item;
    qv__prepared facts;
    struct flight *next;
} flight;

struct call {
    qv_model *model;
    size_t count;
    /* the two kinds of calls */
    const qv_input *inputs; /* or documents */
    qv__query *query;       /* NULL: embed */
    qv_embedding *embeddings;
    qv_score *scores;

    pthread_mutex_t lock; /* what follows; taken before the engine's never, after it never */
    pthread_cond_t change;
    size_t next, settled;  /* inputs taken so far; inputs whose result is written */
    int64_t items, tokens; /* submitted and not settled */
    flight *finished;
};

/* ---- results ---- */

static qv_status *status_of(const call *c, size_t i, qv_error **err) {
    *err = c->query ? &c->scores[i].error : &c->embeddings[i].error;
    return c->query ? &c->scores[i].status : &c->embeddings[i].status;
}

static void refuse(const call *c, size_t i, qv_status status, const qv_error *err) {
    qv_error *to;
    *status_of(c, i, &to) = status;
    *to = *err;
    to->code = status;
}

static void note_prepared(const call *c, size_t i, const qv__prepared *facts) {
    if (c->query) {
        c->scores[i].tokens = facts->tokens;
        c->scores[i].untruncated = facts->untruncated;
    } else {
        c->embeddings[i].tokens = facts->tokens;
        c->embeddings[i].untruncated = facts->untruncated;
    }
}

static qv_status write_result(const call *c, const flight *f, qv_error *err) {
    float *values = c->query ? &c->scores[f->index].score : NULL;
    if (!c->query) {
        qv_embedding *e = &c->embeddings[f->index];
        values = e->values = qv__alloc_array((size_t)f->facts.dimensions, sizeof *values);
        e->dimensions = f->facts.dimensions;
        if (!values) return qv__fail(err, QV_NO_MEMORY, "out of memory for an embedding");
    } else
        c->scores[f->index].logit = f->item->score;
    return qv__session_finish(f->item, &f->facts, values, err);
}

static void settle(const call *c, flight *f) {
    qv_error err = {0};
    qv_status status = write_result(c, f, &err);
    if (status) {
        refuse(c, f->index, status, &err);
        if (!c->query) {
            qv__free(c->embeddings[f->index].values);
            c->embeddings[f->index].values = NULL;
            c->embeddings[f->index].dimensions = 0;
        }
    }
    qv__item_free(f->item); /* f with it */
}

/* ---- into the engine ---- */

/* On the worker's thread. The call may end as soon as the lock is free again. */
static void done(qv__item *item) {
    flight *f = item->user;
    call *c = f->call;
    pthread_mutex_lock(&c->lock);
    f->next = c->finished;
    c->finished = f;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

static qv_status prepare(call *c, size_t i, flight **out, qv_error *err) {
    qv__prepared facts;
    qv__item *item;
    qv_status status = c->query
                           ? qv__session_prepare_document(c->model, c->query, &c->inputs[i], NULL, &item, &facts, err)
                           : qv__session_prepare(c->model, &c->inputs[i], NULL, &item, &facts, err);
    note_prepared(c, i, &facts);
    if (status) return status;
    flight *f = qv__arena_alloc(&item->arena, 1, sizeof *f);
    if (!f) {
        qv__item_free(item);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for an input");
    }
    *f = (flight){c, i, item, facts, NULL};
    item->user = f;
    item->done = done;
    item->client = (uint64_t)(uintptr_t)c;
    *out = f;
    return QV_OK;
}

/* Counted in before they are submitted: they may be done at once. */
static void count_in(call *c, int64_t items, int64_t tokens) {
    pthread_mutex_lock(&c->lock);
    c->items += items;
    c->tokens += tokens;
    pthread_mutex_unlock(&c->lock);
}

static void count_settled(call *c, size_t n) {
    pthread_mutex_lock(&c->lock);
    c->settled += n;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

/* Somebody else's items fill the queue: wait for room, however long that takes. */
static qv_status submit(call *c, qv__item *const *items, size_t n, qv_error *err) {
    qv_status status;
    while ((status = qv__engine_submit(c->model->engine, items, n, err)) == QV_OVERLOADED)
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    return status;
}

static void launch(call *c, flight *const *group, size_t n) {
    qv__item *items[GROUP_MAX];
    int64_t tokens = 0;
    qv_error err = {0};
    if (n == 0) return;
    for (size_t i = 0; i < n; i++) {
        items[i] = group[i]->item;
        tokens += items[i]->sequence.length;
    }
    count_in(c, (int64_t)n, tokens);
    qv_status status = submit(c, items, n, &err);
    if (!status) return;
    count_in(c, -(int64_t)n, -tokens);
    for (size_t i = 0; i < n; i++) {
        refuse(c, group[i]->index, status, &err);
        qv__item_free(items[i]);
    }
    count_settled(c, n);
}

/* ---- the crew ---- */

/* Takes inputs one at a time until they make a group. With the lock free. */
static void prepare_group(call *c) {
    flight *group[GROUP_MAX];
    size_t n = 0, most = c->model->options.max_queued_items < GROUP_MAX ? (size_t)c->model->options.max_queued_items
                                                                        : GROUP_MAX;
    int64_t tokens = 0;
    while (n < most && tokens < c->model->options.max_batched_tokens) {
        qv_error err = {0};
        pthread_mutex_lock(&c->lock);
        size_t i = c->next < c->count ? c->next++ : SIZE_MAX;
        pthread_mutex_unlock(&c->lock);
        if (i == SIZE_MAX) break;
        qv_status status = prepare(c, i, &group[n], &err);
        if (status) {
            refuse(c, i, status, &err);
            count_settled(c, 1);
        } else
            tokens += group[n++]->item->sequence.length;
    }
    launch(c, group, n);
}

static bool has_room(const call *c) {
    return c->items < WINDOW_ITEMS && c->tokens < WINDOW_BATCHES * c->model->options.max_batched_tokens;
}

static void settle_next(call *c) {
    flight *f = c->finished;
    int64_t tokens = f->item->sequence.length;
    c->finished = f->next;
    pthread_mutex_unlock(&c->lock);
    settle(c, f);
    pthread_mutex_lock(&c->lock);
    c->items--;
    c->tokens -= tokens;
    c->settled++;
    pthread_cond_broadcast(&c->change);
}

static void *work(void *context) {
    call *c = context;
    pthread_mutex_lock(&c->lock);
    while (c->settled < c->count) {
        if (c->finished) {
            settle_next(c);
        } else if (c->next < c->count && has_room(c)) {
            pthread_mutex_unlock(&c->lock);
            prepare_group(c);
            pthread_mutex_lock(&c->lock);
        } else
            pthread_cond_wait(&c->change, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* A call that finds no threads to help does it all itself. */
static void run(call *c) {
    pthread_t helpers[HELPERS_MAX];
    int count = 0, most = c->model->options.threads / 4 < HELPERS_MAX ? c->model->options.threads / 4 : HELPERS_MAX;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->change, NULL);
    while (count < most && (size_t)count + 1 < c->count && !pthread_create(&helpers[count], NULL, work, c)) count++;
    work(c);
    for (int i = 0; i < count; i++) pthread_join(helpers[i], NULL);
    pthread_cond_destroy(&c->change);
    pthread_mutex_destroy(&c->lock);
}

/* The first failure's, in the inputs' order. */
static qv_status first_failure(const call *c, qv_error *err) {
    for (size_t i = 0; i < c->count; i++) {
        qv_error *failed;
        qv_status status = *status_of(c, i, &failed);
        if (!status) continue;
        if (c->count == 1) return qv__fail(err, status, "%s", failed->message);
        return qv__fail(err, status, "%s %zu: %s", c->query ? "document" : "input", i, failed->message);
    }
    return QV_OK;
}

/* ---- the public calls ---- */

static qv_status check_lists(const void *in, const void *out, size_t count, qv_error *err) {
    if (count == 0 || (in && out)) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "%zu inputs, but no list of %s", count, in ? "results" : "them");
}

qv_status qv_model_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out, qv_error *err) {
    qv_status status = check_lists(inputs, out, count, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) out[i] = (qv_embedding){.prompt = inputs[i].prompt};
    call c = {.model = model, .count = count, .inputs = inputs, .embeddings = out};
    run(&c);
    return first_failure(&c, err);
}

qv_status qv_model_rerank(qv_model *model, const qv_input *query, const qv_input *documents, size_t count,
                          qv_score *out, qv_error *err) {
    qv_error reason = {0};
    qv_status status = check_lists(documents, out, count, err);
    if (status) return status;
    if (!query) return qv__fail(err, QV_INVALID_ARGUMENT, "there is no query");
    for (size_t i = 0; i < count; i++) out[i] = (qv_score){.status = QV_OK};
    call c = {.model = model, .count = count, .inputs = documents, .scores = out};
    status = qv__query_open(model, query, NULL, &c.query, &reason);
    if (status) {
        for (size_t i = 0; i < count; i++) out[i] = (qv_score){.status = status, .error = reason};
        return qv__fail(err, status, "%s", reason.message);
    }
    run(&c);
    status = first_failure(&c, err);
    qv__query_release(&c.query);
    return status;
}

void qv_embedding_clear(qv_embedding *results, size_t count) {
    for (size_t i = 0; i < count; i++) qv__free(results[i].values);
    if (count) memset(results, 0, count * sizeof *results);
}
