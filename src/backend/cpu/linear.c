/* The linear op: blocking, scratch and the sharing out of work; the arithmetic is kernels/gemm.h.
 *
 * Rows come in passes of at most PASS_ROWS. A pass copies its rows of x into blocks of k, [block][row][X_STRIDE], and
 * then runs tasks: a task owns one strip of outputs, and all rows of the pass or a part of them. It goes through the
 * blocks of k, with its sums in the worker's scratch in between. */
#include "backend/cpu/cpu.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/gemm.h"

enum {
    PASS_ROWS = 256,
    TASK_ROWS = 48, /* at least, when rows are shared out too */
    K_BLOCK = QV__GEMM_K_BLOCK,
    /* Few rows hardly use what they make of the weights, so it must not leave the level-1 cache; for many rows it may,
     * and long blocks save storing and reloading the sums. */
    FEW_ROWS = 32,
    FEW_ROWS_K_STEP = 128,
    X_STRIDE = QV__GEMM_X_STRIDE,
    LANES_MAX = QV__GEMM_LANES_MAX,
    STRIP_FLOATS = K_BLOCK * LANES_MAX,
    SUMS_FLOATS = PASS_ROWS * LANES_MAX,
    COPY_ROWS = 16,       /* of one task that copies x */
    COPY_ALONE = 1 << 14, /* floats of x that are copied faster than a helper wakes */
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t quotient_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

size_t qv__cpu_linear_scratch(void) {
    return (STRIP_FLOATS + SUMS_FLOATS) * sizeof(float);
}

qv_status qv__cpu_weight_open(qv__backend *b, const qv__tensor *tensor, int64_t rows, int64_t cols, qv__weight *out,
                              qv_error *err) {
    qv__cpu *cpu = (qv__cpu *)b;
    *out = (qv__weight){0};
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= tensor->shape[i];
    if (!tensor->data || tensor->dtype == QV__U8 || rows < 1 || cols < 1 || count / rows != cols || count % rows)
        return qv__fail(err, QV_INTERNAL, "tensor %s has %lld values, not %lld x %lld", tensor->name,
                        (long long)(tensor->data ? count : 0), (long long)rows, (long long)cols);
    size_t need = (size_t)quotient_up(cols, K_BLOCK) * PASS_ROWS * X_STRIDE * sizeof(float);
    qv_status status = qv__cpu_panel_grow(cpu, need, err);
    if (!status) *out = (qv__weight){.dtype = tensor->dtype, .rows = rows, .cols = cols, .data = tensor->data};
    return status;
}

void qv__cpu_weight_close(qv__backend *b, qv__weight *w) {
    *w = (qv__weight){0};
}

/* One pass over some rows, as its tasks see it. */
typedef struct {
    const qv__cpu *cpu;
    const qv__linear *args;
    int64_t first, rows;   /* of args */
    int64_t strip_outputs; /* of one strip; half its lanes when each output takes two weights */
    int64_t strips;
    int64_t k_step;    /* of one strip, a divisor of K_BLOCK */
    int64_t row_parts; /* tasks of each strip */
    int64_t stride;    /* from a worker's strip to its next, if all are equally fast */
} pass;

/* ---- copying x ---- */

static void copy_rows(const pass *p, int64_t from, int64_t to) {
    int64_t cols = p->args->w->cols;
    for (int64_t k = 0; k < cols; k += K_BLOCK) {
        size_t bytes = (size_t)smaller(K_BLOCK, cols - k) * sizeof(float);
        float *out = p->cpu->panel + k / K_BLOCK * p->rows * X_STRIDE;
        for (int64_t r = from; r < to; r++)
            memcpy(out + r * X_STRIDE, p->args->x + (p->first + r) * p->args->x_stride + k, bytes);
    }
}

static void copy_task(void *context, size_t i, int worker) {
    const pass *p = context;
    int64_t from = (int64_t)i * COPY_ROWS;
    copy_rows(p, from, smaller(from + COPY_ROWS, p->rows));
}

static void copy_x(pass *p) {
    if (p->rows * p->args->w->cols <= COPY_ALONE)
        copy_rows(p, 0, p->rows);
    else
        qv__threads_run(p->cpu->threads, (size_t)quotient_up(p->rows, COPY_ROWS), copy_task, p);
}

/* ---- strips of outputs ---- */

typedef const unsigned char *strip_rows[LANES_MAX];

/* Where the weights of strip `s` lie. Lanes beyond the last output repeat it: computed, never written. */
static void find_rows(const pass *p, int64_t s, strip_rows rows) {
    const qv__linear *a = p->args;
    size_t row_bytes = (size_t)a->w->cols * qv__dtype_size(a->w->dtype);
    for (int lane = 0; lane < p->cpu->gemm->lanes; lane++) {
        const qv__weight *w = lane < p->strip_outputs ? a->w : a->w_up;
        int64_t n = smaller(s * p->strip_outputs + lane % p->strip_outputs, a->w->rows - 1);
        rows[lane] = (const unsigned char *)w->data + (size_t)n * row_bytes;
    }
}

static void finish_strip(const pass *p, int64_t s, int64_t row, int64_t rows, const float *sums) {
    const qv__linear *a = p->args;
    int64_t n = s * p->strip_outputs, r = p->first + row;
    qv__gemm_finish f = {
        .out = a->out + r * a->out_stride + n,
        .out_stride = a->out_stride,
        .sums = sums,
        .sums_stride = p->cpu->gemm->lanes,
        .up_lane = p->cpu->gemm->lanes / 2,
        .rows = rows,
        .count = (int)smaller(p->strip_outputs, a->w->rows - n),
        .epilogue = a->epilogue,
        .bias = a->bias ? a->bias + n : NULL,
        .residual = a->residual ? a->residual + r * a->residual_stride + n : NULL,
        .residual_stride = a->residual_stride,
    };
    p->cpu->gemm->finish(&f);
}

/* Of the weights of strip `s`, if there is one, part `i` of `parts` is to be fetched meanwhile. */
static void look_ahead(const pass *p, int64_t s, int64_t i, int64_t parts, qv__gemm_weights *out) {
    const qv__linear *a = p->args;
    int64_t n = s * p->strip_outputs, bytes = a->w->cols * (int64_t)qv__dtype_size(a->w->dtype);
    if (n >= a->w->rows) return;
    int64_t size = smaller(p->strip_outputs, a->w->rows - n) * bytes, from = size * i / parts;
    out->ahead[0] = (const unsigned char *)a->w->data + n * bytes + from;
    if (a->w_up) out->ahead[1] = (const unsigned char *)a->w_up->data + n * bytes + from;
    out->ahead_bytes = (size_t)(size * (i + 1) / parts - from);
}

/* Task i is strip i / row_parts of one part of the rows. */
static void strip_task(void *context, size_t i, int worker) {
    const pass *p = context;
    const qv__gemm_kernels *gemm = p->cpu->gemm;
    int64_t s = (int64_t)i / p->row_parts, part = (int64_t)i % p->row_parts, cols = p->args->w->cols;
    int64_t row = p->rows * part / p->row_parts, rows = p->rows * (part + 1) / p->row_parts - row;
    int64_t steps = quotient_up(cols, p->k_step);
    float *strip = (float *)(void *)(p->cpu->worker_scratch + (size_t)worker * p->cpu->worker_bytes);
    float *sums = strip + STRIP_FLOATS;
    strip_rows lanes;
    find_rows(p, s, lanes);
    for (int64_t step = 0; step < steps; step++) {
        int64_t k = step * p->k_step;
        qv__gemm_weights w = {.dtype = p->args->w->dtype, .rows = lanes, .k = k, .count = smaller(p->k_step, cols - k)};
        look_ahead(p, s + p->stride, step, steps, &w);
        gemm->strip(strip, &w);
        const float *x = p->cpu->panel + (k / K_BLOCK * p->rows + row) * X_STRIDE + k % K_BLOCK;
        gemm->block(sums, x, strip, w.count, rows, step == 0);
    }
    finish_strip(p, s, row, rows, sums);
}

/* ---- the op ---- */

static void plan(pass *p) {
    int64_t threads = qv__threads_count(p->cpu->threads);
    p->strip_outputs = p->cpu->gemm->lanes / (p->args->epilogue == QV__EPI_SILU_MUL ? 2 : 1);
    p->strips = quotient_up(p->args->w->rows, p->strip_outputs);
    p->k_step = p->rows <= FEW_ROWS ? FEW_ROWS_K_STEP : K_BLOCK;
    p->row_parts = 1; /* more where strips alone leave threads idle */
    while (p->strips * p->row_parts < threads * 2 && p->rows / (p->row_parts + 1) >= TASK_ROWS) p->row_parts++;
    p->stride = quotient_up(threads, p->row_parts);
}

void qv__cpu_linear(qv__backend *b, const qv__linear *args) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    int64_t passes = quotient_up(args->rows, PASS_ROWS);
    if (args->w->dtype == QV__U8) {
        qv__cpu_linear8(b, args);
        return;
    }
    for (int64_t i = 0; i < passes; i++) {
        pass p = {.cpu = cpu, .args = args, .first = args->rows * i / passes};
        p.rows = args->rows * (i + 1) / passes - p.first;
        plan(&p);
        copy_x(&p);
        qv__threads_run(cpu->threads, (size_t)(p.strips * p.row_parts), strip_task, &p);
    }
}
