#include <math.h>
#include <string.h>

#include "base/error.h"
#include "model/internal.h"

/* Runs do not see each other, so each distinct picture of a batch is computed once, packed with others into groups of
 * at most max_vision_rows patches (a larger one is a group of its own). A group goes layer by layer, and inside a layer
 * block by block; queries, keys and values of all its rows are made before the first block attends. */

/* ---- what the batch needs ------------------------------------------------------------------------- */

static void list_uses(qv__pass *p) {
    qv__workspace *ws = p->workspace;
    for (int64_t i = 0; i < p->spans; i++) {
        const qv__span *s = &ws->spans[i];
        for (int k = 0; k < s->item->sequence->run_count; k++) {
            const qv__vision_run *run = &s->item->sequence->runs[k];
            int64_t tokens = qv__run_patches(&p->n->config.vision, run) / qv__merged(&p->n->config.vision);
            int64_t from = qv__max(run->first_token, s->start);
            int64_t to = qv__min(run->first_token + tokens, s->start + s->count);
            if (from < to)
                ws->uses[p->uses++] =
                    (qv__run_use){run, s->first + from - s->start, from - run->first_token, to - from, false};
        }
    }
}

static bool same_run(const qv__vision_run *a, const qv__vision_run *b) {
    return memcmp(a->key, b->key, sizeof a->key) == 0 && a->height == b->height && a->width == b->width;
}

/* Features of `run`, [tokens][1 + S][H], to every place that waits for them: the embedding rows, and `deepstack`. */
static void place(qv__pass *p, const qv__vision_run *run, const float *features) {
    const qv__workspace *ws = p->workspace;
    int64_t H = p->n->config.text.hidden, S = p->n->config.vision.deepstack_count, width = (1 + S) * H;
    for (int64_t i = 0; i < p->uses; i++) {
        const qv__run_use *use = &ws->uses[i];
        if (!use->taken || !same_run(use->run, run)) continue;
        const float *from = features + use->skip * width;
        qv__copy_rows(p, ws->x + use->row * H, H, from, width, use->count, H);
        if (!S) continue;
        qv__copy_rows(p, ws->deepstack + p->image_rows * S * H, S * H, from + H, width, use->count, S * H);
        for (int64_t r = 0; r < use->count; r++) ws->image_rows[p->image_rows++] = (int32_t)(use->row + r);
    }
}

/* ---- the tower ------------------------------------------------------------------------------------ */

/* A group under way: runs laid one after another in workspace->group and workspace->pairs. */
struct group {
    qv__pass *p;
    int64_t runs, patches, block;
};

/* out = f(x · a), x without gaps. */
static void affine(struct group *g, float *out, int64_t out_stride, const float *x, int64_t rows, const qv__affine *a,
                   qv__epilogue epilogue) {
    qv__backend *b = g->p->n->backend;
    b->ops->linear(b, &(qv__linear){.out = out,
                                    .out_stride = out_stride,
                                    .x = x,
                                    .x_stride = a->weight.cols,
                                    .rows = rows,
                                    .w = &a->weight,
                                    .bias = a->bias,
                                    .epilogue = epilogue});
}

/* out += x · a, both without gaps. */
static void add_affine(struct group *g, float *out, const float *x, int64_t rows, const qv__affine *a) {
    qv__backend *b = g->p->n->backend;
    int64_t width = a->weight.rows;
    b->ops->linear(b, &(qv__linear){.out = out,
                                    .out_stride = width,
                                    .x = x,
                                    .x_stride = a->weight.cols,
                                    .rows = rows,
                                    .w = &a->weight,
                                    .bias = a->bias,
                                    .residual = out,
                                    .residual_stride = width});
}

static void layernorm(struct group *g, float *out, const float *x, int64_t rows, int64_t width,
                      const qv__layernorm *norm) {
    qv__backend *b = g->p->n->backend;
    b->ops->layernorm(b, out, width, x, width, rows, width, norm->weight, norm->bias, 1e-6f);
}

