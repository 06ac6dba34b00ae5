#include "api/pool.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"

enum { BUCKETS = 256, WEIGHT_OF_LAST = 8 };

struct qv__pool {
    pthread_mutex_t lock; /* innermost: nothing is called while it is held */
    pthread_cond_t more;
    qv__work *urgent, **urgent_end;
    qv__work *turns, **turns_end; /* the first work of each client, by next_client: the first one's turn is next */
    qv__work *buckets[BUCKETS];   /* the same by client, by chain */
    size_t waiting, max_waiting;  /* without the urgent */
    double mean_ns;               /* of late, of what was not urgent */
    bool closing;
    int count;
    pthread_t *threads;
};

/* ---- the line, with the lock held ---- */

/* Where the client's first work is, or would be linked. */
static qv__work **find(qv__pool *p, uint64_t client) {
    qv__work **at = &p->buckets[qv__mix64(client) % BUCKETS];
    while (*at && (*at)->client != client) at = &(*at)->chain;
    return at;
}

/* A client's first work: its turn comes after those of all others. */
static void take_last_turn(qv__pool *p, qv__work *first) {
    first->next_client = NULL;
    *p->turns_end = first;
    p->turns_end = &first->next_client;
}

/* A client of whom much waits leaves the last eighth to others. */
static bool has_room(const qv__pool *p, const qv__work *first, uint64_t client) {
    size_t eighth = p->max_waiting / 8;
    return p->waiting < p->max_waiting - (first && client && first->count >= eighth ? eighth : 0);
}

static bool put(qv__pool *p, qv__work *work) {
    qv__work **at = find(p, work->client), *first = *at;
    if (!has_room(p, first, work->client)) return false;
    work->next = NULL;
    p->waiting++;
    if (first) {
        first->last->next = work;
        first->last = work;
        first->count++;
    } else {
        work->last = work;
        work->count = 1;
        work->chain = NULL;
        *at = work;
        take_last_turn(p, work);
    }
    return true;
}

static qv__work *take(qv__pool *p) {
    qv__work *work = p->turns, *next;
    if (!work) return NULL;
    p->waiting--;
    p->turns = work->next_client;
    if (!p->turns) p->turns_end = &p->turns;
    qv__work **at = find(p, work->client);
    if ((next = work->next)) {
        next->last = work->last;
        next->count = work->count - 1;
        next->chain = work->chain;
        *at = next;
        take_last_turn(p, next);
    } else {
        *at = work->chain;
    }
    return work;
}

static qv__work *take_urgent(qv__pool *p) {
    qv__work *work = p->urgent;
    if (!work) return NULL;
    p->urgent = work->next;
    if (!p->urgent) p->urgent_end = &p->urgent;
    return work;
}

/* ---- the threads ---- */

/* Gives the lock back while it runs. */
static void run(qv__pool *p, qv__work *work, bool urgent) {
    pthread_mutex_unlock(&p->lock);
    int64_t begun = qv__now_ns();
    work->run(work); /* may free itself */
    int64_t spent = qv__now_ns() - begun;
    pthread_mutex_lock(&p->lock);
    if (!urgent) p->mean_ns += ((double)spent - p->mean_ns) / WEIGHT_OF_LAST;
}

static void *pool_main(void *context) {
    qv__pool *p = context;
    qv__work *work;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        if ((work = take_urgent(p)))
            run(p, work, true);
        else if ((work = take(p)))
            run(p, work, false);
        else if (p->closing)
            break;
        else
            pthread_cond_wait(&p->more, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

qv__pool *qv__pool_open(int threads, size_t max_waiting) {
    qv__pool *p = qv__calloc(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->urgent_end = &p->urgent;
    p->turns_end = &p->turns;
    p->max_waiting = max_waiting;
    p->threads = qv__calloc((size_t)threads, sizeof *p->threads);
    while (p->threads && p->count < threads && !pthread_create(&p->threads[p->count], NULL, pool_main, p)) p->count++;
    if (p->count < threads) qv__pool_close(&p);
    return p;
}

void qv__pool_close(qv__pool **pool) {
    qv__pool *p = *pool;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->count; i++) pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
    qv__free(p->threads);
    qv__free(p);
    *pool = NULL;
}

bool qv__pool_add(qv__pool *p, qv__work *work) {
    pthread_mutex_lock(&p->lock);
    bool room = put(p, work);
    if (room) pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
    return room;
}

void qv__pool_add_urgent(qv__pool *p, qv__work *work) {
    pthread_mutex_lock(&p->lock);
    work->next = NULL;
    *p->urgent_end = work;
    p->urgent_end = &work->next;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

double qv__pool_seconds(qv__pool *p) {
    pthread_mutex_lock(&p->lock);
    double ns = p->mean_ns * (double)p->waiting / p->count;
    pthread_mutex_unlock(&p->lock);
    return ns * 1e-9;
}
