#include "backend/cpu/cpu.h"

#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/memory.h"

/* ---- blocks: a header in front tells free() where the block came from ---- */

enum { BLOCK_ALIGN = 64, MAPPED_FROM = 1 << 20 };

typedef struct {
    _Alignas(BLOCK_ALIGN) size_t mapped; /* bytes of the mapping; 0: from the heap */
} block_header;

/* Large blocks are mapped, so that pages nobody touches cost nothing and all of it goes back when freed. */
static void *block_alloc(size_t size) {
    if (size > SIZE_MAX - sizeof(block_header)) return NULL;
    size += sizeof(block_header);
    size_t mapped = size >= MAPPED_FROM ? size : 0;
    block_header *h;
    if (mapped) {
        h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (h == MAP_FAILED) return NULL;
    } else {
        h = qv__alloc_aligned(size, BLOCK_ALIGN);
        if (!h) return NULL;
    }
    h->mapped = mapped;
    return h + 1;
}

static void block_free(void *block) {
    if (!block) return;
    block_header *h = (block_header *)block - 1;
    if (h->mapped)
        munmap(h, h->mapped);
    else
        qv__free(h);
}

static qv_status cpu_alloc(qv__backend *b, size_t bytes, void **out, qv_error *err) {
    *out = block_alloc(bytes);
    return *out ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for a block of %zu bytes", bytes);
}

static void cpu_free(qv__backend *b, void *block) {
    block_free(block);
}

static void cpu_copy(qv__backend *b, void *to, const void *from, size_t bytes) {
    if (bytes) memcpy(to, from, bytes);
}

static qv_status cpu_check(qv__backend *b, qv_error *err) {
    return QV_OK;
}

qv_status qv__cpu_panel_grow(qv__cpu *cpu, size_t bytes, qv_error *err) {
    if (bytes <= cpu->panel_bytes) return QV_OK;
    float *panel = qv__alloc_aligned(bytes, BLOCK_ALIGN);
    if (!panel) return qv__fail(err, QV_NO_MEMORY, "out of memory for scratch of %zu bytes", bytes);
    qv__free(cpu->panel);
    cpu->panel = panel;
    cpu->panel_bytes = bytes;
    return QV_OK;
}

/* ---- the backend ---- */

static void cpu_close(qv__backend *b) {
    qv__cpu *cpu = (qv__cpu *)b;
    qv__threads_close(&cpu->threads);
    qv__free(cpu->panel);
    qv__free(cpu->worker_scratch);
    qv__free(cpu);
}

static const qv__backend_ops ops = {
    .name = "cpu",
    .close = cpu_close,
    .check = cpu_check,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .weight_open = qv__cpu_weight_open,
    .weight_open8 = qv__cpu_weight_open8,
    .weight_close = qv__cpu_weight_close,
    .quantize = qv__cpu_quantize,
    .linear = qv__cpu_linear,
    .embed_rows = qv__cpu_embed_rows,
    .rmsnorm = qv__cpu_rmsnorm,
    .layernorm = qv__cpu_layernorm,
    .mrope_table = qv__cpu_mrope_table,
    .qk_norm_rope = qv__cpu_qk_norm_rope,
    .vision_rope_table = qv__cpu_vision_rope_table,
    .attention = qv__cpu_attention,
    .gather_rows = qv__cpu_gather_rows,
    .scatter_rows = qv__cpu_scatter_rows,
    .patch_rows = qv__cpu_patch_rows,
    .pos_embed_add = qv__cpu_pos_embed_add,
};

enum { SCRATCH_ALIGN = 4096 };

static size_t scratch_bytes(void) {
    size_t linear = qv__cpu_linear_scratch(), attention = qv__cpu_attention_scratch();
    size_t most = linear > attention ? linear : attention, linear8 = qv__cpu_linear8_scratch();
    if (linear8 > most) most = linear8;
    return (most + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

qv_status qv__cpu_backend_open(int threads, const char *tier, qv__backend **out, qv_error *err) {
    *out = NULL;
    if (threads < 0) return qv__fail(err, QV_INVALID_ARGUMENT, "threads is %d; it must be 0 (all) or more", threads);
    qv__tier chosen;
    qv_status status = qv__tier_parse(tier, &chosen, err);
    if (status) return status;
    qv__cpu *cpu = qv__calloc(1, sizeof *cpu);
    if (!cpu) return qv__fail(err, QV_NO_MEMORY, "out of memory for the CPU backend");
    cpu->base.ops = &ops;
    cpu->tier = chosen;
    cpu->gemm = qv__gemm_kernels_of(chosen);
    cpu->gemm8 = qv__gemm8_kernels_of(chosen);
    cpu->rows = qv__rows_kernels_of(chosen);
    cpu->attention = qv__attention_kernels_of(chosen);
    if (threads == 0) threads = qv__cpu_count();
    cpu->worker_bytes = scratch_bytes();
    cpu->worker_scratch = qv__alloc_aligned(cpu->worker_bytes * (size_t)threads, SCRATCH_ALIGN);
    if (!cpu->worker_scratch) {
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for the scratch of %d threads", threads);
        goto fail;
    }
    cpu->threads = qv__threads_open(threads);
    if (!cpu->threads) {
        status = qv__fail(err, QV_NO_MEMORY, "cannot start %d threads", threads);
        goto fail;
    }
    *out = &cpu->base;
    return QV_OK;
fail:
    qv__threads_close(&cpu->threads);
    qv__free(cpu->worker_scratch);
    qv__free(cpu);
    return status;
}

int qv__cpu_backend_threads(const qv__backend *b) {
    return qv__threads_count(((const qv__cpu *)b)->threads);
}
const char *qv__cpu_backend_tier(const qv__backend *b) {
    return qv__tier_name(((const qv__cpu *)b)->tier);
}
const char *qv__cpu_backend_tier8(const qv__backend *b) {
    return qv__tier_name8(((const qv__cpu *)b)->tier);
}
