#include <math.h>
#include <string.h>

#include "model/internal.h"

/* h · (W_yes - W_no): products and sum in double, k upwards, rounded once. */
static float score_of(const float *h, const float *w, int64_t width) {
    double sum = 0;
    for (int64_t k = 0; k < width; k++) sum += (double)h[k] * (double)w[k];
    return (float)sum;
}

static bool all_finite(const float *x, int64_t width) {
    for (int64_t i = 0; i < width; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* Final-norm rows in workspace->normed, of pooled items [first, first + count), to the items' results. */
static void give_results(qv__pass *p, int64_t first, int64_t count) {
    qv__backend *b = p->n->backend;
    const qv__workspace *ws = p->workspace;
    int64_t H = p->n->config.text.hidden;
    b->ops->download(b, ws->staging, ws->normed, (size_t)(count * H) * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        const qv__batch_item *item = ws->spans[ws->pool_spans[first + i]].item;
        const float *h = ws->staging + i * H;
        float score = item->score ? score_of(h, p->n->score, H) : 0;
        if (item->score) *item->score = score;
        if (item->hidden) memcpy(item->hidden, h, (size_t)H * sizeof *h);
        if (!isfinite(score) || !all_finite(h, H)) p->item_status[item - p->batch->items] = QV_NON_FINITE;
    }
}

/* The last layer's queries, attention and MLP for the pooled rows that were gathered. */
static void finish_layer(qv__pass *p, int64_t first, int64_t count) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    const qv__workspace *ws = p->workspace;
    int last = t->layers - 1;
    int64_t H = t->hidden, half = t->head_dim / 2;
    const int32_t *rows = ws->pool_rows + first;
    for (int64_t i = 0; i < count; i++)
        ws->segments[i] = qv__decoder_segment(p, &ws->spans[ws->pool_spans[first + i]], last, rows[i], 1, i);
    b->ops->gather_rows(b, ws->pooled_cos, half, ws->cos, half, rows, count, half);
    b->ops->gather_rows(b, ws->pooled_sin, half, ws->sin, half, rows, count, half);
    b->ops->rmsnorm(b, ws->normed, H, ws->pooled, H, count, H, p->n->layers[last].input_norm, t->rms_eps);
    qv__decoder_finish(p, &p->n->layers[last], ws->pooled, count, ws->pooled_cos, ws->pooled_sin, count);
}

void qv__pool_forward(qv__pass *p, bool finished) {
    qv__backend *b = p->n->backend;
    const qv__text_config *t = &p->n->config.text;
    const qv__workspace *ws = p->workspace;
    int64_t H = t->hidden, block = qv__block_rows(p->pooled, ws->size.block, 1);
    for (int64_t first = 0; first < p->pooled; first += block) {
        int64_t count = qv__min(block, p->pooled - first);
        b->ops->gather_rows(b, ws->pooled, H, ws->x, H, ws->pool_rows + first, count, H);
        if (!finished) finish_layer(p, first, count);
        b->ops->rmsnorm(b, ws->normed, H, ws->pooled, H, count, H, p->n->final_norm, t->rms_eps);
        give_results(p, first, count);
        if (!qv__pause(p)) return;
    }
}