static void embed_patches(struct group *g) {
    qv__backend *b = g->p->n->backend;
    const qv__vision_config *v = &g->p->n->config.vision;
    const qv__workspace *ws = g->p->workspace;
    int64_t C = v->hidden, width = qv__patch_width(v);
    for (int64_t first = 0; first < g->patches; first += g->block) {
        int64_t count = qv__min(g->block, g->patches - first);
        b->ops->patch_rows(b, ws->wide, width, ws->pairs, g->runs, v->patch, v->merge, first, count);
        affine(g, ws->patch_x + first * C, C, ws->wide, count, &g->p->n->patch_embed, QV__EPI_NONE);
        if (!qv__pause(g->p)) return;
    }
    qv__trace(g->p, "vision.patch_embed", -1, ws->patch_x, C, g->patches, C);
    b->ops->pos_embed_add(b, ws->patch_x, C, &g->p->n->position_table, v->table_side, ws->pairs, g->runs, v->patch,
                          v->merge, 0, g->patches);
    b->ops->vision_rope_table(b, ws->patch_cos, ws->patch_sin, ws->pairs, g->runs, v->patch, v->merge,
                              v->hidden / v->heads);
}

/* Queries, keys and values of rows [first, first + count), rotated, into workspace->qkv. */
static void make_qkv(struct group *g, const qv__vision_block *block, int64_t first, int64_t count) {
    qv__backend *b = g->p->n->backend;
    const qv__vision_config *v = &g->p->n->config.vision;
    const qv__workspace *ws = g->p->workspace;
    int64_t C = v->hidden, half = v->hidden / v->heads / 2;
    float *qkv = ws->qkv + first * 3 * C;
    layernorm(g, ws->normed, ws->patch_x + first * C, count, C, &block->norm1);
    affine(g, qkv, 3 * C, ws->normed, count, &block->qkv, QV__EPI_NONE);
    /* One call for both: the keys' heads lie behind the queries'. */
    b->ops->qk_norm_rope(b, qkv, 3 * C, count, 2 * v->heads, v->hidden / v->heads, NULL, 0,
                         ws->patch_cos + first * half, ws->patch_sin + first * half);
}

/* What rows [first, first + count) see: all rows of their own run. `at`: the run that `first` lies in. */
static int64_t list_segments(struct group *g, int64_t at, int64_t first, int64_t count) {
    const qv__workspace *ws = g->p->workspace;
    int64_t C = g->p->n->config.vision.hidden, end = first + count, segments = 0;
    for (int64_t i = at; i < g->runs && ws->group[i].first < end; i++) {
        const qv__group_run *r = &ws->group[i];
        int64_t from = qv__max(first, r->first), to = qv__min(end, r->first + r->count);
        const float *rows = ws->qkv + r->first * 3 * C;
        ws->segments[segments++] = (qv__segment){.q_first = from - first,
                                                 .q_count = to - from,
                                                 .q_position = from - r->first,
                                                 .k = rows + C,
                                                 .v = rows + 2 * C,
                                                 .kv_stride = 3 * C,
                                                 .count = r->count};
    }
    return segments;
}

static void finish_block(struct group *g, const qv__vision_block *block, int64_t first, int64_t count,
                         int64_t segments) {
    qv__backend *b = g->p->n->backend;
    const qv__vision_config *v = &g->p->n->config.vision;
    const qv__workspace *ws = g->p->workspace;
    int64_t C = v->hidden;
    int head_dim = v->hidden / v->heads;
    float *x = ws->patch_x + first * C;
    b->ops->attention(b, &(qv__attention){.out = ws->attended,
                                          .out_stride = C,
                                          .q = ws->qkv + first * 3 * C,
                                          .q_stride = 3 * C,
                                          .heads = v->heads,
                                          .kv_heads = v->heads,
                                          .head_dim = head_dim,
                                          .scale = (float)(1.0 / sqrt(head_dim)),
                                          .causal = false,
                                          .segments = ws->segments,
                                          .segment_count = segments});
    add_affine(g, x, ws->attended, count, &block->proj);
    layernorm(g, ws->normed, x, count, C, &block->norm2);
    affine(g, ws->wide, v->intermediate, ws->normed, count, &block->fc1, QV__EPI_GELU_TANH);
    add_affine(g, x, ws->wide, count, &block->fc2);
}

static void run_block(struct group *g, const qv__vision_block *block) {
    const qv__workspace *ws = g->p->workspace;
    for (int64_t first = 0; first < g->patches; first += g->block) {
        make_qkv(g, block, first, qv__min(g->block, g->patches - first));
        if (!qv__pause(g->p)) return;
    }
    int64_t at = 0;
    for (int64_t first = 0; first < g->patches; first += g->block) {
        int64_t count = qv__min(g->block, g->patches - first);
        while (ws->group[at].first + ws->group[at].count <= first) at++;
        finish_block(g, block, first, count, list_segments(g, at, first, count));
        if (!qv__pause(g->p)) return;
    }
}

/* M patches to one token: part `part` of the features. The rows of a token lie one after another, so joining them is
 * only another view. joined: the norm is over all M * C values, else over C. */
