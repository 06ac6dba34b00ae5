#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "model/coded.h"
#include "model/internal.h"
#include "store/quantized.h"

/* The tensors are named once, in the list_ functions below. A walk over them with no checkpoint only adds up the
 * vectors; a second one, with the device block made, opens the weights and converts the vectors into it. */

enum { LAYER_MATRICES = 8 }; /* of a layer, block or merger, at most */

struct walk {
    qv__network *n;
    const qv__checkpoint *checkpoint; /* NULL: counting */
    size_t floats;                    /* of vectors seen so far */
    float *host;                      /* conversion scratch, [longest vector] */
    int64_t longest;
    char prefix[64];
    const qv__tensor *finished[LAYER_MATRICES]; /* of this layer: turned into codes */
    int finished_count;
    qv_status status; /* the first failure; later steps do nothing */
    qv_error *err;
};

enum { VECTOR_ALIGN = 16 }; /* floats: a cache line */

/* ---- values --------------------------------------------------------------------------------------- */

/* out[i] = t's element first + i. */
static void read_values(const qv__tensor *t, int64_t first, int64_t count, float *out) {
    const uint16_t *half = t->data;
    if (t->dtype == QV__F32) {
        memcpy(out, (const float *)t->data + first, (size_t)count * sizeof *out);
    } else if (t->dtype == QV__BF16) {
        for (int64_t i = 0; i < count; i++) out[i] = qv__bf16_to_float(half[first + i]);
    } else {
        for (int64_t i = 0; i < count; i++) out[i] = qv__f16_to_float(half[first + i]);
    }
}

/* ---- one tensor ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void set_prefix(struct walk *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(w->prefix, sizeof w->prefix, format, args);
    va_end(args);
}

static const qv__tensor *need(struct walk *w, const char *name, int rank, const int64_t *shape) {
    char full[160];
    const qv__tensor *t = NULL;
    snprintf(full, sizeof full, "%s%s", w->prefix, name);
    if (!w->status) w->status = qv__checkpoint_need(w->checkpoint, full, rank, shape, &t, w->err);
    if (!w->status && t->dtype == QV__U8)
        w->status = qv__fail(w->err, QV_BAD_CHECKPOINT, "tensor \"%s\" has dtype U8, which it may not have here", full);
    if (!w->status && !t->data) w->status = qv__fail(w->err, QV_INTERNAL, "%s: only its header was read", full);
    return w->status ? NULL : t;
}

static void vector(struct walk *w, const char *name, int64_t size, const float **out) {
    size_t at = w->floats;
    w->floats += (size_t)(size + VECTOR_ALIGN - 1) / VECTOR_ALIGN * VECTOR_ALIGN;
    w->longest = qv__max(w->longest, size);
    const qv__tensor *t = w->checkpoint ? need(w, name, 1, &size) : NULL;
    if (!t) return;
    read_values(t, 0, size, w->host);
    *out = w->n->vectors + at;
    w->n->backend->ops->upload(w->n->backend, w->n->vectors + at, w->host, (size_t)size * sizeof(float));
}

static void open_weight(struct walk *w, const qv__tensor *t, int64_t rows, int64_t cols, qv__weight *out) {
    if (!t) return;
    w->status = w->n->backend->ops->weight_open(w->n->backend, t, rows, cols, out, w->err);
    if (w->status) *out = (qv__weight){0};
}

/* The codes of a matrix that has them in the checkpoint. */
static void open_codes(struct walk *w, const char *full, int64_t rows, int64_t cols, qv__weight *out) {
    qv__backend *b = w->n->backend;
    const qv__tensor *codes, *scales, *input;
    w->status = qv__quantized_need(w->checkpoint, full, rows, cols, &codes, &scales, &input, w->err);
    if (!w->status && (!codes->data || !scales->data))
        w->status = qv__fail(w->err, QV_INTERNAL, "%s: only its header was read", full);
    if (!w->status) w->status = b->ops->weight_open8(b, codes, scales, input, rows, cols, out, w->err);
}

/* Codes made of a matrix, in a block that the weight owns. The matrix itself goes when its layer is done: others want
 * to know how large the inputs are that it makes for them. */
static void make_codes(struct walk *w, const qv__tensor *t, int64_t rows, int64_t cols, qv__weight *out) {
    qv__backend *b = w->n->backend;
    qv__coded coded = {0};
    if (w->status) return;
    size_t size = qv__coded_bytes(rows, cols);
    void *block = NULL;
    if ((w->status = b->ops->alloc(b, size, &block, w->err))) return;
    w->status = qv__coded_make(b, w->checkpoint, t, rows, cols, block, &coded, w->err);
    if (!w->status)
        w->status = b->ops->weight_open8(b, &coded.codes, &coded.scales, coded.has_input ? &coded.input : NULL, rows,
                                         cols, out, w->err);
    out->packed = block; /* closed with the rest, opened or not */
    w->finished[w->finished_count++] = t;
}

static void release_finished(struct walk *w) {
    for (int i = 0; i < w->finished_count; i++) qv__checkpoint_release(w->checkpoint, w->finished[i]);
    w->finished_count = 0;
}

