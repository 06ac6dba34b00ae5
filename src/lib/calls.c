/* qv_model_embed and qv_model_rerank, whole and as jobs: any number of inputs through a bounded window, answers in the
 * inputs' order.
 *
 * The thread that waits and a few helpers take turns at whatever is next: settle what the engine has finished, or
 * prepare some more inputs and submit them, or wait. Inputs are submitted in groups, so that the engine sees what they
 * have in common, and at most about WINDOW_BATCHES batches of tokens are on their way, so memory does not grow with
 * `count`. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "lib/session.h"

enum { GROUP_MAX = 64, WINDOW_ITEMS = 1024, WINDOW_BATCHES = 8, HELPERS_MAX = 16, RETRY_NS = 5000000 };
enum { GROUP_NS = 20000000 /* a group is not cut short by the end of a wait before it took so long */ };

/* An input on its way; lies in its item's arena. */
typedef struct flight {
    qv_job *job;
    size_t index;
    qv__item *item;
    qv__prepared facts;
    struct flight *next;
} flight;

struct qv_job {
    qv_model *model;
    size_t count;
    /* the two kinds of jobs */
    const qv_input *inputs; /* or documents */
    qv__query *query;       /* NULL: embed */
    qv_embedding *embeddings;
    float *matrix; /* NULL, or the caller's, [count][stride] */
    size_t stride;
    qv_score *scores;

    atomic_bool cancelled;
    pthread_t helpers[HELPERS_MAX];
    int helper_count;

    pthread_mutex_t lock; /* what follows; taken before the engine's never, after it never */
    pthread_cond_t change;
    size_t next, settled;  /* inputs taken so far; inputs whose result is written */
    int64_t items, tokens; /* submitted and not settled */
    int64_t settled_tokens;
    flight *finished;
};

/* ---- results ---- */

static qv_status *status_of(const qv_job *c, size_t i, qv_error **err) {
    *err = c->query ? &c->scores[i].error : &c->embeddings[i].error;
    return c->query ? &c->scores[i].status : &c->embeddings[i].status;
}

static void refuse(const qv_job *c, size_t i, qv_status status, const qv_error *err) {
    qv_error *to;
    *status_of(c, i, &to) = status;
    *to = *err;
    to->code = status;
}

static void note_prepared(const qv_job *c, size_t i, const qv__prepared *facts) {
    if (c->query) {
        c->scores[i].tokens = facts->tokens;
        c->scores[i].untruncated = facts->untruncated;
    } else {
        c->embeddings[i].tokens = facts->tokens;
        c->embeddings[i].untruncated = facts->untruncated;
    }
}

static qv_status write_result(const qv_job *c, const flight *f, qv_error *err) {
    float *values = c->query ? &c->scores[f->index].score : NULL;
    if (!c->query) {
        qv_embedding *e = &c->embeddings[f->index];
        values = c->matrix ? c->matrix + f->index * c->stride
                           : (e->values = qv__alloc_array((size_t)f->facts.dimensions, sizeof *values));
        e->dimensions = f->facts.dimensions;
        if (!values) return qv__fail(err, QV_NO_MEMORY, "out of memory for an embedding");
    } else
        c->scores[f->index].logit = f->item->score;
    return qv__session_finish(f->item, &f->facts, values, err);
}

