/* Keys and values of prompt heads that several prompts have in common, kept in device memory between batches.
 *
 * An entry is found by content (match.h), never by a hash alone, and serves every prompt that shares a part of it: a
 * view of an entry is the same memory with a smaller length. Entries are counted by those who compute with them; those
 * that nobody uses go, the one least recently used first, when room is needed. An entry is begun by the forward pass
 * that computes it (its `maker`): the later prompts of that pass may use it at once, all others when it is done.
 *
 * The bound holds for keys and values, the copies of the prompts and the entries themselves. What does not fit is
 * computed without being kept: a store that is too small costs time, never answers. Used by one thread. */
#ifndef QVEC_ENGINE_PREFIX_STORE_H
#define QVEC_ENGINE_PREFIX_STORE_H

#include "engine/match.h"
#include "model/network.h"

/* Sharing less than this is not worth an entry nor a segment in attention. */
enum { QV__PREFIX_MIN = 8 };

typedef struct qv__prefix_store qv__prefix_store;

typedef struct qv__prefix_entry {
    qv__sequence sequence; /* what it is found by; first */
    qv__prefix prefix;     /* length == capacity == sequence.length */
    /* the store's */
    void *block; /* the sequence's arrays */
    size_t bytes;
    int references;
    int maker;                              /* 0: done */
    bool listed;                            /* can be found */
    struct qv__prefix_entry *newer, *older; /* by last use; also the chain of entries to free */
} qv__prefix_entry;

typedef struct {
    int64_t hits, misses, saved_tokens, bytes, entries, evictions;
} qv__prefix_stats;

/* token_bytes: of keys and values together. max_bytes > 0. */
qv_status qv__prefix_store_open(qv__backend *backend, size_t token_bytes, int64_t max_bytes, qv__prefix_store **out,
                                qv_error *err);
void qv__prefix_store_close(qv__prefix_store **store); /* nothing may be referenced */

/* The entry that has the most in common with s, at least QV__PREFIX_MIN and at most s->length - 1 tokens: *length.
 * Done, or begun by `maker`. The caller gets a reference; NULL: none. */
qv__prefix_entry *qv__prefix_store_find(qv__prefix_store *store, const qv__sequence *s, int maker, int32_t *length);
/* Counts a look-up: `saved` tokens need not be computed, 0: nothing was found. */
void qv__prefix_store_count(qv__prefix_store *store, int32_t saved);

/* Begins an entry of the first `length` tokens of s (or of as many as the store can ever hold), for `maker` (> 0) to
 * compute. The caller gets a reference. NULL: no room now, not worth it (less than QV__PREFIX_MIN more than `have`
 * tokens, which the caller found), or it is being computed already. Drops entries; their memory goes with sweep. */
qv__prefix_entry *qv__prefix_store_begin(qv__prefix_store *store, const qv__sequence *s, int32_t length, int32_t have,
                                         int maker);
/* Ends what begin began, and that reference: computed, or not to be used. Entries that a computed one contains go. */
void qv__prefix_store_end(qv__prefix_store *store, qv__prefix_entry *entry, bool computed);
void qv__prefix_store_release(qv__prefix_store *store, qv__prefix_entry *entry);

/* Gives dropped entries' memory back to the device: apart, because that takes time and dropping may hold a lock. */
void qv__prefix_store_sweep(qv__prefix_store *store);
void qv__prefix_store_get_stats(const qv__prefix_store *store, qv__prefix_stats *stats);
/* Everything that must hold, checked: for tests. */
bool qv__prefix_store_is_sound(const qv__prefix_store *store);
#endif
