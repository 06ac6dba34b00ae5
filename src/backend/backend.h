/* The device seam: about twenty operations over packed rows of fp32, enough for both towers.
 *
 * Conventions. A matrix is row-major with a stride counted in floats; `rows` may be 0. Pointers are device
 * pointers of the backend (plain memory on the CPU). Nothing allocates. Each output element is reduced in
 * one fixed order that depends on neither `rows`, the other rows, the thread count, nor where a prefix or a
 * chunk was cut: the same input row gives the same bytes in any company.
 * An operation cannot fail on the CPU; a device that can fail remembers its first failure and reports it
 * from check(). One thread at a time uses a backend.
 * Formulas: docs/MODEL.md. */
#ifndef QVEC_BACKEND_BACKEND_H
#define QVEC_BACKEND_BACKEND_H

#include "kernels/epilogue.h"
#include "store/checkpoint.h"

typedef struct qv__backend qv__backend;

/* A matrix [rows = N outputs][cols = K inputs] as stored in the checkpoint; of dtype U8 as packed codes
 * (kernels/gemm8.h). */
typedef struct {
    qv__dtype dtype;
    int64_t rows, cols;
    const void *data;    /* device pointer, row-major, not owned on the CPU (the mapping) */
    const float *scales; /* U8: of the codes' groups, not owned either; else NULL */
    const float *input;  /* U8: [cols], x is multiplied with it before it is quantised; NULL: 1 */
    void *packed;        /* of the network: a block that `data` lies in and that is freed with the weight; NULL: none */
} qv__weight;

/* out[r][n] = residual[r][n] + f(sum_k x[r][k] w[n][k] + bias[n]);
 * SILU_MUL: out[r][n] = silu(x·w[n]) * (x·w_up[n]) (no bias, no residual).
 * The sum runs over k upwards in one fp32 accumulator with fused multiply-adds. With weights of dtype U8 x is
 * quantised as they are, and the sum runs over groups of k: kernels/gemm8.h. w and w_up are of one dtype. */
typedef struct {
    float *out;
    int64_t out_stride;
    const float *x;
    int64_t x_stride;
    int64_t rows;
    const qv__weight *w;
    const qv__weight *w_up; /* SILU_MUL only */
    const float *bias;      /* [N] or NULL */
    qv__epilogue epilogue;
    const float *residual; /* NULL: none; may be out itself */
    int64_t residual_stride;
} qv__linear;

/* Keys and values of one segment, at absolute positions 0 .. prefix_count + count - 1: first the prefix's
 * (shared, from the prefix store), then its own rows. k and v rows are [kv_heads * head_dim]. */
typedef struct {
    int64_t q_first, q_count; /* rows of q and out */
    int64_t q_position;       /* absolute position of row q_first; causal: it sees positions <= its own */
    const float *k, *v;       /* first own row */
    int64_t kv_stride, count;
    const float *prefix_k, *prefix_v;
    int64_t prefix_stride, prefix_count;
} qv__segment;

/* out[r][h*d..] = sum_j softmax_j(scale q_h·k_{h'}(j)) v_{h'}(j), h' = h / (heads/kv_heads).
 * Online softmax over key blocks of fixed size aligned to absolute position. */
typedef struct {
    float *out;
    int64_t out_stride;
    const float *q;
    int64_t q_stride;
    int heads, kv_heads, head_dim;
    float scale; /* > 0 */
    bool causal; /* false: every row of a segment sees all of its keys */
    const qv__segment *segments;
    int64_t segment_count;
} qv__attention;

/* One picture or temporal patch, for patch_rows and pos_embed_interp. */
typedef struct {
    const uint8_t *frame[2]; /* [height][width][3], host memory */
    int height, width;
} qv__frame_pair;