static void settle(const qv_job *c, flight *f) {
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

static uint64_t client_of(const qv_job *c) {
    return (uint64_t)(uintptr_t)c;
}

static bool is_cancelled(const qv_job *c) {
    return atomic_load_explicit(&c->cancelled, memory_order_relaxed);
}

/* On the worker's thread. The job may end as soon as the lock is free again. */
static void done(qv__item *item) {
    flight *f = item->user;
    qv_job *c = f->job;
    pthread_mutex_lock(&c->lock);
    f->next = c->finished;
    c->finished = f;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

static qv_status prepare(qv_job *c, size_t i, flight **out, qv_error *err) {
    qv__prepared facts;
    qv__item *item;
    qv_status status = c->query
                           ? qv__session_prepare_document(c->model, c->query, &c->inputs[i], NULL, &item, &facts, err)
                           : qv__session_prepare(c->model, &c->inputs[i], NULL, &item, &facts, err);
    note_prepared(c, i, &facts);
    if (status) return status;
    if (c->matrix && (size_t)facts.dimensions > c->stride) {
        qv__item_free(item);
        return qv__fail(err, QV_INVALID_ARGUMENT, "%d dimensions; the matrix has room for %zu", facts.dimensions,
                        c->stride);
    }
    flight *f = qv__arena_alloc(&item->arena, 1, sizeof *f);
    if (!f) {
        qv__item_free(item);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for an input");
    }
    *f = (flight){c, i, item, facts, NULL};
    item->user = f;
    item->done = done;
    item->client = client_of(c);
    item->unwanted = &c->cancelled;
    *out = f;
    return QV_OK;
}

/* Counted in before they are submitted: they may be done at once. */
static void count_in(qv_job *c, int64_t items, int64_t tokens) {
    pthread_mutex_lock(&c->lock);
    c->items += items;
    c->tokens += tokens;
    pthread_mutex_unlock(&c->lock);
}

static void count_settled(qv_job *c, size_t n) {
    pthread_mutex_lock(&c->lock);
    c->settled += n;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

/* Somebody else's items fill the queue: wait for room, however long that takes. */
static qv_status submit(qv_job *c, qv__item *const *items, size_t n, qv_error *err) {
    qv_status status;
    while ((status = qv__engine_submit(c->model->engine, items, n, err)) == QV_OVERLOADED && !is_cancelled(c))
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    if (status == QV_OVERLOADED) return qv__fail(err, QV_CANCELLED, "the input was cancelled before it was queued");
    if (is_cancelled(c)) qv__engine_cancel_client(c->model->engine, client_of(c)); /* it may have come before these */
    return status;
}

static void launch(qv_job *c, flight *const *group, size_t n) {
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

static qv_status prepare_wanted(qv_job *c, size_t i, flight **out, qv_error *err) {
    if (is_cancelled(c)) return qv__fail(err, QV_CANCELLED, "the input was cancelled before it was read");
    return prepare(c, i, out, err);
}

/* Takes inputs one at a time until they make a group. With the lock free. */
static void prepare_group(qv_job *c, int64_t deadline) {
    flight *group[GROUP_MAX];
    size_t n = 0, most = c->model->options.max_queued_items < GROUP_MAX ? (size_t)c->model->options.max_queued_items
                                                                        : GROUP_MAX;
    int64_t tokens = 0, least = qv__now_ns() + GROUP_NS;
    if (deadline < least) deadline = least;
    while (n < most && tokens < c->model->options.max_batched_tokens && (n == 0 || qv__now_ns() < deadline)) {
        qv_error err = {0};
        pthread_mutex_lock(&c->lock);
        size_t i = c->next < c->count ? c->next++ : SIZE_MAX;
        pthread_mutex_unlock(&c->lock);
        if (i == SIZE_MAX) break;
        qv_status status = prepare_wanted(c, i, &group[n], &err);
        if (status) {
            refuse(c, i, status, &err);
            count_settled(c, 1);
        } else
            tokens += group[n++]->item->sequence.length;
    }
    launch(c, group, n);
}

static bool has_room(const qv_job *c) {
    return c->items < WINDOW_ITEMS && c->tokens < WINDOW_BATCHES * c->model->options.max_batched_tokens;
}

static void settle_next(qv_job *c) {
    flight *f = c->finished;
    int64_t tokens = f->item->sequence.length;
    c->finished = f->next;
    pthread_mutex_unlock(&c->lock);
    settle(c, f);
    pthread_mutex_lock(&c->lock);
    c->items--;
    c->tokens -= tokens;
    c->settled_tokens += tokens;
    c->settled++;
    pthread_cond_broadcast(&c->change);
}

static void wait_for_change(qv_job *c, int64_t deadline) {
    struct timespec at = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    if (deadline == INT64_MAX)
        pthread_cond_wait(&c->change, &c->lock);
    else
        pthread_cond_timedwait(&c->change, &c->lock, &at);
}

/* Whether all is settled. Takes a step at least, unless there is nothing to do but wait. */
static bool work_until(qv_job *c, int64_t deadline) {
    pthread_mutex_lock(&c->lock);
    while (c->settled < c->count) {
        if (c->finished) {
            settle_next(c);
        } else if (c->next < c->count && has_room(c)) {
            pthread_mutex_unlock(&c->lock);
            prepare_group(c, deadline);
            pthread_mutex_lock(&c->lock);
        } else if (qv__now_ns() < deadline)
            wait_for_change(c, deadline);
        if (deadline != INT64_MAX && qv__now_ns() >= deadline) break;
    }
    bool all = c->settled == c->count;
    pthread_mutex_unlock(&c->lock);
    return all;
}

static void *work(void *context) {
    work_until(context, INT64_MAX);
    return NULL;
}

/* A job that finds no threads to help is done by who waits for it. */
static void start(qv_job *c) {
    pthread_condattr_t monotonic;
    int most = c->model->options.threads / 4 < HELPERS_MAX ? c->model->options.threads / 4 : HELPERS_MAX;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    while (c->helper_count < most && (size_t)c->helper_count + 1 < c->count &&
           !pthread_create(&c->helpers[c->helper_count], NULL, work, c))
        c->helper_count++;
}

/* The first failure's, in the inputs' order. */
static qv_status first_failure(const qv_job *c, qv_error *err) {
    for (size_t i = 0; i < c->count; i++) {
        qv_error *failed;
        qv_status status = *status_of(c, i, &failed);
        if (!status) continue;
        if (c->count == 1) return qv__fail(err, status, "%s", failed->message);
        return qv__fail(err, status, "%s %zu: %s", c->query ? "document" : "input", i, failed->message);
    }
    return QV_OK;
}

static qv_status finish(qv_job *c, qv_error *err) {
    work(c);
    for (int i = 0; i < c->helper_count; i++) pthread_join(c->helpers[i], NULL);
    pthread_cond_destroy(&c->change);
    pthread_mutex_destroy(&c->lock);
    qv_status status = first_failure(c, err);
    if (c->query) qv__query_release(&c->query);
    return status;
}

/* ---- the public calls ---- */

static qv_status check_lists(const void *in, const void *out, size_t count, qv_error *err) {
    if (count == 0 || (in && out)) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "%zu inputs, but no list of %s", count, in ? "results" : "them");
}

static qv_status init_embed(qv_job *c, qv_error *err) {
    qv_status status = check_lists(c->inputs, c->embeddings, c->count, err);
    if (status) return status;
    for (size_t i = 0; i < c->count; i++) c->embeddings[i] = (qv_embedding){.prompt = c->inputs[i].prompt};
    return QV_OK;
}

static qv_status init_rerank(qv_job *c, const qv_input *query, qv_error *err) {
    qv_error reason = {0};
    qv_status status = check_lists(c->inputs, c->scores, c->count, err);
    if (status) return status;
    if (!query) return qv__fail(err, QV_INVALID_ARGUMENT, "there is no query");
    for (size_t i = 0; i < c->count; i++) c->scores[i] = (qv_score){.status = QV_OK};
    status = qv__query_open(c->model, query, NULL, &c->query, &reason);
    if (!status) return QV_OK;
    for (size_t i = 0; i < c->count; i++) c->scores[i] = (qv_score){.status = status, .error = reason};
    return qv__fail(err, status, "%s", reason.message);
}

static qv_status run(qv_job *c, qv_error *err) {
    start(c);
    return finish(c, err);
}

qv_status qv_model_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out, qv_error *err) {
    qv_job c = {.model = model, .count = count, .inputs = inputs, .embeddings = out};
    qv_status status = init_embed(&c, err);
    return status ? status : run(&c, err);
}

qv_status qv_model_rerank(qv_model *model, const qv_input *query, const qv_input *documents, size_t count,
                          qv_score *out, qv_error *err) {
    qv_job c = {.model = model, .count = count, .inputs = documents, .scores = out};
    qv_status status = init_rerank(&c, query, err);
    return status ? status : run(&c, err);
}

/* ---- jobs ---- */

static qv_status new_job(qv_model *model, const qv_input *inputs, size_t count, qv_job **job, qv_error *err) {
    *job = qv__calloc(1, sizeof **job);
    if (!*job) return qv__fail(err, QV_NO_MEMORY, "out of memory for a job");
    (*job)->model = model;
    (*job)->inputs = inputs;
    (*job)->count = count;
    return QV_OK;
}

static qv_status start_or_drop(qv_job **job, qv_status status) {
    if (status) {
        qv__free(*job);
        *job = NULL;
    } else
        start(*job);
    return status;
}

qv_status qv_job_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out, float *matrix,
                       size_t stride, qv_job **job, qv_error *err) {
    qv_status status = new_job(model, inputs, count, job, err);
    if (status) return status;
    (*job)->embeddings = out;
    (*job)->matrix = matrix;
    (*job)->stride = stride;
    return start_or_drop(job, init_embed(*job, err));
}

qv_status qv_job_rerank(qv_model *model, const qv_input *query, const qv_input *documents, size_t count, qv_score *out,
                        qv_job **job, qv_error *err) {
    qv_status status = new_job(model, documents, count, job, err);
    if (status) return status;
    (*job)->scores = out;
    return start_or_drop(job, init_rerank(*job, query, err));
}

bool qv_job_wait(qv_job *job, double seconds) {
    int64_t now = qv__now_ns();
    bool forever = !(seconds * 1e9 < (double)(INT64_MAX / 2)); /* NaN too */
    return work_until(job, forever ? INT64_MAX : seconds > 0 ? now + (int64_t)(seconds * 1e9) : now);
}

void qv_job_progress(qv_job *job, size_t *finished, int64_t *tokens) {
    pthread_mutex_lock(&job->lock);
    *finished = job->settled;
    *tokens = job->settled_tokens;
    pthread_mutex_unlock(&job->lock);
}

void qv_job_cancel(qv_job *job) {
    atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
    qv__engine_cancel_client(job->model->engine, client_of(job));
}

qv_status qv_job_end(qv_job **job, qv_error *err) {
    if (!job || !*job) return QV_OK;
    qv_status status = finish(*job, err);
    qv__free(*job);
    *job = NULL;
    return status;
}

void qv_embedding_clear(qv_embedding *results, size_t count) {
    for (size_t i = 0; i < count; i++) qv__free(results[i].values);
    if (count) memset(results, 0, count * sizeof *results);
}
