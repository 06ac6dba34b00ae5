#include "model/network.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/internal.h"

enum {
    ROW_BLOCK = 256,      /* default of row_block */
    VISION_ROWS = 4096,   /* default of max_vision_rows */
    RUN_TOKENS = 2048,    /* a picture of this many tokens fits whatever max_tokens is: with a prefix most of its tokens
                             may lie outside the batch */
    ROWS_LIMIT = 1 << 24, /* row indexes are int32, and rows * widths stay far from overflow */
};

/* ---- open and close ------------------------------------------------------------------------------- */

static qv__network_options with_defaults(const qv__network_options *given) {
    qv__network_options o = *given;
    if (o.row_block == 0) o.row_block = ROW_BLOCK;
    if (o.max_vision_rows == 0) o.max_vision_rows = VISION_ROWS;
    return o;
}

/* Room for batches of `tokens`, with vision groups of at most `patches` and that many tokens of them in a batch. */
static qv__workspace_size workspace_size(const qv__config *c, const qv__network_options *o, int64_t tokens,
                                         int64_t patches, int64_t image_tokens) {
    qv__workspace_size s = {.tokens = tokens, .block = qv__min(o->row_block, tokens)};
    if (!c->has_vision) return s;
    int64_t unit = qv__merged(&c->vision);
    s.patches = (patches + unit - 1) / unit * unit;
    s.image_tokens = image_tokens;
    s.patch_block = qv__min((o->row_block + unit - 1) / unit * unit, s.patches);
    return s;
}

