#include "store/dummy.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/threads.h"

#define GOLDEN 0x9E3779B97F4A7C15u

/* ---- the list of tensors ------------------------------------------------------------------------- */

struct list {
    qv__dummy_each each;
    void *context;
    bool stopped;
};

__attribute__((format(printf, 4, 5))) static void emit(struct list *l, int rank, const int64_t *shape,
                                                       const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (!l->stopped) l->stopped = !l->each(l->context, name, rank, shape);
}

static void emit_vector(struct list *l, int64_t size, const char *prefix, const char *name) {
    emit(l, 1, (int64_t[]){size}, "%s%s", prefix, name);
}

static void emit_matrix(struct list *l, int64_t rows, int64_t columns, const char *prefix, const char *name) {
    emit(l, 2, (int64_t[]){rows, columns}, "%s%s", prefix, name);
}

/* A weight (a matrix, or a vector when columns is 0) and its bias. */
static void emit_pair(struct list *l, int64_t rows, int64_t columns, const char *prefix, const char *name) {
    emit(l, columns ? 2 : 1, (int64_t[]){rows, columns}, "%s%s.weight", prefix, name);
    emit(l, 1, (int64_t[]){rows}, "%s%s.bias", prefix, name);
}

static void list_text(struct list *l, const qv__text_config *t) {
    int64_t H = t->hidden, I = t->intermediate, q = (int64_t)t->heads * t->head_dim,
            kv = (int64_t)t->kv_heads * t->head_dim;
    emit_matrix(l, t->vocab, H, "model.language_model.", "embed_tokens.weight");
    for (int n = 0; n < t->layers && !l->stopped; n++) {
        char p[64];
        snprintf(p, sizeof p, "model.language_model.layers.%d.", n);
        emit_vector(l, H, p, "input_layernorm.weight");
        emit_matrix(l, q, H, p, "self_attn.q_proj.weight");
        emit_matrix(l, kv, H, p, "self_attn.k_proj.weight");
        emit_matrix(l, kv, H, p, "self_attn.v_proj.weight");
        emit_matrix(l, H, q, p, "self_attn.o_proj.weight");
        emit_vector(l, t->head_dim, p, "self_attn.q_norm.weight");
        emit_vector(l, t->head_dim, p, "self_attn.k_norm.weight");
        emit_vector(l, H, p, "post_attention_layernorm.weight");
        emit_matrix(l, I, H, p, "mlp.gate_proj.weight");
        emit_matrix(l, I, H, p, "mlp.up_proj.weight");
        emit_matrix(l, H, I, p, "mlp.down_proj.weight");
    }
    emit_vector(l, H, "model.language_model.", "norm.weight");
}

/* norm: size of the LayerNorm, before (C) or after (C merge^2) the four patches are joined. */
static void list_merger(struct list *l, const qv__vision_config *v, int64_t norm, const char *prefix) {
    int64_t joined = (int64_t)v->hidden * v->merge * v->merge;
    emit_pair(l, norm, 0, prefix, "norm");
    emit_pair(l, joined, joined, prefix, "linear_fc1");
    emit_pair(l, v->out_hidden, joined, prefix, "linear_fc2");
}

static void list_vision(struct list *l, const qv__vision_config *v) {
    int64_t C = v->hidden, I = v->intermediate;
    emit(l, 5, (int64_t[]){C, v->channels, v->temporal_patch, v->patch, v->patch},
         "model.visual.patch_embed.proj.weight");
    emit_vector(l, C, "model.visual.", "patch_embed.proj.bias");
    emit_matrix(l, (int64_t)v->table_side * v->table_side, C, "model.visual.", "pos_embed.weight");
    char p[64];
    for (int n = 0; n < v->depth && !l->stopped; n++) {
        snprintf(p, sizeof p, "model.visual.blocks.%d.", n);
        emit_pair(l, C, 0, p, "norm1");
        emit_pair(l, C, 0, p, "norm2");
        emit_pair(l, 3 * C, C, p, "attn.qkv");
        emit_pair(l, C, C, p, "attn.proj");
        emit_pair(l, I, C, p, "mlp.linear_fc1");
        emit_pair(l, C, I, p, "mlp.linear_fc2");
    }
    list_merger(l, v, C, "model.visual.merger.");
    for (int j = 0; j < v->deepstack_count; j++) {
        snprintf(p, sizeof p, "model.visual.deepstack_merger_list.%d.", j);
        list_merger(l, v, C * v->merge * v->merge, p);
    }
}

bool qv__dummy_list(const qv__config *config, qv__dummy_each each, void *context) {
    struct list l = {each, context, false};
    list_text(&l, &config->text);
    if (config->has_vision) list_vision(&l, &config->vision);
    if (!config->tie_embeddings) emit_matrix(&l, config->text.vocab, config->text.hidden, "", "lm_head.weight");
    return !l.stopped;
}

/* ---- the values ---------------------------------------------------------------------------------- */

/* value = add + scale * n with n = 2 (x >> 40) + 1 - 2^24, an odd 25-bit integer: the rule's u is n 2^-24, and
 * folding the power of two into scale changes no rounding. z: the first element's state before mixing. One
 * text, compiled below for several instruction sets; all give the same bits. */