static void matrix(struct walk *w, const char *name, int64_t rows, int64_t cols, qv__weight *out) {
    char full[160];
    if (!w->checkpoint || w->status) return;
    snprintf(full, sizeof full, "%s%s", w->prefix, name);
    bool coded = qv__quantized_name(full);
    if (coded && w->n->config.quantized) {
        open_codes(w, full, rows, cols, out);
        return;
    }
    const qv__tensor *t = need(w, name, 2, (int64_t[]){rows, cols});
    if (coded && w->n->options.quantize)
        make_codes(w, t, rows, cols, out);
    else
        open_weight(w, t, rows, cols, out);
}

/* NAME.weight and NAME.bias */
static void affine(struct walk *w, const char *name, int64_t rows, int64_t cols, qv__affine *out) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    matrix(w, full, rows, cols, &out->weight);
    snprintf(full, sizeof full, "%s.bias", name);
    vector(w, full, rows, &out->bias);
}

static void layernorm(struct walk *w, const char *name, int64_t size, qv__layernorm *out) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    vector(w, full, size, &out->weight);
    snprintf(full, sizeof full, "%s.bias", name);
    vector(w, full, size, &out->bias);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static void list_layer(struct walk *w, const qv__text_config *t, int index, qv__decoder_layer *layer) {
    int64_t H = t->hidden, I = t->intermediate, D = qv__query_width(t), E = qv__key_width(t);
    set_prefix(w, "model.language_model.layers.%d.", index);
    vector(w, "input_layernorm.weight", H, &layer->input_norm);
    matrix(w, "self_attn.q_proj.weight", D, H, &layer->q);
    matrix(w, "self_attn.k_proj.weight", E, H, &layer->k);
    matrix(w, "self_attn.v_proj.weight", E, H, &layer->v);
    matrix(w, "self_attn.o_proj.weight", H, D, &layer->o);
    vector(w, "self_attn.q_norm.weight", t->head_dim, &layer->q_norm);
    vector(w, "self_attn.k_norm.weight", t->head_dim, &layer->k_norm);
    vector(w, "post_attention_layernorm.weight", H, &layer->post_norm);
    matrix(w, "mlp.gate_proj.weight", I, H, &layer->gate);
    matrix(w, "mlp.up_proj.weight", I, H, &layer->up);
    matrix(w, "mlp.down_proj.weight", H, I, &layer->down);
    release_finished(w);
}

static void list_block(struct walk *w, const qv__vision_config *v, int index, qv__vision_block *block) {
    int64_t C = v->hidden, I = v->intermediate;
    set_prefix(w, "model.visual.blocks.%d.", index);
    layernorm(w, "norm1", C, &block->norm1);
    layernorm(w, "norm2", C, &block->norm2);
    affine(w, "attn.qkv", 3 * C, C, &block->qkv);
    affine(w, "attn.proj", C, C, &block->proj);
    affine(w, "mlp.linear_fc1", I, C, &block->fc1);
    affine(w, "mlp.linear_fc2", C, I, &block->fc2);
    release_finished(w);
}

static void list_merger(struct walk *w, const qv__vision_config *v, int64_t norm, qv__merger *merger) {
    int64_t joined = qv__merged(v) * v->hidden;
    layernorm(w, "norm", norm, &merger->norm);
    affine(w, "linear_fc1", joined, joined, &merger->fc1);
    affine(w, "linear_fc2", v->out_hidden, joined, &merger->fc2);
    release_finished(w);
}

static void list_patch_embed(struct walk *w, const qv__vision_config *v, qv__network *n) {
    set_prefix(w, "model.visual.");
    vector(w, "patch_embed.proj.bias", v->hidden, &n->patch_embed.bias);
    matrix(w, "pos_embed.weight", (int64_t)v->table_side * v->table_side, v->hidden, &n->position_table);
    if (!w->checkpoint) return;
    int64_t shape[5] = {v->hidden, v->channels, v->temporal_patch, v->patch, v->patch};
    const qv__tensor *t = need(w, "patch_embed.proj.weight", 5, shape);
    open_weight(w, t, v->hidden, qv__patch_width(v), &n->patch_embed.weight);
}

/* n->layers and n->blocks may be NULL when counting. */
static void list_all(struct walk *w, const qv__config *c) {
    qv__network *n = w->n;
    qv__decoder_layer layer;
    qv__vision_block block;
    set_prefix(w, "model.language_model.");
    matrix(w, "embed_tokens.weight", c->text.vocab, c->text.hidden, &n->embed);
    vector(w, "norm.weight", c->text.hidden, &n->final_norm);
    for (int i = 0; i < c->text.layers && !w->status; i++)
        list_layer(w, &c->text, i, n->layers ? &n->layers[i] : &layer);
    if (!c->has_vision) return;
    list_patch_embed(w, &c->vision, n);
    for (int i = 0; i < c->vision.depth && !w->status; i++)
        list_block(w, &c->vision, i, n->blocks ? &n->blocks[i] : &block);
    set_prefix(w, "model.visual.merger.");
    list_merger(w, &c->vision, c->vision.hidden, &n->merger);
    for (int j = 0; j < c->vision.deepstack_count; j++) {
        set_prefix(w, "model.visual.deepstack_merger_list.%d.", j);
        list_merger(w, &c->vision, qv__merged(&c->vision) * c->vision.hidden, &n->deepstack[j]);
    }
}

