#include <math.h>

#include "model/internal.h"

/* Layer by layer over the whole batch; inside a layer, block by block. Attention only looks back and the blocks go in
 * the items' order, so once a block's keys and values are stored everything that it sees is there. */

/* Index of the span that row `row` belongs to. */
static int64_t span_of(const qv__pass *p, int64_t row) {
    int64_t lo = 0, hi = p->spans - 1;
    while (lo < hi) {
        int64_t middle = (lo + hi + 1) / 2;
        if (p->workspace->spans[middle].first <= row)
            lo = middle;
        else
            hi = middle - 1;
    }
    return lo;
}

/* out = x · w over rows without gaps. */
static void product(const qv__pass *p, float *out, const float *x, int64_t rows, const qv__weight *w) {
    qv__backend *b = p->n->backend;
    b->ops->linear(b,
                   &(qv__linear){.out = out, .out_stride = w->rows, .x = x, .x_stride = w->cols, .rows = rows, .w = w});
}

/* out += x · w */
static void add_product(const qv__pass *p, float *out, const float *x, int64_t rows, const qv__weight *w) {
    qv__backend *b = p->n->backend;
    b->ops->linear(b, &(qv__linear){.out = out,
                                    .out_stride = w->rows,
                                    .x = x,
                                    .x_stride = w->cols,
                                    .rows = rows,
                                    .w = w,
                                    .residual = out,
                                    .residual_stride = w->rows});
}

/* ---- keys and values ------------------------------------------------------------------------------ */

/* Where token `token` of a prefix has its keys (or values) of a layer. */
static float *prefix_rows(const qv__prefix *prefix, float *base, int layer, int64_t token, int64_t width) {
    return base + ((int64_t)layer * prefix->capacity + token) * width;
}

/* The part of `keep` that comes from the item's own prefix. Nothing to do where both are the same memory. */
static void keep_prefix(const qv__pass *p, const qv__batch_item *item, int layer) {
    const qv__prefix *from = item->prefix, *keep = item->keep;
    if (!from || (from->k == keep->k && from->capacity == keep->capacity)) return;
    int64_t width = qv__key_width(&p->n->config.text), count = qv__min(from->length, keep->length);
    qv__copy_rows(p, prefix_rows(keep, keep->k, layer, 0, width), width, prefix_rows(from, from->k, layer, 0, width),
                  width, count, width);
    qv__copy_rows(p, prefix_rows(keep, keep->v, layer, 0, width), width, prefix_rows(from, from->v, layer, 0, width),
                  width, count, width);
}

/* Copies what the items want kept of rows [first, first + count), in the items' order: a later item's prefix may be an
 * earlier one's `keep`. */
static void keep_rows(const qv__pass *p, int layer, int64_t first, int64_t count) {
    const qv__workspace *ws = p->workspace;
    int64_t width = qv__key_width(&p->n->config.text), end = first + count;
    for (int64_t i = span_of(p, first); i < p->spans && ws->spans[i].first < end; i++) {
        const qv__span *s = &ws->spans[i];
        const qv__prefix *keep = s->item->keep;
        if (!keep) continue;
        if (s->first >= first) keep_prefix(p, s->item, layer);
        int64_t from = qv__max(first, s->first), token = s->start + from - s->first;
        int64_t rows = qv__min(qv__min(end, s->first + s->count) - from, keep->length - token);
        if (rows <= 0) continue;
        qv__copy_rows(p, prefix_rows(keep, keep->k, layer, token, width), width, ws->k + from * width, width, rows,
                      width);
        qv__copy_rows(p, prefix_rows(keep, keep->v, layer, token, width), width, ws->v + from * width, width, rows,
                      width);
    }
}

/* Leaves the normed rows in workspace->normed. */
static void store_keys(const qv__pass *p, int index, int64_t first, int64_t count) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    const qv__decoder_layer *layer = &p->n->layers[index];
    const qv__workspace *ws = p->workspace;
    int64_t H = t->hidden, E = qv__key_width(t), half = t->head_dim / 2;
    float *k = ws->k + first * E, *v = ws->v + first * E;
    b->ops->rmsnorm(b, ws->normed, H, ws->x + first * H, H, count, H, layer->input_norm, t->rms_eps);
    product(p, k, ws->normed, count, &layer->k);
    product(p, v, ws->normed, count, &layer->v);
    b->ops->qk_norm_rope(b, k, E, count, t->kv_heads, t->head_dim, layer->k_norm, t->rms_eps, ws->cos + first * half,
                         ws->sin + first * half);
    keep_rows(p, index, first, count);
}

/* ---- attention and MLP ---------------------------------------------------------------------------- */

qv__segment qv__decoder_segment(const qv__pass *p, const qv__span *span, int layer, int64_t row, int64_t count,
                                int64_t q_first) {
    const qv__prefix *prefix = span->item->prefix;
    int64_t width = qv__key_width(&p->n->config.text), behind = row + count - span->first;
    qv__segment s = {.q_first = q_first,
                     .q_count = count,
                     .q_position = span->start + row - span->first,
                     .k = p->workspace->k + span->first * width,
                     .v = p->workspace->v + span->first * width,
                     .kv_stride = width,
                     .count = behind};
    if (!span->start) return s;
    s.prefix_k = prefix_rows(prefix, prefix->k, layer, 0, width);
    s.prefix_v = prefix_rows(prefix, prefix->v, layer, 0, width);
    s.prefix_stride = width;
    s.prefix_count = span->start;
    return s;
}

