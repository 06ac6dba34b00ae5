/* The network's insides, shared by the files of model/.
 *
 * A forward runs as a pass over one workspace: the first for the worker's batches, the second for the small batches
 * that run inside `pause`. Rows are the batch's tokens one item after another, without those that a prefix covers.
 * Letters in shapes: T tokens there is room for, B rows of a block, H hidden, C vision hidden, D heads * head_dim,
 * E kv_heads * head_dim, S deepstack_count, M merge * merge (patches of one token). */
#ifndef QVEC_MODEL_INTERNAL_H
#define QVEC_MODEL_INTERNAL_H

#include "model/network.h"

/* Vectors are fp32 in device memory, part of the network's one block of them. */
typedef struct {
    qv__weight q, k, v, o, gate, up, down;
    const float *input_norm, *post_norm; /* [H] */
    const float *q_norm, *k_norm;        /* [head_dim] */
} qv__decoder_layer;

typedef struct {
    const float *weight, *bias;
} qv__layernorm;

typedef struct {
    qv__weight weight;
    const float *bias;
} qv__affine;

typedef struct {
    qv__layernorm norm1, norm2;
    qv__affine qkv, proj, fc1, fc2;
} qv__vision_block;

/* M patches to one token. The norm is over C, before the patches are joined (the last merger), or over M * C, after. */
typedef struct {
    qv__layernorm norm;
    qv__affine fc1, fc2;
} qv__merger;

/* Rows [first, first + count) of the batch are the item's tokens [start, start + count). */
typedef struct {
    const qv__batch_item *item;
    int64_t first, count, start;
} qv__span;

/* Rows [row, row + count) of the batch take the features of a run's tokens [skip, skip + count). */
typedef struct {
    const qv__vision_run *run;
    int64_t row, skip, count;
    bool taken; /* the features are there, or the group under way makes them */
} qv__run_use;

/* A run in the vision tower: its patches are rows [first, first + count) of the group. */
typedef struct {
    const qv__vision_run *run;
    int64_t first, count;
} qv__group_run;

/* How many rows a workspace has room for. Buffers lie in one block, so pages are touched as far as a batch reaches. */
typedef struct {
    int64_t tokens;       /* T: rows of a batch */
    int64_t patches;      /* rows of a vision group */
    int64_t image_tokens; /* rows of a batch that are vision tokens */
    int64_t block;        /* B of the decoder */
    int64_t patch_block;  /* B of the vision tower: block rounded up to a multiple of M */
} qv__workspace_size;

typedef struct {
    qv__workspace_size size;
    void *device, *host; /* the two blocks that everything below lies in */

    /* device, for all rows of a batch */
    float *x;         /* [T][H] residual stream */
    float *k, *v;     /* [T][E] of the layer under way */
    float *cos, *sin; /* [T][head_dim / 2] */
    float *deepstack; /* [image_tokens][S][H] */

    /* device, for the rows of a block, of whichever tower needs more */
    float *normed;                  /* [B][H], [B][C], [B/M][M C] */
    float *q;                       /* [B][D] */
    float *attended;                /* [B][D], [B][C] */
    float *wide;                    /* [B][intermediate], a block's patch values, [B/M][M C] */
    float *pooled;                  /* [B][H] residual stream of pooled rows */
    float *pooled_cos, *pooled_sin; /* [B][head_dim / 2] */

    /* device, for the rows of a vision group */
    float *patch_x;               /* [patches][C] residual stream */
    float *qkv;                   /* [patches][3 C] */
    float *patch_cos, *patch_sin; /* [patches][vision head_dim / 2] */
    float *features;              /* [patches / M][1 + S][H] */

    /* host */
    int32_t *ids;          /* [T] */
    int32_t *positions;    /* [3][T] */
    int32_t *iota;         /* [T]: 0, 1, 2 .. */
    int32_t *image_rows;   /* [image_tokens] batch row of each row of `deepstack` */
    int32_t *pool_rows;    /* [T] batch rows that are pooled, and whose they are */
    int32_t *pool_spans;   /* [T] */
    float *staging;        /* [B][H] */
    qv__span *spans;       /* [T] */
    qv__run_use *uses;     /* [image_tokens] */
    qv__group_run *group;  /* [patches / M] */
    qv__frame_pair *pairs; /* [patches / M] */
    qv__segment *segments; /* [B] */
} qv__workspace;

