/* A pool for one compute job at a time: the caller and its helpers share out `tasks` numbered tasks.
 *
 * Which thread runs which task is not fixed, so a task's result must not depend on it. Helpers spin for a
 * short while between jobs and then sleep. Only one thread at a time may call qv__threads_run on a pool. */
#ifndef QVEC_BASE_THREADS_H
#define QVEC_BASE_THREADS_H

#include <stddef.h>

typedef struct qv__threads qv__threads;

/* count >= 1 is the number of threads that work, the caller included. NULL when out of memory or threads. */
qv__threads *qv__threads_open(int count);
void qv__threads_close(qv__threads **threads);
int qv__threads_count(const qv__threads *threads);

/* Runs task(context, i, worker) for i in [0, tasks); worker in [0, count) is unique among those running at
 * the same moment (for per-worker scratch). Returns when all are done. */
void qv__threads_run(qv__threads *threads, size_t tasks, void (*task)(void *context, size_t i, int worker),
                     void *context);

/* CPUs this process may use: the affinity mask's, or fewer when a control group leaves it less; at least 1. */
int qv__cpu_count(void);
#endif
