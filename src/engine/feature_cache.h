/* Finished features of pictures and frame pairs, kept in device memory and found by the SHA-256 of their pixels.
 *
 * What find hands out stays where it is until the forward pass that asked has ended: entries it may use are pinned.
 * Two forwards may be under way, one nested in the other. Bounded in bytes; the entry least recently used goes first.
 * Used by one thread. */
#ifndef QVEC_ENGINE_FEATURE_CACHE_H
#define QVEC_ENGINE_FEATURE_CACHE_H

#include "model/network.h"

enum { QV__ROUNDS = 2 }; /* a forward pass, and the one nested in it */

typedef struct qv__feature_store qv__feature_store;

typedef struct {
    int64_t hits, misses, bytes, entries, evictions;
} qv__feature_stats;

qv_status qv__feature_store_open(qv__backend *backend, int64_t max_bytes, qv__feature_store **out, qv_error *err);
void qv__feature_store_close(qv__feature_store **store);

/* The network's view of the store in round 0 or 1 (nested), from begin to end of that forward. */
const qv__feature_cache *qv__feature_store_begin(qv__feature_store *store, int round);
void qv__feature_store_end(qv__feature_store *store, int round);
void qv__feature_store_get_stats(const qv__feature_store *store, qv__feature_stats *stats);
#endif
