/* The queue before the device: items in, batches by token budget, one worker, results by callback.
 *
 * An item is submitted once and finished exactly once: computed, failed, cancelled, or past its deadline. Clients take
 * turns, item by item; items of one client go in the order of submission, but while a long item is being computed
 * (more than nested_tokens) short ones that wait are computed in its pauses, for at most about half of the time.
 *
 * Tokens that prompts begin with in common are computed once: among the items of one submit, with prompts of late, and
 * with what the prefix store holds. What is computed for an item does not depend on any of this, to the byte. */
#ifndef QVEC_ENGINE_ENGINE_H
#define QVEC_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "base/memory.h"
#include "model/network.h"

typedef struct qv__engine qv__engine;
typedef struct qv__item qv__item;

struct qv__item {
    /* the caller's, set before submit */
    qv__arena arena; /* owns everything the item points to */
    qv__sequence sequence;
    bool want_score;              /* else the hidden state */
    int64_t deadline_ns;          /* qv__now_ns clock; 0: none */
    const atomic_bool *unwanted;  /* NULL, or whether the caller has lost interest: a batch of such items is given up */
    uint64_t client;              /* fairness key: items of one client wait for each other, not for all */
    void (*done)(qv__item *item); /* on the worker's thread (or the canceller's), no locks held; must not block;
                                     the item is the caller's again from here on */
    void *user;

    /* results, valid in done and after */
    qv_status status;
    qv_error error;
    float *hidden; /* [hidden size], allocated in the arena by submit's caller */
    float score;   /* the logit h · (W_yes - W_no) */
    int64_t queued_ns, started_ns, finished_ns;
    int64_t prefix_tokens; /* how many tokens came from the prefix store */

    /* the engine's, while the item is its own */
    struct qv__item *next, *previous;
    struct qv__lane *lane; /* where it waits */
    uint64_t order;        /* of submission */
    size_t heap_index;     /* among the waiting items that have a deadline */
    int32_t shared;        /* tokens it begins with in common with another item of its submit */
    int state;             /* under the engine's lock */
};

typedef struct {
    int64_t max_batched_tokens; /* budget of a batch in computed tokens; a longer item runs alone; 0: 2048 */
    int64_t nested_tokens;      /* most tokens of a nested forward; must be the network's; 0: 1024, negative: none */
    int64_t max_queued_items, max_queued_tokens;   /* 0: no limit */
    int64_t image_cache_bytes, prefix_cache_bytes; /* 0: off */
} qv__engine_options;

/* How often a batch had how many: counts[k] are those of more than 2^(k-1) and at most 2^k; the last are all larger. */
enum { QV__SIZE_STEPS = 18 };
typedef struct {
    int64_t counts[QV__SIZE_STEPS], sum;
} qv__sizes;

typedef struct {
    int64_t waiting_items, waiting_tokens, running_items;
    int64_t oldest_wait_ns;              /* of those that wait */
    qv__sizes batch_items, batch_tokens; /* tokens: those that were computed, without what a prefix spared */
    int64_t finished_items, finished_tokens, batches, failed_items, cancelled_items, expired_items;
    int64_t nested_batches;   /* those of `batches` that ran inside another */
    int64_t busy_ns, open_ns; /* time the worker spent computing, and since open */
    int64_t image_hits, image_misses, image_bytes, image_evictions;
    int64_t prefix_hits, prefix_misses, prefix_bytes, prefix_evictions;
    int64_t prefix_tokens; /* tokens that did not have to be computed */
} qv__engine_stats;

/* The engine uses the network until close and does not own it. */
qv_status qv__engine_open(qv__network *network, const qv__engine_options *options, qv__engine **out, qv_error *err);
/* Finishes what is queued when `drain`, else cancels it; then stops the worker. */
void qv__engine_close(qv__engine **engine, bool drain);

/* Takes all `count` items or none: QV_OVERLOADED, QV_SHUTTING_DOWN; QV_TOO_LARGE when even an empty queue could not
 * hold them. Any thread. done may run before this returns. */
qv_status qv__engine_submit(qv__engine *engine, qv__item *const *items, size_t count, qv_error *err);
/* An item still waiting is finished now with QV_CANCELLED; one being computed, or finished and not yet submitted again,
 * is left alone. Any thread. */
void qv__engine_cancel(qv__engine *engine, qv__item *item);
/* The same for all of a client's items that wait. */
void qv__engine_cancel_client(qv__engine *engine, uint64_t client);
void qv__engine_get_stats(qv__engine *engine, qv__engine_stats *stats);

typedef struct {
    int64_t items, tokens;         /* all that wait */
    int64_t own_items, own_tokens; /* those of one client */
} qv__engine_waiting;
void qv__engine_get_waiting(qv__engine *engine, uint64_t client, qv__engine_waiting *waiting);
#endif