/* Fills workspace->segments for rows [first, first + count); returns how many there are. */
static int64_t list_segments(const qv__pass *p, int layer, int64_t first, int64_t count) {
    const qv__workspace *ws = p->workspace;
    int64_t segments = 0, end = first + count;
    for (int64_t i = span_of(p, first); i < p->spans && ws->spans[i].first < end; i++) {
        const qv__span *s = &ws->spans[i];
        int64_t from = qv__max(first, s->first), to = qv__min(end, s->first + s->count);
        ws->segments[segments++] = qv__decoder_segment(p, s, layer, from, to - from, from - first);
    }
    return segments;
}

void qv__decoder_finish(qv__pass *p, const qv__decoder_layer *layer, float *x, int64_t count, const float *cos,
                        const float *sin, int64_t segments) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    const qv__workspace *ws = p->workspace;
    int64_t H = t->hidden, D = qv__query_width(t);
    product(p, ws->q, ws->normed, count, &layer->q);
    b->ops->qk_norm_rope(b, ws->q, D, count, t->heads, t->head_dim, layer->q_norm, t->rms_eps, cos, sin);
    b->ops->attention(b, &(qv__attention){.out = ws->attended,
                                          .out_stride = D,
                                          .q = ws->q,
                                          .q_stride = D,
                                          .heads = t->heads,
                                          .kv_heads = t->kv_heads,
                                          .head_dim = t->head_dim,
                                          .scale = (float)(1.0 / sqrt(t->head_dim)),
                                          .causal = true,
                                          .segments = ws->segments,
                                          .segment_count = segments});
    add_product(p, x, ws->attended, count, &layer->o);
    b->ops->rmsnorm(b, ws->normed, H, x, H, count, H, layer->post_norm, t->rms_eps);
    b->ops->linear(b, &(qv__linear){.out = ws->wide,
                                    .out_stride = t->intermediate,
                                    .x = ws->normed,
                                    .x_stride = H,
                                    .rows = count,
                                    .w = &layer->gate,
                                    .w_up = &layer->up,
                                    .epilogue = QV__EPI_SILU_MUL});
    add_product(p, x, ws->wide, count, &layer->down);
}

/* ---- the tower ------------------------------------------------------------------------------------ */

/* keys_only: the last layer, whose other work qv__pool_forward does for the pooled rows alone. */
static void run_layer(qv__pass *p, int index, bool keys_only) {
    const qv__workspace *ws = p->workspace;
    int64_t H = p->n->config.text.hidden, half = p->n->config.text.head_dim / 2;
    int64_t block = qv__block_rows(p->rows, ws->size.block, 1);
    for (int64_t first = 0; first < p->rows; first += block) {
        int64_t count = qv__min(block, p->rows - first);
        store_keys(p, index, first, count);
        if (!keys_only) {
            int64_t segments = list_segments(p, index, first, count);
            qv__decoder_finish(p, &p->n->layers[index], ws->x + first * H, count, ws->cos + first * half,
                               ws->sin + first * half, segments);
        }
        if (!qv__pause(p)) return;
    }
}

/* The last norm of all rows, in place; only a trace wants it. */
static void trace_norm(const qv__pass *p) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    const qv__workspace *ws = p->workspace;
    int64_t H = t->hidden;
    for (int64_t first = 0; first < p->rows; first += ws->size.block) {
        int64_t count = qv__min(ws->size.block, p->rows - first);
        float *x = ws->x + first * H;
        b->ops->rmsnorm(b, ws->normed, H, x, H, count, H, p->n->final_norm, t->rms_eps);
        qv__copy_rows(p, x, H, ws->normed, H, count, H);
    }
    qv__trace(p, "decoder.norm", -1, ws->x, H, p->rows, H);
}

void qv__decoder_forward(qv__pass *p) {
    qv__backend *b = p->n->backend;
    const qv__config *c = &p->n->config;
    const qv__workspace *ws = p->workspace;
    int64_t H = c->text.hidden, deepstack = c->has_vision ? c->vision.deepstack_count : 0;
    for (int i = 0; i < c->text.layers; i++) {
        bool keys_only = i == c->text.layers - 1 && !p->batch->trace;
        run_layer(p, i, keys_only);
        if (p->stopped) return;
        qv__trace(p, "decoder.layer", i, ws->x, H, p->rows, H);
        if (i < deepstack && p->image_rows)
            b->ops->scatter_rows(b, ws->x, H, ws->image_rows, ws->deepstack + i * H, deepstack * H, p->image_rows, H,
                                 true);
    }
    qv__pool_forward(p, p->batch->trace != NULL);
    if (p->batch->trace) trace_norm(p);
}
