/* How fast the queue drains, as measured of late: what Retry-After says. */
#ifndef QVEC_API_DRAIN_H
#define QVEC_API_DRAIN_H

#include <pthread.h>

#include "engine/engine.h"

/* Zero-initialise, then qv__drain_open. */
typedef struct {
    pthread_mutex_t lock;
    int64_t at_ns, busy_ns, tokens; /* of the last look */
    double ns_per_token;            /* 0: nothing has been computed yet */
} qv__drain;

void qv__drain_open(qv__drain *drain);
void qv__drain_close(qv__drain *drain);
/* Seconds until what waits now will have been computed, and `before` seconds of other work, from 1 to 60. */
int qv__drain_seconds(qv__drain *drain, qv__engine *engine, double before);
#endif
