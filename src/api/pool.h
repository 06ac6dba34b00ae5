/* The threads that parse requests, prepare inputs and write answers. New work waits in a bounded line; the answers
 * of finished requests go before it, because they free memory and somebody already waited for them. */
#ifndef QVEC_API_POOL_H
#define QVEC_API_POOL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct qv__pool qv__pool;

typedef struct qv__work {
    struct qv__work *next;
    void (*run)(struct qv__work *work);
} qv__work;

qv__pool *qv__pool_open(int threads, size_t max_waiting); /* NULL: no memory or no threads */
/* All work must have been done. */
void qv__pool_close(qv__pool **pool);
/* False when max_waiting pieces wait already. */
bool qv__pool_add(qv__pool *pool, qv__work *work);
/* Never refused, goes first. Any thread; does not block beyond a short lock. */
void qv__pool_add_urgent(qv__pool *pool, qv__work *work);
#endif
