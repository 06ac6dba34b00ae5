#include "lib/gate.h"

#include <pthread.h>

#include "base/memory.h"

struct qv__gate {
    pthread_mutex_t lock; /* a leaf: nothing else is locked while it is held */
    pthread_cond_t left;
    int places;
};

qv__gate *qv__gate_open(int places) {
    qv__gate *g = qv__malloc(sizeof *g);
    if (!g) return NULL;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->left, NULL);
    g->places = places;
    return g;
}

void qv__gate_close(qv__gate **gate) {
    if (!*gate) return;
    pthread_cond_destroy(&(*gate)->left);
    pthread_mutex_destroy(&(*gate)->lock);
    qv__free(*gate);
    *gate = NULL;
}

void qv__gate_enter(qv__gate *g) {
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    while (g->places == 0) pthread_cond_wait(&g->left, &g->lock);
    g->places--;
    pthread_mutex_unlock(&g->lock);
}

void qv__gate_leave(qv__gate *g) {
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    g->places++;
    pthread_cond_signal(&g->left);
    pthread_mutex_unlock(&g->lock);
}
