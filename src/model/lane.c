#include "base/error.h"
#include "base/memory.h"
#include "model/internal.h"

/* A lane's buffers are carved from two blocks, one of device and one of host memory. The carving runs twice: without
 * the blocks it only adds up, and that sum is also the estimate for `info`. */

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

static void carve_device(struct carver *c, const qv__config *config, qv__lane *l) {
    const qv__text_config *t = &config->text;
    const qv__vision_config *v = &config->vision;
    const qv__lane_size *s = &l->size;
    int64_t H = t->hidden, half = t->head_dim / 2;
    int64_t C = config->has_vision ? v->hidden : 0, B = s->block, PB = config->has_vision ? s->patch_block : 0;
    int64_t patch_width = config->has_vision ? qv__max(qv__max(v->intermediate, qv__patch_width(v)), C) : 0;
    l->x = carve_floats(c, s->tokens, H);
    l->k = carve_floats(c, s->tokens, qv__key_width(t));
    l->v = carve_floats(c, s->tokens, qv__key_width(t));
    l->cos = carve_floats(c, s->tokens, half);
    l->sin = carve_floats(c, s->tokens, half);
    l->normed = carve_floats(c, 1, qv__max(B * H, PB * C));
    l->q = carve_floats(c, B, qv__query_width(t));
    l->attended = carve_floats(c, 1, qv__max(B * qv__query_width(t), PB * C));
    l->wide = carve_floats(c, 1, qv__max(B * t->intermediate, PB * patch_width));
    l->pooled = carve_floats(c, B, H);
    l->pooled_cos = carve_floats(c, B, half);
    l->pooled_sin = carve_floats(c, B, half);
    if (!config->has_vision) return;
    l->deepstack = carve_floats(c, s->image_tokens, v->deepstack_count * H);
    l->patch_x = carve_floats(c, s->patches, C);
    l->qkv = carve_floats(c, s->patches, 3 * C);
    l->patch_cos = carve_floats(c, s->patches, C / v->heads / 2);
    l->patch_sin = carve_floats(c, s->patches, C / v->heads / 2);
    l->features = carve_floats(c, s->patches / qv__merged(v), qv__feature_width(config));
}

static void carve_host(struct carver *c, const qv__config *config, qv__lane *l) {
    const qv__lane_size *s = &l->size;
    int64_t most_runs = config->has_vision ? s->patches / qv__merged(&config->vision) : 0;
    l->ids = carve(c, s->tokens, 1, sizeof *l->ids);
    l->positions = carve(c, s->tokens, 3, sizeof *l->positions);
    l->iota = carve(c, s->tokens, 1, sizeof *l->iota);
    l->image_rows = carve(c, s->image_tokens, 1, sizeof *l->image_rows);
    l->pool_rows = carve(c, s->tokens, 1, sizeof *l->pool_rows);
    l->pool_spans = carve(c, s->tokens, 1, sizeof *l->pool_spans);
    l->staging = carve(c, s->block, config->text.hidden, sizeof *l->staging);
    l->spans = carve(c, s->tokens, 1, sizeof *l->spans);
    l->uses = carve(c, s->image_tokens, 1, sizeof *l->uses);
    l->group = carve(c, most_runs, 1, sizeof *l->group);
    l->pairs = carve(c, most_runs, 1, sizeof *l->pairs);
    l->segments = carve(c, qv__max(s->block, s->patch_block), 1, sizeof *l->segments);
}

size_t qv__lane_bytes(const qv__config *config, const qv__lane_size *size) {
    qv__lane lane = {.size = *size};
    struct carver device = {0}, host = {0};
    carve_device(&device, config, &lane);
    carve_host(&host, config, &lane);
    return device.overflow || host.overflow ? SIZE_MAX : device.used + host.used;
}

qv_status qv__lane_open(qv__lane *lane, const qv__network *n, const qv__lane_size *size, qv_error *err) {
    struct carver device = {0}, host = {0};
    *lane = (qv__lane){.size = *size};
    carve_device(&device, &n->config, lane);
    carve_host(&host, &n->config, lane);
    if (device.overflow || host.overflow)
        return qv__fail(err, QV_NO_MEMORY, "a workspace for %lld tokens does not fit the address space",
                        (long long)size->tokens);
    qv_status status = n->backend->ops->alloc(n->backend, device.used, &lane->device, err);
    if (status) return status;
    lane->host = qv__malloc(host.used);
    if (!lane->host) return qv__fail(err, QV_NO_MEMORY, "out of memory for a batch's tables (%zu bytes)", host.used);
    device = (struct carver){.base = lane->device};
    host = (struct carver){.base = lane->host};
    carve_device(&device, &n->config, lane);
    carve_host(&host, &n->config, lane);
    for (int64_t i = 0; i < size->tokens; i++) lane->iota[i] = (int32_t)i;
    return QV_OK;
}

void qv__lane_close(qv__lane *lane, const qv__network *n) {
    if (lane->device) n->backend->ops->free(n->backend, lane->device);
    qv__free(lane->host);
    *lane = (qv__lane){0};
}
