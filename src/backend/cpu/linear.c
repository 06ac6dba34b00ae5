/* The linear op: blocking, scratch and the sharing out of work; the arithmetic is kernels/gemm.h.
 *
 * Rows come in passes of at most PASS_ROWS. A pass copies its rows of x into blocks of k, [block][row][X_STRIDE], and
 * then runs tasks: a task owns a range of rows and a few strips of outputs. For each block of k it goes through its
 * strips, so that the task's rows of the block stay in the level-2 cache; the sums wait in the worker's scratch. */
#include "backend/cpu/cpu.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/gemm.h"

enum {
    PASS_ROWS = 256,
    TASK_STRIPS = 4, /* at most */
    TASK_ROWS = 48,  /* at least, when rows are shared out too */
    K_BLOCK = QV__GEMM_K_BLOCK,
    X_STRIDE = QV__GEMM_X_STRIDE,
    LANES_MAX = QV__GEMM_LANES_MAX,
    STRIP_FLOATS = K_BLOCK * LANES_MAX,
    SUMS_FLOATS = TASK_STRIPS * PASS_ROWS * LANES_MAX,
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
    if (!tensor->data || rows < 1 || cols < 1 || count / rows != cols || count % rows)
        return qv__fail(err, QV_INTERNAL, "tensor %s has %lld values, not %lld x %lld", tensor->name,
                        (long long)(tensor->data ? count : 0), (long long)rows, (long long)cols);
    size_t need = (size_t)quotient_up(cols, K_BLOCK) * PASS_ROWS * X_STRIDE * sizeof(float);
    if (need > cpu->panel_bytes) {
        float *panel = qv__alloc_aligned(need, 64);
        if (!panel) return qv__fail(err, QV_NO_MEMORY, "out of memory for scratch of %zu bytes", need);
        qv__free(cpu->panel);
        cpu->panel = panel;
        cpu->panel_bytes = need;
    }
    *out = (qv__weight){.dtype = tensor->dtype, .rows = rows, .cols = cols, .data = tensor->data};
    return QV_OK;
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
    int64_t strips, task_strips;
    int64_t row_parts;
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
        .rows = rows,
        .count = (int)smaller(p->strip_outputs, a->w->rows - n),
        .epilogue = a->epilogue,
        .bias = a->bias ? a->bias + n : NULL,
        .residual = a->residual ? a->residual + r * a->residual_stride + n : NULL,
        .residual_stride = a->residual_stride,
    };
    p->cpu->gemm->finish(&f);
}

/* Strips [from, to) of rows [row, row + rows). */
static void run_strips(const pass *p, int64_t from, int64_t to, int64_t row, int64_t rows, float *scratch) {
    const qv__gemm_kernels *gemm = p->cpu->gemm;
    int64_t cols = p->args->w->cols, count = to - from, steps = quotient_up(cols, K_BLOCK) * count;
    float *strip = scratch, *sums = scratch + STRIP_FLOATS;
    strip_rows lanes[TASK_STRIPS];
    for (int64_t s = 0; s < count; s++) find_rows(p, from + s, lanes[s]);
    for (int64_t step = 0; step < steps; step++) {
        int64_t s = step % count, k = step / count * K_BLOCK, next = step + 1;
        qv__gemm_weights w = {
            .dtype = p->args->w->dtype, .rows = lanes[s], .k = k, .count = smaller(K_BLOCK, cols - k)};
        if (next < steps) w.ahead = lanes[next % count], w.ahead_k = next / count * K_BLOCK;
        gemm->strip(strip, &w);
        float *sum = sums + s * rows * gemm->lanes;
        gemm->block(sum, p->cpu->panel + (k / K_BLOCK * p->rows + row) * X_STRIDE, strip, w.count, rows, k == 0);
        if (k + w.count == cols) finish_strip(p, from + s, row, rows, sum);
    }
}

static void strips_task(void *context, size_t i, int worker) {
    const pass *p = context;
    int64_t part = (int64_t)i % p->row_parts, from = (int64_t)i / p->row_parts * p->task_strips;
    int64_t row = p->rows * part / p->row_parts, end = p->rows * (part + 1) / p->row_parts;
    float *scratch = (float *)(void *)(p->cpu->worker_scratch + (size_t)worker * p->cpu->worker_bytes);
    run_strips(p, from, smaller(from + p->task_strips, p->strips), row, end - row, scratch);
}

/* ---- the op ---- */

/* Enough tasks that the last to end keeps nobody waiting long: fewer strips a task first, then rows in parts. */
static void plan(pass *p) {
    int64_t threads = qv__threads_count(p->cpu->threads), wanted = threads == 1 ? 1 : threads * 8;
    p->strip_outputs = p->cpu->gemm->lanes / (p->args->epilogue == QV__EPI_SILU_MUL ? 2 : 1);
    p->strips = quotient_up(p->args->w->rows, p->strip_outputs);
    p->task_strips = smaller(quotient_up(p->strips, wanted), TASK_STRIPS);
    p->row_parts = 1;
    while (p->strips * p->row_parts < threads * 2 && p->rows / (p->row_parts + 1) >= TASK_ROWS) p->row_parts++;
}

void qv__cpu_linear(qv__backend *b, const qv__linear *args) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    int64_t passes = quotient_up(args->rows, PASS_ROWS);
    for (int64_t i = 0; i < passes; i++) {
        pass p = {.cpu = cpu, .args = args, .first = args->rows * i / passes};
        p.rows = args->rows * (i + 1) / passes - p.first;
        plan(&p);
        copy_x(&p);
        qv__threads_run(cpu->threads, (size_t)(quotient_up(p.strips, p.task_strips) * p.row_parts), strips_task, &p);
    }
}
