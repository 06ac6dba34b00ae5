/* The engine's own, shared by engine.c (the public side: submit, cancel, deadlines, close) and schedule.c (the
 * worker's side: forming batches and computing them). */
#ifndef QVEC_ENGINE_INTERNAL_H
#define QVEC_ENGINE_INTERNAL_H

#include <pthread.h>

#include "engine/feature_cache.h"
#include "engine/prefix_store.h"
#include "engine/queue.h"
#include "engine/recent.h"

enum { QV__ITEM_WAITING = 1, QV__ITEM_RUNNING, QV__ITEM_DONE };

/* How one item of a batch is computed: what it shares, and what it leaves for others. */
typedef struct {
    qv__prefix_entry *used, *begun; /* references; NULL: none */
    qv__prefix view;                /* of used */
} qv__plan;

/* A round of the worker: some items are taken, and computed in one forward pass (in several when memory is short).
 * Number 0 is the usual one, 1 the one nested in its pauses. Arrays hold `capacity` items. */
typedef struct {
    qv__engine *engine;
    int number;
    int capacity;
    int64_t budget;   /* rows */
    qv__item **items; /* [taken] out of the queue and not finished */
    int taken;
    qv__plan *plans; /* of items [first, first + planned): the batch being put together or computed */
    qv__batch_item *batch;
    qv_status *statuses;
    int first, planned;
    int64_t rows;                  /* computed tokens of the planned */
    int64_t longest;               /* of them, most for one item */
    int64_t started_ns, nested_ns; /* when the forward began; how much of it went to nested rounds */
} qv__round;

struct qv__engine {
    qv__network *network;
    qv__engine_options options;
    int64_t opened_ns;

    /* Innermost lock but for the device's: nothing is called back while it is held. The API's and the server's locks
     * are taken before it. It guards this block and the items' `state` and links. */
    pthread_mutex_t lock;
    pthread_cond_t work; /* the worker waits here for items, or for closing */
    pthread_cond_t tick; /* the timekeeper waits here for the earliest deadline (monotonic clock) */
    qv__queue queue;
    qv__engine_stats stats; /* but for what the queue and the clock tell */
    int64_t busy_since_ns;  /* 0: idle */
    bool closing, stop_timekeeper;

    /* The worker's alone, from open to close. */
    qv__prefix_store *prefixes;  /* NULL: off */
    qv__feature_store *features; /* NULL: off */
    qv__recent recent;
    qv__round rounds[QV__ROUNDS];

    pthread_t worker, timekeeper;
};

/* engine.c */
/* Marks items done, counts them in, and calls back. The lock is not held; items->status is set. */
void qv__engine_finish(qv__engine *engine, qv__item *const *items, int count);
/* Takes a batch (and what is past its deadline) out of the queue and computes it; how many items, 0: nothing waits. On
 * the worker's thread. */
int qv__engine_turn(qv__engine *engine, qv__round *round);

/* schedule.c */
qv_status qv__round_open(qv__round *round, qv__engine *engine, int number, int64_t budget, qv_error *err);
void qv__round_close(qv__round *round);
/* Takes a batch out of the queue, with the lock held; 0: nothing was taken. */
int qv__round_form(qv__round *round);
/* Computes and finishes what was taken. */
void qv__round_run(qv__round *round);
/* shared of each item: the most it has in common with another of them. */
void qv__items_find_shared(qv__item *const *items, size_t count);
#endif