static qv_status check_options(const qv__config *c, const qv__network_options *o, qv_error *err) {
    const struct {
        const char *name;
        int64_t value, min;
    } rows[] = {{"max_tokens", o->max_tokens, 1},
                {"nested_tokens", o->nested_tokens, 0},
                {"row_block", o->row_block, 1},
                {"max_vision_rows", o->max_vision_rows, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value < rows[i].min || rows[i].value > ROWS_LIMIT)
            return qv__fail(err, QV_INVALID_ARGUMENT, "%s is %lld, not within %lld..%d", rows[i].name,
                            (long long)rows[i].value, (long long)rows[i].min, ROWS_LIMIT);
    if (c->has_vision && c->vision.temporal_patch != 2)
        return qv__fail(err, QV_UNSUPPORTED, "vision_config.temporal_patch_size is %d; only 2 is supported",
                        c->vision.temporal_patch);
    return QV_OK;
}

static qv_status open_workspaces(qv__network *n, qv_error *err) {
    const qv__network_options *o = &n->options;
    int64_t unit = n->config.has_vision ? qv__merged(&n->config.vision) : 0;
    int64_t patches = qv__max(o->max_vision_rows, unit * qv__max(o->max_tokens, RUN_TOKENS));
    qv__workspace_size size = workspace_size(&n->config, o, o->max_tokens, patches, o->max_tokens);
    qv_status status = qv__workspace_open(&n->workspaces[0], n, &size, err);
    if (status || !o->nested_tokens) return status;
    size = workspace_size(&n->config, o, o->nested_tokens, unit * o->nested_tokens, o->nested_tokens);
    return qv__workspace_open(&n->workspaces[1], n, &size, err);
}

qv_status qv__network_open(qv__backend *backend, const qv__checkpoint *checkpoint, const qv__network_options *options,
                           qv__network **out, qv_error *err) {
    *out = NULL;
    qv__network *n = qv__calloc(1, sizeof *n);
    if (!n) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    n->backend = backend;
    n->config = *qv__checkpoint_config(checkpoint);
    n->options = with_defaults(options);
    qv_status status = check_options(&n->config, &n->options, err);
    if (!status) status = qv__weights_open(n, checkpoint, err);
    if (!status) status = open_workspaces(n, err);
    if (!status) status = backend->ops->check(backend, err);
    if (status) {
        qv__network_close(&n);
        return status;
    }
    *out = n;
    return QV_OK;
}

void qv__network_close(qv__network **network) {
    qv__network *n = *network;
    if (!n) return;
    for (int i = 0; i < 2; i++) qv__workspace_close(&n->workspaces[i], n);
    qv__weights_close(n);
    qv__free(n);
    *network = NULL;
}

size_t qv__network_bytes(const qv__config *config, const qv__network_options *options) {
    qv__network_options o = with_defaults(options);
    int64_t unit = config->has_vision ? qv__merged(&config->vision) : 1;
    int64_t patches = qv__min(o.max_vision_rows, unit * o.max_tokens);
    qv__workspace_size size = workspace_size(config, &o, o.max_tokens, patches, patches / unit);
    size_t bytes = qv__workspace_bytes(config, &size), nested = 0;
    if (o.nested_tokens) {
        size = workspace_size(config, &o, o.nested_tokens, unit * o.nested_tokens, o.nested_tokens);
        nested = qv__workspace_bytes(config, &size);
    }
    if (bytes == SIZE_MAX || nested == SIZE_MAX) return SIZE_MAX;
    return bytes + nested + qv__weights_bytes(config, o.score_head);
}

size_t qv__network_text_bytes(const qv__config *config, const qv__network_options *options) {
    qv__config text = *config;
    qv__network_options alone = *options;
    text.has_vision = false;
    alone.nested_tokens = 0;
    size_t bytes = qv__network_bytes(&text, &alone);
    /* The vision tower's vectors are converted at open, whoever uses them. */
    return bytes == SIZE_MAX ? bytes : bytes + qv__weights_bytes(config, false) - qv__weights_bytes(&text, false);
}

/* ---- facts ---------------------------------------------------------------------------------------- */

int64_t qv__network_hidden(const qv__network *n) {
    return n->config.text.hidden;
}
qv__backend *qv__network_backend(const qv__network *n) {
    return n->backend;
}

size_t qv__network_prefix_bytes(const qv__network *n) {
    return (size_t)n->config.text.layers * (size_t)qv__key_width(&n->config.text) * 2 * sizeof(float);
}

/* ---- what the files of model/ share --------------------------------------------------------------- */

void qv__copy_rows(const qv__pass *p, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t count,
                   int64_t width) {
    qv__backend *b = p->n->backend;
    for (int64_t at = 0; at < count; at += p->workspace->size.tokens) {
        int64_t rows = qv__min(count - at, p->workspace->size.tokens);
        b->ops->gather_rows(b, out + at * out_stride, out_stride, x + at * x_stride, x_stride, p->workspace->iota, rows,
                            width);
    }
}

bool qv__pause(qv__pass *p) {
    if (p->batch->pause && !p->nested) p->batch->pause(p->batch->user);
    if (p->batch->stop && p->batch->stop(p->batch->user)) p->stopped = true;
    return !p->stopped;
}

void qv__trace(const qv__pass *p, const char *stage, int index, const float *rows, int64_t stride, int64_t count,
               int64_t width) {
    char name[64];
    if (!p->batch->trace) return;
    if (index < 0)
        snprintf(name, sizeof name, "%s", stage);
    else
        snprintf(name, sizeof name, "%s.%d", stage, index);
    p->batch->trace(p->batch->trace_user, name, rows, stride, count, width);
}

int64_t qv__block_rows(int64_t rows, int64_t most, int64_t unit) {
    int64_t blocks = (rows + most - 1) / most;
    int64_t even = blocks ? (rows + blocks - 1) / blocks : rows;
    return qv__max((even + unit - 1) / unit * unit, unit);
}

/* ---- forward -------------------------------------------------------------------------------------- */

static qv_status check_prefixes(const qv__batch_item *item, int at, qv_error *err) {
    const qv__prefix *prefix = item->prefix, *keep = item->keep;
    int32_t length = item->sequence->length;
    if (length < 1) return qv__fail(err, QV_INVALID_ARGUMENT, "item %d of the batch has no tokens", at);
    if (prefix && (prefix->length < 0 || prefix->length >= length))
        return qv__fail(err, QV_INVALID_ARGUMENT, "item %d of the batch: a prefix of %lld tokens before a prompt of %d",
                        at, (long long)prefix->length, length);
    if (keep && (keep->length < 0 || keep->length > length || keep->length > keep->capacity))
        return qv__fail(err, QV_INVALID_ARGUMENT, "item %d of the batch: %lld tokens to keep of %d, with room for %lld",
                        at, (long long)keep->length, length, (long long)keep->capacity);
    return QV_OK;
}

static qv_status check_runs(const qv__network *n, const qv__sequence *s, int at, qv_error *err) {
    const qv__vision_config *v = &n->config.vision;
    if (s->run_count && !n->config.has_vision)
        return qv__fail(err, QV_UNSUPPORTED, "this checkpoint has no vision tower");
    int64_t end = 0; /* of the run before */
    for (int i = 0; i < s->run_count; i++) {
        const qv__vision_run *r = &s->runs[i];
        int cell = v->patch * v->merge;
        if (r->height < cell || r->width < cell || r->height % cell || r->width % cell)
            return qv__fail(err, QV_INVALID_ARGUMENT,
                            "item %d of the batch: a picture of %d x %d pixels, not multiples of %d", at, r->height,
                            r->width, cell);
        if (r->first_token < end)
            return qv__fail(err, QV_INVALID_ARGUMENT, "item %d of the batch: a picture at token %d, before token %lld",
                            at, r->first_token, (long long)end);
        end = r->first_token + qv__vision_tokens(v, r->height, r->width);
    }
    return QV_OK;
}

/* Copies the item's ids and positions from token `start` on behind those that are there. */
static qv_status add_item(qv__pass *p, const qv__batch_item *item, int at, qv_error *err) {
    qv__workspace *ws = p->workspace;
    const qv__sequence *s = item->sequence;
    qv_status status = check_prefixes(item, at, err);
    if (!status) status = check_runs(p->n, s, at, err);
    if (status) return status;
    if (item->score && !p->n->score) return qv__fail(err, QV_WRONG_TASK, "this model has no score head");
    int64_t start = item->prefix ? item->prefix->length : 0, count = s->length - start;
    if (count > ws->size.tokens - p->rows)
        return qv__fail(err, QV_TOO_LONG, "a batch of more than %lld tokens", (long long)ws->size.tokens);
    ws->spans[p->spans++] = (qv__span){item, p->rows, count, start};
    for (int64_t i = 0; i < count; i++) {
        int32_t id = s->ids[start + i];
        if (id < 0 || id >= p->n->config.text.vocab)
            return qv__fail(err, QV_INVALID_ARGUMENT, "item %d of the batch: token id %d is not within 0..%d", at, id,
                            p->n->config.text.vocab - 1);
        ws->ids[p->rows + i] = id;
    }
    for (int64_t axis = 0; axis < 3; axis++)
        memcpy(ws->positions + axis * ws->size.tokens + p->rows, s->positions + axis * s->length + start,
               (size_t)count * sizeof *ws->positions);
    if (item->hidden || item->score) {
        ws->pool_rows[p->pooled] = (int32_t)(p->rows + count - 1);
        ws->pool_spans[p->pooled++] = (int32_t)(p->spans - 1);
    }
    p->rows += count;
    return QV_OK;
}

static qv_status run_pass(qv__pass *p, qv_error *err) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    qv__workspace *ws = p->workspace;
    for (int i = 0; i < p->batch->count; i++) {
        p->item_status[i] = QV_OK;
        qv_status status = add_item(p, &p->batch->items[i], i, err);
        if (status) return status;
    }
    if (!p->rows) return QV_OK;
    b->ops->embed_rows(b, ws->x, t->hidden, &p->n->embed, ws->ids, p->rows);
    b->ops->mrope_table(b, ws->cos, ws->sin, ws->positions, ws->size.tokens, p->rows, t->head_dim, t->rope_theta,
                        t->mrope_section);
    qv_status status = qv__vision_forward(p, err);
    if (!status && !p->stopped) qv__decoder_forward(p);
    if (!status && p->stopped) status = qv__fail(err, QV_CANCELLED, "the input was cancelled while it was computed");
    qv_status failed = b->ops->check(b, status ? NULL : err);
    return status ? status : failed;
}

qv_status qv__network_forward(qv__network *n, const qv__batch *batch, qv_status *item_status, qv_error *err) {
    if (n->depth > 1 || (n->depth == 1 && !n->options.nested_tokens))
        return qv__fail(err, QV_INTERNAL, "a forward inside a pause that has no room of its own");
    qv__pass p = {.n = n,
                  .workspace = &n->workspaces[n->depth],
                  .batch = batch,
                  .item_status = item_status,
                  .nested = n->depth > 0};
    n->depth++;
    qv_status status = run_pass(&p, err);
    n->depth--;
    return status;
}
