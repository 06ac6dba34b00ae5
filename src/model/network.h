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
    int64_t max_tokens;    /* most rows of one batch: address space is reserved for them, pages are touched as used */
    int64_t nested_tokens; /* most rows of a forward that runs inside `pause`, and tokens of a picture in it; 0: none */
    int64_t row_block;     /* rows that go through a layer together; bounds scratch memory; 0: default */
    int64_t max_vision_rows; /* patches computed together in the vision tower; a larger picture is computed alone, if it
                                has at most max(max_tokens, 2048) tokens; 0: default */
    bool quantize;           /* matrices are turned into 8-bit codes as they are opened, and their memory given up:
                                another network over the same dummy weights would read zeros */
    bool score_head;         /* reranker: read lm_head (or the tied table) rows yes_id and no_id */
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
    /* Finds features for run->key: true and *features = [tokens][1 + deepstack][hidden] device memory, valid until the
     * next call of find, offer or pause (the network copies what it needs); false: must be computed. Asked once for
     * each distinct picture of a batch. NULL function: no cache. */
    bool (*find)(void *user, const qv__vision_run *run, const float **features);
    /* Offers freshly computed features (device memory, copied by the callee if it keeps them). */
    void (*offer)(void *user, const qv__vision_run *run, const float *features, int64_t floats);
    void *user;
} qv__feature_cache;

typedef struct {
    /* Its runs ascend and do not overlap. They may reach beyond its length: the tokens behind it are not computed. */
    const qv__sequence *sequence;
    /* NULL: none; else keys and values of the sequence's first prefix->length (< sequence->length) tokens: only the
     * rows behind them are computed. May be (a view of) the `keep` of an earlier item of the same batch: rows go
     * through each layer in the items' order, and keys and values are stored before any row attends to them. */
    const qv__prefix *prefix;
    /* Not NULL: keys and values of tokens [0, keep->length) are stored here; those of `prefix` are copied, unless both
     * are the same memory: a long prompt in chunks grows one prefix in place. */
    qv__prefix *keep;
    float *hidden; /* host [hidden]: final-norm state of the last token; NULL: not wanted */
    float *score;  /* host [1]: h · (W_yes - W_no), before the sigmoid; NULL: not wanted */
} qv__batch_item;

typedef struct {
    const qv__batch_item *items;
    int count;
    /* Called between row blocks, on the worker's thread. It may run another forward of at most nested_tokens rows on
     * the same network (which has scratch of its own for it, and is not paused in turn). NULL: none. */
    void (*pause)(void *user);
    /* Asked between row blocks, also of a nested forward: true gives the whole batch up, which fails with QV_CANCELLED
     * and no result. NULL: never. */
    bool (*stop)(void *user);
    void *user;
    const qv__feature_cache *features;
    /* Test hook: called with all rows of each stage (device memory) under the reference's names: for each group of
     * pictures vision.patch_embed (before the position embedding), vision.block.N, vision.deepstack.N, vision.merger;
     * then decoder.layer.N (before the deepstack rows are added) and decoder.norm. With it the last layer computes all
     * rows, not only the pooled ones, which changes no result. NULL: none. */
    void (*trace)(void *user, const char *stage, const float *rows, int64_t stride, int64_t count, int64_t width);
    void *trace_user;
} qv__batch;

/* The backend and the checkpoint (its mapping is the weights) must outlive the network. */
qv_status qv__network_open(qv__backend *backend, const qv__checkpoint *checkpoint, const qv__network_options *options,
                           qv__network **out, qv_error *err);
void qv__network_close(qv__network **network);

/* item_status[count]: QV_NON_FINITE for an item whose own output is not finite. The call itself fails, with no result
 * written, when the batch has more rows than there is room for (QV_TOO_LONG), a picture too many patches
 * (QV_TOO_LARGE), an item is inconsistent (QV_INVALID_ARGUMENT), the backend failed,
 * or it was given up (QV_CANCELLED). */
qv_status qv__network_forward(qv__network *network, const qv__batch *batch, qv_status *item_status, qv_error *err);

/* Memory beyond the mapped weights, for `info`: what a batch of max_tokens rows touches in which pictures take up to
 * max_vision_rows patches, and the converted vectors. SIZE_MAX: does not fit the address space. */
size_t qv__network_bytes(const qv__config *config, const qv__network_options *options);
/* The part of it that texts alone touch, when nothing is computed inside `pause`. */
size_t qv__network_text_bytes(const qv__config *config, const qv__network_options *options);
int64_t qv__network_hidden(const qv__network *network);
/* Bytes of k and v together for each token of a prefix. Prefix and feature memory is allocated with the backend's ops.
 */
size_t qv__network_prefix_bytes(const qv__network *network);
qv__backend *qv__network_backend(const qv__network *network);
#endif
