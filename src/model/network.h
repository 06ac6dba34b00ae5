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
    int64_t max_tokens;       /* most rows of one batch */
    int64_t row_block;        /* rows that go through a layer together; bounds scratch memory; 0: default 256 */
    int64_t max_vision_rows;  /* patches computed together in the vision tower; 0: default */
    bool score_head;          /* reranker: read lm_head (or the tied table) rows yes_id and no_id */
    int32_t yes_id, no_id;
} qv__network_options;

/* Keys and values of a token prefix for every decoder layer, in device memory, immutable once made:
 * k[layer] and v[layer] are [length][kv_heads * head_dim]. Made and counted by engine/. */
typedef struct {
    int64_t length;
    float *k, *v;             /* [layers][length][kv_heads * head_dim] */
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
    const qv__prefix *prefix;   /* NULL: none; sequence rows start at prefix->length */
    qv__prefix *keep;           /* not NULL: store keys and values of rows [0, keep->length) here */
    float *hidden;              /* host [hidden]: final-norm state of the last token; NULL: not wanted */
    float *score;               /* host [1]: h · (W_yes - W_no), before the sigmoid; NULL: not wanted */
} qv__batch_item;

typedef struct {
    const qv__batch_item *items;
    int count;
    /* Called between row blocks, on the worker's thread; may run another forward on `nested`. NULL: none. */
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
#endif