static void merge(struct group *g, const qv__merger *m, bool joined, int part, const char *stage, int index) {
    const qv__vision_config *v = &g->p->n->config.vision;
    const qv__workspace *ws = g->p->workspace;
    int64_t M = qv__merged(v), C = v->hidden, H = v->out_hidden, width = qv__feature_width(&g->p->n->config);
    float *out = ws->features + part * H;
    for (int64_t first = 0; first < g->patches; first += g->block) {
        int64_t count = qv__min(g->block, g->patches - first), tokens = count / M;
        const float *x = ws->patch_x + first * C;
        if (joined)
            layernorm(g, ws->normed, x, tokens, M * C, &m->norm);
        else
            layernorm(g, ws->normed, x, count, C, &m->norm);
        affine(g, ws->wide, M * C, ws->normed, tokens, &m->fc1, QV__EPI_GELU_ERF);
        affine(g, out + first / M * width, width, ws->wide, tokens, &m->fc2, QV__EPI_NONE);
        if (!qv__pause(g->p)) return;
    }
    qv__trace(g->p, stage, index, out, width, g->patches / M, H);
}

/* Makes the features of the group's runs, offers them to the cache, and puts them where they are needed. */
static void run_group(struct group *g) {
    const qv__network *n = g->p->n;
    const qv__vision_config *v = &n->config.vision;
    const qv__workspace *ws = g->p->workspace;
    const qv__feature_cache *cache = g->p->batch->features;
    int64_t M = qv__merged(v), width = qv__feature_width(&n->config);
    if (!g->runs) return;
    g->block = qv__block_rows(g->patches, ws->size.patch_block, M);
    embed_patches(g);
    for (int i = 0, j = 0; i < v->depth && !g->p->stopped; i++) {
        run_block(g, &n->blocks[i]);
        qv__trace(g->p, "vision.block", i, ws->patch_x, v->hidden, g->patches, v->hidden);
        if (j == v->deepstack_count || v->deepstack[j] != i) continue;
        merge(g, &n->deepstack[j], true, 1 + j, "vision.deepstack", j);
        j++;
    }
    if (!g->p->stopped) merge(g, &n->merger, false, 0, "vision.merger", -1);
    if (g->p->stopped) return;
    for (int64_t i = 0; i < g->runs; i++) {
        const float *features = ws->features + ws->group[i].first / M * width;
        if (cache && cache->offer)
            cache->offer(cache->user, ws->group[i].run, features, ws->group[i].count / M * width);
        place(g->p, ws->group[i].run, features);
    }
    g->runs = g->patches = 0;
}

/* ---- forward -------------------------------------------------------------------------------------- */

/* Marks every use of the run from `at` on: its features come now. */
static void take(const qv__pass *p, int64_t at) {
    for (int64_t i = at; i < p->uses; i++)
        if (!p->workspace->uses[i].taken && same_run(p->workspace->uses[i].run, p->workspace->uses[at].run))
            p->workspace->uses[i].taken = true;
}

static void add_run(struct group *g, const qv__vision_run *run, int64_t patches) {
    const qv__pass *p = g->p;
    if (g->runs && g->patches + patches > qv__min(p->n->options.max_vision_rows, p->workspace->size.patches))
        run_group(g);
    p->workspace->group[g->runs] = (qv__group_run){run, g->patches, patches};
    p->workspace->pairs[g->runs++] = (qv__frame_pair){{run->frame[0], run->frame[1]}, run->height, run->width};
    g->patches += patches;
}

qv_status qv__vision_forward(qv__pass *p, qv_error *err) {
    const qv__feature_cache *cache = p->batch->features;
    struct group g = {.p = p};
    list_uses(p);
    for (int64_t i = 0; i < p->uses; i++) {
        const qv__run_use *use = &p->workspace->uses[i];
        int64_t patches = qv__run_patches(&p->n->config.vision, use->run);
        const float *features = NULL;
        if (use->taken) continue;
        if (patches > p->workspace->size.patches)
            return qv__fail(
                err, QV_TOO_LARGE, "a picture of %d x %d pixels has %lld patches, more than the %lld there is room for",
                use->run->height, use->run->width, (long long)patches, (long long)p->workspace->size.patches);
        if (cache && cache->find && cache->find(cache->user, use->run, &features)) {
            take(p, i);
            place(p, use->run, features);
            continue;
        }
        add_run(&g, use->run, patches);
        if (p->stopped) return QV_OK;
        take(p, i);
    }
    run_group(&g);
    return QV_OK;
}
