/* API keys: kept as SHA-256, all of them compared in full for every request, so that time tells nothing. They can be
 * changed while requests come in. */
#ifndef QVEC_API_KEY_H
#define QVEC_API_KEY_H

#include <pthread.h>

#include "base/memory.h"
#include "qvec/qvec.h"

typedef struct {
    pthread_rwlock_t lock;
    uint8_t (*digests)[32];
    size_t count; /* 0: no key is needed */
} qv__keys;

void qv__keys_open(qv__keys *keys);
void qv__keys_close(qv__keys *keys);
/* Takes the place of all keys so far; after a failure those stay. */
qv_status qv__keys_set(qv__keys *keys, const char *const *texts, size_t count, qv_error *err);
bool qv__keys_needed(qv__keys *keys);
/* True when no keys are set, or `authorization` is "Bearer KEY" with one of them: *client is that key's number then,
 * the same however the header spells it, and never 0. Without keys *client stays: anybody may send any header. */
bool qv__keys_fit(qv__keys *keys, const char *authorization, uint64_t *client);
#endif