struct qv__network {
    qv__backend *backend;
    qv__config config;
    qv__network_options options; /* defaults filled in */

    qv__weight embed; /* [vocab][H] */
    qv__decoder_layer *layers;
    const float *final_norm; /* [H] */
    qv__affine patch_embed;
    qv__weight position_table; /* [side * side][C] */
    qv__vision_block *blocks;
    qv__merger merger, deepstack[QV__DEEPSTACK_MAX];
    float *score;   /* host [H]: W_yes - W_no; NULL without a score head */
    float *vectors; /* device block of all vectors */

    qv__workspace workspaces[2];
    int depth; /* forwards under way: 0, 1, or 2 inside pause */
};

/* One forward under way. */
typedef struct {
    qv__network *n;
    qv__workspace *workspace;
    const qv__batch *batch;
    qv_status *item_status;
    bool nested;  /* no pause */
    bool stopped; /* the batch is given up: return, nothing that was computed is used */
    int64_t rows, spans, uses, pooled;
    int64_t image_rows; /* rows of `deepstack` that are filled */
} qv__pass;

/* weights.c: everything that comes from the checkpoint. close is idempotent and fine after a failed open. */
qv_status qv__weights_open(qv__network *n, const qv__checkpoint *checkpoint, qv_error *err);
void qv__weights_close(qv__network *n);
size_t qv__weights_bytes(const qv__config *config, bool score_head);

/* workspace.c */
qv_status qv__workspace_open(qv__workspace *workspace, const qv__network *n, const qv__workspace_size *size,
                             qv_error *err);
void qv__workspace_close(qv__workspace *workspace, const qv__network *n);
size_t qv__workspace_bytes(const qv__config *config, const qv__workspace_size *size); /* SIZE_MAX: does not fit */

/* vision.c: fills x's rows and `deepstack` with the features of all runs in the batch. */
qv_status qv__vision_forward(qv__pass *p, qv_error *err);

/* decoder.c */
void qv__decoder_forward(qv__pass *p);
/* Queries, attention and MLP of `count` rows whose normed rows are in workspace->normed, and whose keys are stored.
 * x, cos, sin: of these rows; workspace->segments[segments] says what they see. */
void qv__decoder_finish(qv__pass *p, const qv__decoder_layer *layer, float *x, int64_t count, const float *cos,
                        const float *sin, int64_t segments);
/* The segment of `count` rows from `row` of a span, for queries at `q_first`. */
qv__segment qv__decoder_segment(const qv__pass *p, const qv__span *span, int layer, int64_t row, int64_t count,
                                int64_t q_first);

/* pool.c: the last token's row of every item that wants a result, from x to the item's results. With `finished` x is
 * already the last layer's output; else these rows go through what the last layer still owes them. */
void qv__pool_forward(qv__pass *p, bool finished);

/* Sizes */
static inline int64_t qv__query_width(const qv__text_config *t) {
    return (int64_t)t->heads * t->head_dim;
}
static inline int64_t qv__key_width(const qv__text_config *t) {
    return (int64_t)t->kv_heads * t->head_dim;
}
static inline int64_t qv__patch_width(const qv__vision_config *v) {
    return (int64_t)v->channels * v->temporal_patch * v->patch * v->patch;
}
static inline int64_t qv__merged(const qv__vision_config *v) {
    return (int64_t)v->merge * v->merge;
}
static inline int64_t qv__run_patches(const qv__vision_config *v, const qv__vision_run *run) {
    return (int64_t)(run->height / v->patch) * (run->width / v->patch);
}
/* Floats of one token's features: its embedding row, then a row for each of the first S decoder layers. */
static inline int64_t qv__feature_width(const qv__config *c) {
    return (1 + (int64_t)c->vision.deepstack_count) * c->text.hidden;
}

/* network.c */
/* out[i] = x[i]; widths and strides in floats. */
void qv__copy_rows(const qv__pass *p, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t count,
                   int64_t width);
bool qv__pause(qv__pass *p); /* between row blocks; false: stopped */
/* stage "decoder.layer.%d"; index -1: the name has no number. */
void qv__trace(const qv__pass *p, const char *stage, int index, const float *rows, int64_t stride, int64_t count,
               int64_t width);
/* Rows are cut into blocks of nearly equal size, at most `most`, each a multiple of `unit`: no small last block. */
int64_t qv__block_rows(int64_t rows, int64_t most, int64_t unit);
static inline int64_t qv__min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t qv__max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
#endif
