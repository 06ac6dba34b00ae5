/* The forward pass of both towers, written once over the op table (backend/backend.h).
 *
 * One network per device; forward is called by one thread at a time (the engine's worker) and allocates
 * nothing: all buffers come from the workspace that was sized at open. */
#ifndef QVEC_MODEL_NETWORK_H
#define QVEC_MODEL_NETWORK_H

#include "backend/backend.h"
#include "model/sequence.h"

typedef struct qv__network qv__network;

typedef struct {
    int64_t max_tokens;       /* most rows of one batch: address space is reserved for them, pages are touched as used */
    int64_t nested_tokens;    /* most rows of a forward that runs inside `pause`; 0: none */
    int64_t row_block;        /* rows that go through a layer together; bounds scratch memory; 0: default */
    int64_t max_vision_rows;  /* patches computed together in the vision tower; 0: default */
    bool score_head;          /* reranker: read lm_head (or the tied table) rows yes_id and no_id */
    int32_t yes_id, no_id;
} qv__network_options;

/* Keys and values of the first `length` tokens of a prompt for every decoder layer, in device memory, immutable once
 * made: layer l starts at k + l * capacity * kv_heads * head_dim, so a shorter view of a longer prefix is the same
 * memory with a smaller length. Made, shared and counted by engine/. */
typedef struct {
    int64_t length, capacity; /* tokens; length <= capacity */
    float *k, *v;             /* [layers][capacity][kv_heads * head_dim] */
} qv__prefix;

/* Where a sequence's vision features come from and go: engine/ may keep them between requests. */
typedef struct {
    /* Finds features for run->key: true and *features = [tokens][1 + deepstack][hidden] device memory, valid
     * until release; false: must be computed. NULL function: no cache. */
    bool (*find)(void *user, const qv__vision_run *run, const float **features);
    /* Offers freshly computed features (device memory, copied by the callee if it keeps them). */
    void (*offer)(void *user, const qv__vision_run *run, const float *features, int64_t floats);
    void *user;
} qv__feature_cache;

typedef struct {
    const qv__sequence *sequence;
    /* NULL: none; else keys and values of the sequence's first prefix->length (< sequence->length) tokens: only the rows
     * behind them are computed. May be (a view of) the `keep` of an earlier item of the same batch: rows go through each
     * layer in the items' order, and keys and values are stored before any row attends to them. */
    const qv__prefix *prefix;
    /* Not NULL: keys and values of tokens [0, keep->length) are stored here; those of `prefix` are copied. */
    qv__prefix *keep;
    float *hidden;              /* host [hidden]: final-norm state of the last token; NULL: not wanted */
    float *score;               /* host [1]: h · (W_yes - W_no), before the sigmoid; NULL: not wanted */
} qv__batch_item;

typedef struct {
    const qv__batch_item *items;
    int count;
    /* Called between row blocks, on the worker's thread. It may run another forward of at most nested_tokens rows on the
     * same network (which has scratch of its own for it, and is not paused in turn). NULL: none. */
    void (*pause)(void *user);
    void *user;
    const qv__feature_cache *features;
    /* Test hook: called with the rows of each stage in the reference's trace names; NULL: none. */
    void (*trace)(void *user, const char *stage, const float *rows, int64_t stride, int64_t count, int64_t width);
    void *trace_user;
} qv__batch;

qv_status qv__network_open(qv__backend *backend, const qv__checkpoint *checkpoint, const qv__network_options *options,
                           qv__network **out, qv_error *err);
void qv__network_close(qv__network **network);

/* Errors: QV_NON_FINITE (only the items whose own output is not finite get it, in item_status[count]),
 * backend failures for the batch. */
qv_status qv__network_forward(qv__network *network, const qv__batch *batch, qv_status *item_status, qv_error *err);

/* Bytes that open would allocate for this configuration (workspace and converted vectors), for `info`. */
size_t qv__network_bytes(const qv__config *config, const qv__network_options *options);
int64_t qv__network_hidden(const qv__network *network);
/* Bytes of k and v together for each token of a prefix. Prefix and feature memory is allocated with the backend's ops. */
size_t qv__network_prefix_bytes(const qv__network *network);
qv__backend *qv__network_backend(const qv__network *network);
/* Floats of one run's features: tokens * (1 + deepstack) * hidden. */
int64_t qv__network_feature_floats(const qv__network *network, const qv__vision_run *run);
#endif
