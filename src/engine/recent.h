/* The prompts of late, so that a head which requests have in common is noticed though they come one at a time.
 * Used by one thread. */
#ifndef QVEC_ENGINE_RECENT_H
#define QVEC_ENGINE_RECENT_H

#include "engine/match.h"

/* The first QV__RECENT_TOKENS tokens of the last QV__RECENT_PROMPTS prompts: at most 4 MiB and their runs. */
enum { QV__RECENT_PROMPTS = 256, QV__RECENT_TOKENS = 1024 };

typedef struct {
    struct {
        qv__sequence sequence;
        void *block; /* NULL: empty */
    } ring[QV__RECENT_PROMPTS];
    int turn; /* the oldest, replaced next */
    qv__sequence_set set;
} qv__recent;

/* Tokens that s has in common with the one of them that is most like it; then s is one of them. When memory is short
 * s is not remembered. */
int32_t qv__recent_match(qv__recent *recent, const qv__sequence *s);
void qv__recent_clear(qv__recent *recent);
#endif