typedef struct {
    const char *name; /* "cpu", "cuda" */
    void (*close)(qv__backend *);
    qv_status (*check)(qv__backend *, qv_error *err); /* waits for what was issued; first failure since open */

    /* memory */
    qv_status (*alloc)(qv__backend *, size_t bytes, void **out, qv_error *err);
    void (*free)(qv__backend *, void *block);
    void (*upload)(qv__backend *, void *device, const void *host, size_t bytes);
    void (*download)(qv__backend *, void *host, const void *device, size_t bytes); /* complete on return */
    qv_status (*weight_open)(qv__backend *, const qv__tensor *tensor, int64_t rows, int64_t cols, qv__weight *out,
                             qv_error *err);
    /* The same for a matrix that was quantised: its codes (U8) and scales (F32), as quantize() makes them, and what x
     * is multiplied with (F32 [cols]; NULL: 1). */
    qv_status (*weight_open8)(qv__backend *, const qv__tensor *codes, const qv__tensor *scales, const qv__tensor *input,
                              int64_t rows, int64_t cols, qv__weight *out, qv_error *err);
    void (*weight_close)(qv__backend *, qv__weight *);
    /* Codes and scales, in host memory, of a matrix of another dtype, its columns multiplied with factors[cols] (NULL:
     * 1) before. */
    void (*quantize)(qv__backend *, const qv__tensor *tensor, int64_t rows, int64_t cols, const float *factors,
                     uint8_t *codes, float *scales);

    /* rows in, rows out. `ids`, `rows` index arrays and positions are host memory. */
    void (*embed_rows)(qv__backend *, float *out, int64_t out_stride, const qv__weight *table, const int32_t *ids,
                       int64_t rows);
    void (*linear)(qv__backend *, const qv__linear *args);
    void (*rmsnorm)(qv__backend *, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                    int64_t width, const float *weight, float eps); /* x * rsqrt(mean x² + eps) * weight */
    void (*layernorm)(qv__backend *, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                      int64_t width, const float *weight, const float *bias, float eps);

    /* cos and sin, [rows][head_dim/2] each, from host positions [3][position_stride]: frequency k uses axis H if
     * k%3==1 and k < 3*section[1], W if k%3==2 and k < 3*section[2], else T. */
    void (*mrope_table)(qv__backend *, float *cos, float *sin, const int32_t *positions, int64_t position_stride,
                        int64_t rows, int head_dim, double theta, const int section[3]);
    /* In place, per head: RMSNorm over head_dim (weight NULL: none), then rotate-half rope with row r's table. */
    void (*qk_norm_rope)(qv__backend *, float *x, int64_t stride, int64_t rows, int heads, int head_dim,
                         const float *weight, float eps, const float *cos, const float *sin);
    /* Vision tables, [rows][head_dim/2]: angles [row*f_k, col*f_k], k < head_dim/4, f_k = 10000^(-4k/head_dim), for the
     * patch grid of each pair in 2x2-block order. Used with qk_norm_rope, weight NULL. */
    void (*vision_rope_table)(qv__backend *, float *cos, float *sin, const qv__frame_pair *pairs, int64_t count,
                              int patch, int merge, int head_dim);
    void (*attention)(qv__backend *, const qv__attention *args);
    void (*gather_rows)(qv__backend *, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                        const int32_t *rows, int64_t count, int64_t width); /* out[i] = x[rows[i]] */
    void (*scatter_rows)(qv__backend *, float *x, int64_t x_stride, const int32_t *rows, const float *from,
                         int64_t from_stride, int64_t count, int64_t width,
                         bool add); /* x[rows[i]] = or += from[i]; rows distinct */

    /* vision front: patch rows [first, first+count) of all pairs one after another, in 2x2-block order;
     * a row is channel(3), time(2), y(patch), x(patch) of pixel/127.5 - 1. */
    void (*patch_rows)(qv__backend *, float *out, int64_t out_stride, const qv__frame_pair *pairs, int64_t pair_count,
                       int patch, int merge, int64_t first, int64_t count);
    /* x[r] += bilinear sample of table [side*side][width] at row r's patch position, same order as patch_rows. */
    void (*pos_embed_add)(qv__backend *, float *x, int64_t x_stride, const qv__weight *table, int side,
                          const qv__frame_pair *pairs, int64_t pair_count, int patch, int merge, int64_t first,
                          int64_t count);
} qv__backend_ops;

struct qv__backend {
    const qv__backend_ops *ops; /* a backend's own struct starts with this */
};

/* The CPU backend. threads 0: all CPUs this process may use. tier: highest kernel tier, NULL: the best. */
qv_status qv__cpu_backend_open(int threads, const char *tier, qv__backend **out, qv_error *err);
int qv__cpu_backend_threads(const qv__backend *b);
const char *qv__cpu_backend_tier(const qv__backend *b);  /* "avx2"; static */
const char *qv__cpu_backend_tier8(const qv__backend *b); /* of products of 8-bit codes: "avx512+vnni"; static */
#endif
