/* The engine's items of one line: one for embed, one for each document for rerank. */
#ifndef QVEC_CLI_GROUP_H
#define QVEC_CLI_GROUP_H

#include "cli/stream.h"
#include "lib/session.h"

typedef struct {
    qv__entry *entry; /* held once for each item at the engine */
    size_t count;
    qv__item **items;    /* [count]; NULL: not prepared */
    qv__prepared *facts; /* [count] */
    qv_error *errors;    /* [count]; code QV_OK: none */
} qv__group;

qv_status qv__group_open(qv__group *group, qv__entry *entry, size_t count, qv_error *err);
/* Hands items [first, first + count) to the engine (those that are there), waiting while its queue is full. */
qv_status qv__group_submit(qv__group *group, qv_model *model, size_t first, size_t count, qv_error *err);
/* Items that still wait are not computed. */
void qv__group_cancel(qv__group *group, qv_model *model);
/* None may be at the engine. */
void qv__group_clear(qv__group *group);

/* Threads that prepare items while `compute` threads compute. */
int qv__helper_count(int compute);
#endif