/* The reranker's output row: W_yes - W_no of lm_head, or of the embedding table where the two are one. */
static void open_score(struct walk *w, const qv__config *c) {
    qv__network *n = w->n;
    int64_t H = c->text.hidden, yes = n->options.yes_id, no = n->options.no_id;
    bool own = qv__checkpoint_find(w->checkpoint, "lm_head.weight") != NULL;
    set_prefix(w, "%s", own ? "" : "model.language_model.");
    const char *name = own ? "lm_head.weight" : "embed_tokens.weight";
    const qv__tensor *t = need(w, name, 2, (int64_t[]){c->text.vocab, H});
    if (!t) return;
    if (yes < 0 || no < 0 || yes >= c->text.vocab || no >= c->text.vocab) {
        w->status =
            qv__fail(w->err, QV_INVALID_ARGUMENT, "the ids of \"yes\" (%lld) and \"no\" (%lld) are not within 0..%d",
                     (long long)yes, (long long)no, c->text.vocab - 1);
        return;
    }
    n->score = qv__alloc_array((size_t)H, sizeof *n->score);
    if (!n->score) {
        w->status = qv__fail(w->err, QV_NO_MEMORY, "out of memory for the score head");
        return;
    }
    read_values(t, yes * H, H, n->score);
    read_values(t, no * H, H, w->host);
    for (int64_t i = 0; i < H; i++) n->score[i] -= w->host[i];
}

/* Floats of all vectors; *longest (may be NULL): the longest one, or a hidden row if that is longer. */
static size_t count_vectors(const qv__config *c, int64_t *longest) {
    qv__network none = {0};
    struct walk w = {.n = &none, .longest = c->text.hidden};
    list_all(&w, c);
    if (longest) *longest = w.longest;
    return w.floats;
}

size_t qv__weights_bytes(const qv__config *config, bool score_head) {
    return (count_vectors(config, NULL) + (score_head ? (size_t)config->text.hidden : 0)) * sizeof(float);
}

qv_status qv__weights_open(qv__network *n, const qv__checkpoint *checkpoint, qv_error *err) {
    const qv__config *c = &n->config;
    struct walk w = {.n = n, .checkpoint = checkpoint, .err = err};
    size_t floats = count_vectors(c, &w.longest);
    n->layers = qv__calloc((size_t)c->text.layers, sizeof *n->layers);
    n->blocks = c->has_vision ? qv__calloc((size_t)c->vision.depth, sizeof *n->blocks) : NULL;
    w.host = qv__alloc_array((size_t)w.longest, sizeof *w.host);
    void *vectors = NULL;
    if (!n->layers || (c->has_vision && !n->blocks) || !w.host)
        w.status = qv__fail(err, QV_NO_MEMORY, "out of memory for the list of layers");
    if (!w.status) w.status = n->backend->ops->alloc(n->backend, floats * sizeof(float), &vectors, err);
    n->vectors = vectors;
    if (!w.status) list_all(&w, c);
    if (!w.status && n->options.score_head) open_score(&w, c);
    qv__free(w.host);
    return w.status;
}

/* ---- closing -------------------------------------------------------------------------------------- */

static void close_weight(qv__network *n, qv__weight *w) {
    void *block = w->packed;
    if (w->data) n->backend->ops->weight_close(n->backend, w);
    if (block) n->backend->ops->free(n->backend, block);
    *w = (qv__weight){0};
}

static void close_merger(qv__network *n, qv__merger *m) {
    close_weight(n, &m->fc1.weight);
    close_weight(n, &m->fc2.weight);
}

static void close_layer(qv__network *n, qv__decoder_layer *l) {
    qv__weight *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) close_weight(n, all[i]);
}

static void close_block(qv__network *n, qv__vision_block *b) {
    qv__weight *all[] = {&b->qkv.weight, &b->proj.weight, &b->fc1.weight, &b->fc2.weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) close_weight(n, all[i]);
}

void qv__weights_close(qv__network *n) {
    close_weight(n, &n->embed);
    close_weight(n, &n->patch_embed.weight);
    close_weight(n, &n->position_table);
    for (int i = 0; n->layers && i < n->config.text.layers; i++) close_layer(n, &n->layers[i]);
    for (int i = 0; n->blocks && i < n->config.vision.depth; i++) close_block(n, &n->blocks[i]);
    close_merger(n, &n->merger);
    for (int j = 0; j < n->config.vision.deepstack_count; j++) close_merger(n, &n->deepstack[j]);
    if (n->vectors) n->backend->ops->free(n->backend, n->vectors);
    n->vectors = NULL;
    qv__free(n->layers);
    qv__free(n->blocks);
    qv__free(n->score);
    n->layers = NULL;
    n->blocks = NULL;
    n->score = NULL;
}
