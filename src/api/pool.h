/* The threads that parse requests, prepare inputs and write answers. New work waits in a bounded line, in which clients
 * take turns; the answers of finished requests go before it, because they free memory and somebody already waited for
 * them. */
#ifndef QVEC_API_POOL_H
#define QVEC_API_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qv__pool qv__pool;

typedef struct qv__work {
    void (*run)(struct qv__work *work);
    uint64_t client; /* whose turn it takes; 0: nobody's in particular */
    /* the pool's */
    struct qv__work *next;                       /* of the same client */
    struct qv__work *last, *next_client, *chain; /* of a client's first: its last, whose turn is next, the bucket */
    size_t count;                                /* of a client's first: how many of its pieces wait */
} qv__work;

qv__pool *qv__pool_open(int threads, size_t max_waiting); /* NULL: no memory or no threads */
/* All work must have been done. */
void qv__pool_close(qv__pool **pool);
/* False when max_waiting pieces wait already; the last eighth of them is kept from a client of whom an eighth waits, 0
 * excepted. */
bool qv__pool_add(qv__pool *pool, qv__work *work);
/* Seconds until what waits now will have been done, by how long such work took of late. */
double qv__pool_seconds(qv__pool *pool);
/* Never refused, goes first. Any thread; does not block beyond a short lock. */
void qv__pool_add_urgent(qv__pool *pool, qv__work *work);
#endif
