/* The CPU backend's insides, shared by its files. One thread at a time uses a backend (backend.h). */
#ifndef QVEC_BACKEND_CPU_CPU_H
#define QVEC_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/gemm8.h"
#include "kernels/rows.h"
#include "kernels/tier.h"

typedef struct {
    qv__backend base; /* first */
    qv__threads *threads;
    qv__tier tier;
    const qv__gemm_kernels *gemm;
    const qv__gemm8_kernels *gemm8;
    const qv__rows_kernels *rows;
    const qv__attention_kernels *attention;
    /* Scratch of linear: grown by weight_open for the widest weight, never while computing. */
    float *panel;
    size_t panel_bytes;
    /* Scratch of each worker, [threads][worker_bytes]: fixed at open. */
    unsigned char *worker_scratch;
    size_t worker_bytes;
} qv__cpu;

/* The scratch that both kinds of linear copy x into: at least `bytes` from now on. */
qv_status qv__cpu_panel_grow(qv__cpu *cpu, size_t bytes, qv_error *err);

/* linear.c */
qv_status qv__cpu_weight_open(qv__backend *b, const qv__tensor *tensor, int64_t rows, int64_t cols, qv__weight *out,
                              qv_error *err);
void qv__cpu_weight_close(qv__backend *b, qv__weight *w);
void qv__cpu_linear(qv__backend *b, const qv__linear *args);
size_t qv__cpu_linear_scratch(void); /* bytes that each worker needs */

/* linear8.c */
qv_status qv__cpu_weight_open8(qv__backend *b, const qv__tensor *codes, const qv__tensor *scales,
                               const qv__tensor *input, int64_t rows, int64_t cols, qv__weight *out, qv_error *err);
void qv__cpu_quantize(qv__backend *b, const qv__tensor *tensor, int64_t rows, int64_t cols, const float *factors,
                      uint8_t *codes, float *scales);
void qv__cpu_linear8(qv__backend *b, const qv__linear *args);
size_t qv__cpu_linear8_scratch(void); /* bytes that each worker needs */

/* rows.c */
/* work(context, first, last) over ranges that cover [0, rows), a few thousand floats each; inline when there are few.
 */
void qv__cpu_for_rows(const qv__cpu *cpu, int64_t rows, int64_t row_floats,
                      void (*work)(const void *context, int64_t first, int64_t last), const void *context);
void qv__cpu_embed_rows(qv__backend *b, float *out, int64_t out_stride, const qv__weight *table, const int32_t *ids,
                        int64_t rows);
void qv__cpu_rmsnorm(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                     int64_t width, const float *weight, float eps);
void qv__cpu_layernorm(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                       int64_t width, const float *weight, const float *bias, float eps);
void qv__cpu_mrope_table(qv__backend *b, float *cos, float *sin, const int32_t *positions, int64_t position_stride,
                         int64_t rows, int head_dim, double theta, const int section[3]);
void qv__cpu_qk_norm_rope(qv__backend *b, float *x, int64_t stride, int64_t rows, int heads, int head_dim,
                          const float *weight, float eps, const float *cos, const float *sin);
void qv__cpu_gather_rows(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                         const int32_t *rows, int64_t count, int64_t width);
void qv__cpu_scatter_rows(qv__backend *b, float *x, int64_t x_stride, const int32_t *rows, const float *from,
                          int64_t from_stride, int64_t count, int64_t width, bool add);

/* attention.c */
void qv__cpu_attention(qv__backend *b, const qv__attention *args);
size_t qv__cpu_attention_scratch(void); /* bytes that each worker needs */

/* vision.c */
void qv__cpu_vision_rope_table(qv__backend *b, float *cos, float *sin, const qv__frame_pair *pairs, int64_t count,
                               int patch, int merge, int head_dim);
void qv__cpu_patch_rows(qv__backend *b, float *out, int64_t out_stride, const qv__frame_pair *pairs, int64_t pair_count,
                        int patch, int merge, int64_t first, int64_t count);
void qv__cpu_pos_embed_add(qv__backend *b, float *x, int64_t x_stride, const qv__weight *table, int side,
                           const qv__frame_pair *pairs, int64_t pair_count, int patch, int merge, int64_t first,
                           int64_t count);
#endif
