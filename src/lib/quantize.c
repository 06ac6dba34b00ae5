#include "lib/quantize.h"

#include <string.h>

#include "backend/backend.h"
#include "base/error.h"
#include "base/memory.h"
#include "model/coded.h"
#include "store/export.h"
#include "store/quantized.h"

/* What is written for one tensor of the checkpoint: itself, or its codes, scales and input factors. */
typedef struct {
    const qv__tensor *from;
    bool coded;
    size_t at[3]; /* in the list of what is written */
} source;

typedef struct {
    qv__checkpoint *checkpoint;
    qv__backend *backend;
    qv__export *export;
    source *sources;
    size_t count;
    qv__tensor *list; /* [3 * count], `listed` of them: codes, then scales and factors, then the rest */
    size_t listed;
    qv__arena names;
} quantizing;

static bool is_coded(const qv__tensor *t) {
    return t->rank == 2 && t->shape[0] > 0 && t->shape[1] > 0 && qv__quantized_name(t->name);
}

static size_t add(quantizing *q, const char *name, qv__dtype dtype, int rank, const int64_t *shape) {
    qv__tensor *t = &q->list[q->listed];
    *t = (qv__tensor){.name = name, .dtype = dtype, .rank = rank, .bytes = qv__dtype_size(dtype)};
    for (int i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        t->bytes *= (size_t)shape[i];
    }
    return q->listed++;
}

static qv_status add_factors(quantizing *q, source *s, qv_error *err) {
    char scale_name[300], input_name[300];
    int64_t shape[4];
    if (!qv__quantized_scale_name(s->from->name, scale_name, sizeof scale_name) ||
        !qv__quantized_input_name(s->from->name, input_name, sizeof input_name))
        return qv__fail(err, QV_INTERNAL, "tensor name does not fit");
    const char *scale = qv__arena_strndup(&q->names, scale_name, strlen(scale_name));
    const char *input = qv__arena_strndup(&q->names, input_name, strlen(input_name));
    if (!scale || !input) return qv__fail(err, QV_NO_MEMORY, "out of memory for names");
    qv__quantized_scales_shape(s->from->shape[0], s->from->shape[1], shape);
    s->at[1] = add(q, scale, QV__F32, 3, shape);
    s->at[2] = add(q, input, QV__F32, 1, &s->from->shape[1]);
    return QV_OK;
}

/* Codes first: sizes that are multiples of a cache line, behind a header that is one. */
static qv_status make_list(quantizing *q, qv_error *err) {
    q->count = qv__checkpoint_count(q->checkpoint);
    q->sources = qv__calloc(q->count, sizeof *q->sources);
    q->list = qv__calloc(q->count, 3 * sizeof *q->list);
    if (!q->sources || !q->list) return qv__fail(err, QV_NO_MEMORY, "out of memory for the list of tensors");
    for (size_t i = 0; i < q->count; i++) {
        source *s = &q->sources[i];
        s->from = qv__checkpoint_at(q->checkpoint, i);
        s->coded = is_coded(s->from);
        int64_t shape[4];
        if (!s->coded) continue;
        qv__quantized_codes_shape(s->from->shape[0], s->from->shape[1], shape);
        s->at[0] = add(q, s->from->name, QV__U8, 4, shape);
    }
    for (size_t i = 0; i < q->count; i++) {
        qv_status status = q->sources[i].coded ? add_factors(q, &q->sources[i], err) : QV_OK;
        if (status) return status;
    }
    for (size_t i = 0; i < q->count; i++) {
        source *s = &q->sources[i];
        if (!s->coded) s->at[0] = add(q, s->from->name, s->from->dtype, s->from->rank, s->from->shape);
    }
    return QV_OK;
}

static qv_status write_codes(quantizing *q, const source *s, qv_error *err) {
    const qv__tensor *t = s->from;
    void *block = qv__alloc_aligned(qv__coded_bytes(t->shape[0], t->shape[1]), 64);
    if (!block) return qv__fail(err, QV_NO_MEMORY, "out of memory for the codes of %s", t->name);
    qv__coded coded = {0};
    qv_status status = qv__coded_make(q->backend, q->checkpoint, t, t->shape[0], t->shape[1], block, &coded, err);
    const qv__tensor *parts[3] = {&coded.codes, &coded.scales, &coded.input};
    for (int i = 0; !status && i < 3; i++) status = qv__export_write(q->export, s->at[i], parts[i]->data, err);
    qv__free(block);
    return status;
}

static qv_status write_all(quantizing *q, const qv__quantize_options *o, qv_error *err) {
    int64_t done = 0, total = 0;
    for (size_t i = 0; i < q->count; i++) total += (int64_t)q->sources[i].from->bytes;
    for (size_t i = 0; i < q->count; i++) {
        const source *s = &q->sources[i];
        qv_status status =
            s->coded ? write_codes(q, s, err) : qv__export_write(q->export, s->at[0], s->from->data, err);
        if (status) return status;
        done += (int64_t)s->from->bytes;
        if (o->progress && !o->progress(o->user, done, total)) return qv__fail(err, QV_CANCELLED, "stopped");
    }
    return qv__export_finish(q->export, err);
}

static qv_status run(quantizing *q, const char *folder, const char *out, const qv__quantize_options *o, qv_error *err) {
    const qv__checkpoint_options options = {.load_format = o->load_format, .threads = o->threads};
    qv_status status = qv__checkpoint_open(folder, &options, &q->checkpoint, err);
    if (status) return status;
    if (qv__checkpoint_config(q->checkpoint)->quantized)
        return qv__fail(err, QV_INVALID_ARGUMENT, "the weights of %s are 8-bit codes already", folder);
    status = qv__cpu_backend_open(o->threads, NULL, &q->backend, err);
    if (!status) status = make_list(q, err);
    if (!status) status = qv__export_open(q->checkpoint, out, q->list, q->listed, &q->export, err);
    return status ? status : write_all(q, o, err);
}

qv_status qv__quantize_folder(const char *folder, const char *out, const qv__quantize_options *options, qv_error *err) {
    quantizing q = {0};
    qv_status status = run(&q, folder, out, options, err);
    qv__export_close(&q.export);
    if (q.backend) q.backend->ops->close(q.backend);
    if (q.checkpoint) qv__checkpoint_close(&q.checkpoint);
    qv__free(q.sources);
    qv__free(q.list);
    qv__arena_clear(&q.names);
    return status;
}