__attribute__((always_inline)) static inline void fill(uint64_t z, double add, double scale, size_t count,
                                                       uint16_t *restrict out) {
    for (size_t i = 0; i < count; i++, z += GOLDEN) {
        int32_t n = 2 * (int32_t)(qv__mix64(z) >> 40) + 1 - (1 << 24);
        float value = (float)(add + scale * (double)n);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        out[i] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
}

static void fill_portable(uint64_t z, double add, double scale, size_t count, uint16_t *out) {
    fill(z, add, scale, count, out);
}
typedef void fill_function(uint64_t, double, double, size_t, uint16_t *);

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void fill_avx2(uint64_t z, double add, double scale, size_t count,
                                                      uint16_t *out) {
    fill(z, add, scale, count, out);
}
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void
fill_avx512(uint64_t z, double add, double scale, size_t count, uint16_t *out) {
    fill(z, add, scale, count, out);
}
#endif

static fill_function *choose_fill(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return fill_avx512;
    if (__builtin_cpu_supports("avx2")) return fill_avx2;
#endif
    return fill_portable;
}

void qv__dummy_fill(const char *name, int rank, const int64_t *shape, uint64_t seed, uint64_t start, size_t count,
                    uint16_t *out) {
    size_t length = strlen(name);
    uint64_t base = qv__mix64(qv__fnv1a(QV__FNV1A_START, name, length) + GOLDEN * (seed + 1));
    double add = 0, scale = 0.1, columns = 1;
    if (length < 5 || strcmp(name + length - 5, ".bias")) {
        for (int i = 1; i < rank; i++) columns *= (double)shape[i];
        if (rank == 1)
            add = 1;
        else
            scale = sqrt(3 / columns);
    }
    choose_fill()(base + GOLDEN * (start + 1), add, scale * 0x1p-24, count, out);
}

/* ---- all tensors, in parallel --------------------------------------------------------------------- */

enum { CHUNK = 1 << 20, ALIGN = 64 }; /* elements of a task; bytes between tensors */

struct job {
    qv__tensor *const *tensors;
    size_t count;
    size_t *first_task; /* [count]: tensor t is made by the tasks from first_task[t] */
    uint64_t seed;
};

static size_t elements_of(const qv__tensor *t) {
    return t->bytes / 2;
}

static void make_chunk(void *context, size_t task, int worker) {
    const struct job *job = context;
    size_t low = 0, high = job->count; /* the last tensor whose first task is <= task */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (job->first_task[middle] <= task)
            low = middle;
        else
            high = middle;
    }
    const qv__tensor *t = job->tensors[low];
    size_t start = (task - job->first_task[low]) * CHUNK, count = elements_of(t) - start;
    if (count > CHUNK) count = CHUNK;
    qv__dummy_fill(t->name, t->rank, t->shape, job->seed, start, count, (uint16_t *)t->data + start);
}

/* Address space is not memory: a map larger than the machine would be granted and die while being filled. */
static qv_status map_memory(size_t size, qv__mapping *out, qv_error *err) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0 && size / (size_t)page > (size_t)pages)
        return qv__fail(err, QV_NO_MEMORY, "dummy weights need %zu MB, more than this machine's memory", size >> 20);
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return qv__fail(err, QV_NO_MEMORY, "out of memory: dummy weights need %zu MB", size >> 20);
#ifdef MADV_HUGEPAGE
    madvise(data, size, MADV_HUGEPAGE);
#endif
    *out = (qv__mapping){data, size};
    return QV_OK;
}

qv_status qv__dummy_make(qv__tensor *const *tensors, size_t count, uint64_t seed, int threads, qv__mapping *out,
                         qv_error *err) {
    qv_status status = QV_NO_MEMORY;
    qv__threads *pool = NULL;
    struct job job = {tensors, count, qv__alloc_array(count, sizeof(size_t)), seed};
    size_t size = 0, tasks = 0;
    for (size_t i = 0; i < count && job.first_task; i++) {
        if (__builtin_add_overflow(size, (tensors[i]->bytes + ALIGN - 1) / ALIGN * ALIGN, &size)) goto done;
        job.first_task[i] = tasks;
        tasks += (elements_of(tensors[i]) + CHUNK - 1) / CHUNK;
    }
    pool = job.first_task ? qv__threads_open(threads > 0 ? threads : qv__cpu_count()) : NULL;
    if (!pool) goto done;
    if ((status = map_memory(size, out, err))) goto failed;
    char *at = out->data;
    for (size_t i = 0; i < count; i++) {
        tensors[i]->data = at;
        at += (tensors[i]->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    qv__threads_run(pool, tasks, make_chunk, &job);
    mprotect(out->data, out->size, PROT_READ); /* like a mapped file: a stray write must show */
done:
    if (status) qv__fail(err, status, "out of memory for dummy weights");
failed:
    qv__threads_close(&pool);
    qv__free(job.first_task);
    return status;
}

qv_status qv__dummy_seed(const char *load_format, uint64_t *seed, qv_error *err) {
    *seed = 0;
    if (strcmp(load_format, "dummy") == 0) return QV_OK;
    const char *digits = load_format + strlen("dummy:");
    size_t n = strspn(digits, "0123456789");
    errno = 0;
    *seed = strtoull(digits, NULL, 10);
    if (n == 0 || digits[n] || errno)
        return qv__fail(err, QV_INVALID_ARGUMENT, "load format \"%.64s\": the seed is not an integer within 0..2^64-1",
                        load_format);
    return QV_OK;
}
