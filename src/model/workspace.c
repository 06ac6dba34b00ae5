#include "base/error.h"
#include "base/memory.h"
#include "model/internal.h"

/* A workspace's buffers are carved from two blocks, one of device and one of host memory. The carving runs twice:
 * without the blocks it only adds up, and that sum is also the estimate for `info`. */

struct carver {
    char *base; /* NULL: adding up */
    size_t used;
    bool overflow;
};

enum { CARVE_ALIGN = 64 };

static void *carve(struct carver *c, int64_t rows, int64_t width, size_t size) {
    size_t bytes, at = c->used;
    if (__builtin_mul_overflow((size_t)rows, (size_t)width, &bytes) || __builtin_mul_overflow(bytes, size, &bytes) ||
        bytes > SIZE_MAX / 4 - c->used) {
        c->overflow = true;
        return NULL;
    }
    c->used += (bytes + CARVE_ALIGN - 1) / CARVE_ALIGN * CARVE_ALIGN;
    return c->base ? c->base + at : NULL;
}

static float *carve_floats(struct carver *c, int64_t rows, int64_t width) {
    return carve(c, rows, width, sizeof(float));
}

static void carve_device(struct carver *c, const qv__config *config, qv__workspace *ws) {
    const qv__text_config *t = &config->text;
    const qv__vision_config *v = &config->vision;
    const qv__workspace_size *s = &ws->size;
    int64_t H = t->hidden, half = t->head_dim / 2;
    int64_t C = config->has_vision ? v->hidden : 0, B = s->block, PB = config->has_vision ? s->patch_block : 0;
    int64_t patch_width = config->has_vision ? qv__max(qv__max(v->intermediate, qv__patch_width(v)), C) : 0;
    ws->x = carve_floats(c, s->tokens, H);
    ws->k = carve_floats(c, s->tokens, qv__key_width(t));
    ws->v = carve_floats(c, s->tokens, qv__key_width(t));
    ws->cos = carve_floats(c, s->tokens, half);
    ws->sin = carve_floats(c, s->tokens, half);
    ws->normed = carve_floats(c, 1, qv__max(B * H, PB * C));
    ws->q = carve_floats(c, B, qv__query_width(t));
    ws->attended = carve_floats(c, 1, qv__max(B * qv__query_width(t), PB * C));
    ws->wide = carve_floats(c, 1, qv__max(B * t->intermediate, PB * patch_width));
    ws->pooled = carve_floats(c, B, H);
    ws->pooled_cos = carve_floats(c, B, half);
    ws->pooled_sin = carve_floats(c, B, half);
    if (!config->has_vision) return;
    ws->deepstack = carve_floats(c, s->image_tokens, v->deepstack_count * H);
    ws->patch_x = carve_floats(c, s->patches, C);
    ws->qkv = carve_floats(c, s->patches, 3 * C);
    ws->patch_cos = carve_floats(c, s->patches, C / v->heads / 2);
    ws->patch_sin = carve_floats(c, s->patches, C / v->heads / 2);
    ws->features = carve_floats(c, s->patches / qv__merged(v), qv__feature_width(config));
}

static void carve_host(struct carver *c, const qv__config *config, qv__workspace *ws) {
    const qv__workspace_size *s = &ws->size;
    int64_t most_runs = config->has_vision ? s->patches / qv__merged(&config->vision) : 0;
    ws->ids = carve(c, s->tokens, 1, sizeof *ws->ids);
    ws->positions = carve(c, s->tokens, 3, sizeof *ws->positions);
    ws->iota = carve(c, s->tokens, 1, sizeof *ws->iota);
    ws->image_rows = carve(c, s->image_tokens, 1, sizeof *ws->image_rows);
    ws->pool_rows = carve(c, s->tokens, 1, sizeof *ws->pool_rows);
    ws->pool_spans = carve(c, s->tokens, 1, sizeof *ws->pool_spans);
    ws->staging = carve(c, s->block, config->text.hidden, sizeof *ws->staging);
    ws->spans = carve(c, s->tokens, 1, sizeof *ws->spans);
    ws->uses = carve(c, s->image_tokens, 1, sizeof *ws->uses);
    ws->group = carve(c, most_runs, 1, sizeof *ws->group);
    ws->pairs = carve(c, most_runs, 1, sizeof *ws->pairs);
    ws->segments = carve(c, qv__max(s->block, s->patch_block), 1, sizeof *ws->segments);
}

size_t qv__workspace_bytes(const qv__config *config, const qv__workspace_size *size) {
    qv__workspace workspace = {.size = *size};
    struct carver device = {0}, host = {0};
    carve_device(&device, config, &workspace);
    carve_host(&host, config, &workspace);
    return device.overflow || host.overflow ? SIZE_MAX : device.used + host.used;
}

qv_status qv__workspace_open(qv__workspace *workspace, const qv__network *n, const qv__workspace_size *size,
                             qv_error *err) {
    struct carver device = {0}, host = {0};
    *workspace = (qv__workspace){.size = *size};
    carve_device(&device, &n->config, workspace);
    carve_host(&host, &n->config, workspace);
    if (device.overflow || host.overflow)
        return qv__fail(err, QV_NO_MEMORY, "a workspace for %lld tokens does not fit the address space",
                        (long long)size->tokens);
    qv_status status = n->backend->ops->alloc(n->backend, device.used, &workspace->device, err);
    if (status) return status;
    workspace->host = qv__malloc(host.used);
    if (!workspace->host)
        return qv__fail(err, QV_NO_MEMORY, "out of memory for a batch's tables (%zu bytes)", host.used);
    device = (struct carver){.base = workspace->device};
    host = (struct carver){.base = workspace->host};
    carve_device(&device, &n->config, workspace);
    carve_host(&host, &n->config, workspace);
    for (int64_t i = 0; i < size->tokens; i++) workspace->iota[i] = (int32_t)i;
    return QV_OK;
}

void qv__workspace_close(qv__workspace *workspace, const qv__network *n) {
    if (workspace->device) n->backend->ops->free(n->backend, workspace->device);
    qv__free(workspace->host);
    *workspace = (qv__workspace){0};
}
