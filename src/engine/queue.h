/* The waiting items: a lane for each client that has any, in a ring; and a heap by deadline.
 *
 * A lane has two lists, of short and of long items, each in the order of submission: usually the older head of the two
 * is next, and a nested batch takes short ones only. A pure data structure: whoever calls holds the engine's lock. */
#ifndef QVEC_ENGINE_QUEUE_H
#define QVEC_ENGINE_QUEUE_H

#include "engine/engine.h"

typedef struct qv__lane qv__lane;

typedef struct {
    int32_t short_tokens; /* an item is short up to this length */
    int64_t items, tokens, short_items;
    qv__lane *turn; /* whose turn it is; NULL: nobody waits */
    int64_t lanes;
    qv__lane **buckets; /* lanes by client */
    qv__item **heap;    /* [heap_count], the earliest deadline first */
    size_t heap_count, heap_capacity;
    uint64_t order;
} qv__queue;

bool qv__queue_open(qv__queue *queue, int32_t short_tokens); /* false: no memory */
void qv__queue_close(qv__queue *queue);                      /* must be empty */

/* All or, when memory is short, none. */
bool qv__queue_add(qv__queue *queue, qv__item *const *items, size_t count);
void qv__queue_remove(qv__queue *queue, qv__item *item);

/* The next item of the lane whose turn it is; with short_only, of the first in turn that has a short one (the turn
 * passes to it). NULL: none. */
qv__item *qv__queue_peek(qv__queue *queue, bool short_only);
/* Removes what peek gave, and the turn passes on. */
void qv__queue_take(qv__queue *queue, qv__item *item);
void qv__queue_skip(qv__queue *queue); /* the turn passes on */

int64_t qv__queue_oldest(const qv__queue *queue);        /* when it was submitted; INT64_MAX: none waits */
int64_t qv__queue_next_deadline(const qv__queue *queue); /* INT64_MAX: none */
/* Removes and gives an item whose deadline is not after `now`; NULL: none. */
qv__item *qv__queue_take_expired(qv__queue *queue, int64_t now);
/* How much of it is a client's. */
void qv__queue_count_client(const qv__queue *queue, uint64_t client, int64_t *items, int64_t *tokens);
/* Removes and gives an item of this client; NULL: none. */
qv__item *qv__queue_take_client(qv__queue *queue, uint64_t client);
#endif
