#include "api/pool.h"

#include <pthread.h>

#include "base/memory.h"

typedef struct {
    qv__work *head, **tail;
} line;

struct qv__pool {
    pthread_mutex_t lock; /* innermost: nothing is called while it is held */
    pthread_cond_t more;
    line fresh, urgent;
    size_t waiting, max_waiting; /* in fresh */
    bool closing;
    int count;
    pthread_t *threads;
};

static void put(line *l, qv__work *work) {
    work->next = NULL;
    *l->tail = work;
    l->tail = &work->next;
}

static qv__work *take(line *l) {
    qv__work *work = l->head;
    if (!work) return NULL;
    l->head = work->next;
    if (!l->head) l->tail = &l->head;
    return work;
}

static void *pool_main(void *context) {
    qv__pool *p = context;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        qv__work *work = take(&p->urgent);
        if (!work && (work = take(&p->fresh))) p->waiting--;
        if (work) {
            pthread_mutex_unlock(&p->lock);
            work->run(work); /* may free itself */
            pthread_mutex_lock(&p->lock);
        } else if (p->closing) {
            break;
        } else {
            pthread_cond_wait(&p->more, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

qv__pool *qv__pool_open(int threads, size_t max_waiting) {
    qv__pool *p = qv__calloc(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->fresh.tail = &p->fresh.head;
    p->urgent.tail = &p->urgent.head;
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
    bool room = p->waiting < p->max_waiting;
    if (room) {
        put(&p->fresh, work);
        p->waiting++;
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->lock);
    return room;
}

void qv__pool_add_urgent(qv__pool *p, qv__work *work) {
    pthread_mutex_lock(&p->lock);
    put(&p->urgent, work);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}
