/* The linear op over quantised weights: blocking, scratch and the sharing out of work; the arithmetic is
 * kernels/gemm8.h.
 *
 * As in linear.c, rows come in passes. A pass quantises its rows of x into blocks of k, [block][row], and then runs
 * tasks: a task owns one strip of outputs, which is two panels of weights, and all rows of the pass or a part of them.
 * The weights are used where they lie. */
#include "backend/cpu/cpu.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/half.h"

enum {
    PASS_ROWS = 256,
    TASK_ROWS = 48, /* at least, when rows are shared out too */
    GROUP = QV__INT8_GROUP,
    PANEL = QV__INT8_PANEL,
    LANES = QV__GEMM8_LANES,
    K_BLOCK = QV__GEMM8_K_BLOCK,
    SUMS_BYTES = PASS_ROWS * LANES * 4,
    QUANTIZE_ROWS = 8,        /* of one task that quantises x */
    QUANTIZE_ALONE = 1 << 13, /* values of x that are quantised faster than a helper wakes */
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t quotient_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

size_t qv__cpu_linear8_scratch(void) {
    return SUMS_BYTES + QV__GEMM8_SCRATCH;
}

/* ---- weights -------------------------------------------------------------------------------------- */

qv_status qv__cpu_weight_open8(qv__backend *b, const qv__tensor *codes, const qv__tensor *scales,
                               const qv__tensor *input, int64_t rows, int64_t cols, qv__weight *out, qv_error *err) {
    qv__cpu *cpu = (qv__cpu *)b;
    *out = (qv__weight){0};
    size_t panels = (size_t)qv__int8_panels(rows), groups = (size_t)qv__int8_groups(cols);
    if (!codes->data || !scales->data || rows < 1 || cols < 1 || codes->dtype != QV__U8 || scales->dtype != QV__F32 ||
        (input && (!input->data || input->dtype != QV__F32 || input->bytes != (size_t)cols * sizeof(float))) ||
        codes->bytes != panels * groups * PANEL * GROUP || scales->bytes != panels * groups * PANEL * sizeof(float))
        return qv__fail(err, QV_INTERNAL, "tensor %s has not the codes of %lld x %lld values", codes->name,
                        (long long)rows, (long long)cols);
    size_t need = (size_t)quotient_up(cols, K_BLOCK) * PASS_ROWS * sizeof(qv__gemm8_x);
    qv_status status = qv__cpu_panel_grow(cpu, need, err);
    if (!status)
        *out = (qv__weight){.dtype = QV__U8,
                            .rows = rows,
                            .cols = cols,
                            .data = codes->data,
                            .scales = scales->data,
                            .input = input ? input->data : NULL};
    return status;
}

typedef struct {
    const qv__cpu *cpu;
    const qv__tensor *tensor;
    int64_t rows, cols;
    const float *factors;
    uint8_t *codes;
    float *scales;
} packing;

static void read_values(const qv__tensor *t, int64_t first, int count, float *out) {
    size_t size = qv__dtype_size(t->dtype);
    const unsigned char *at = (const unsigned char *)t->data + (size_t)first * size;
    if (t->dtype == QV__BF16)
        for (int i = 0; i < count; i++) out[i] = qv__stored_to_float(QV__BF16, at + (size_t)i * 2);
    else
        for (int i = 0; i < count; i++) out[i] = qv__stored_to_float(t->dtype, at + (size_t)i * size);
}

/* Sixteen rows of a block, each quantised by itself, woven into a panel. */
static void weave(const qv__gemm8_x x[PANEL], int groups, uint8_t *codes, float *scales) {
    for (int k = 0; k < groups * GROUP; k += 4)
        for (int lane = 0; lane < PANEL; lane++) {
            uint32_t four;
            memcpy(&four, x[lane].code + k, sizeof four);
            four ^= 0x80808080; /* + 128 */
            memcpy(codes + k * PANEL + lane * 4, &four, sizeof four);
        }
    for (int g = 0; g < groups; g++)
        for (int lane = 0; lane < PANEL; lane++) scales[g * PANEL + lane] = x[lane].scale[g];
}

static void pack_panel(void *context, size_t i, int worker) {
    const packing *p = context;
    int64_t groups = qv__int8_groups(p->cols), first = (int64_t)i * PANEL;
    uint8_t *codes = p->codes + (int64_t)i * groups * GROUP * PANEL;
    float *scales = p->scales + (int64_t)i * groups * PANEL, values[K_BLOCK];
    qv__gemm8_x x[PANEL];
    for (int64_t k = 0; k < p->cols; k += K_BLOCK) {
        int count = (int)smaller(K_BLOCK, p->cols - k);
        for (int lane = 0; lane < PANEL; lane++) {
            if (first + lane < p->rows)
                read_values(p->tensor, (first + lane) * p->cols + k, count, values);
            else
                memset(values, 0, (size_t)count * sizeof *values);
            p->cpu->gemm8->quantize(&x[lane], values, p->factors ? p->factors + k : NULL, count);
        }
        weave(x, (int)qv__int8_groups(count), codes + k * PANEL, scales + k / GROUP * PANEL);
    }
}

void qv__cpu_quantize(qv__backend *b, const qv__tensor *tensor, int64_t rows, int64_t cols, const float *factors,
                      uint8_t *codes, float *scales) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    packing p = {cpu, tensor, rows, cols, factors, codes, scales};
    qv__threads_run(cpu->threads, (size_t)qv__int8_panels(rows), pack_panel, &p);
}

/* ---- quantising x --------------------------------------------------------------------------------- */

/* One pass over some rows, as its tasks see it. */
typedef struct {
    const qv__cpu *cpu;
    const qv__linear *args;
    int64_t first, rows;   /* of args */
    int64_t strip_outputs; /* of one strip; half its lanes when each output takes two weights */
    int64_t strips, row_parts;
} pass;

static void quantize_rows(const pass *p, int64_t from, int64_t to) {
    const qv__linear *a = p->args;
    qv__gemm8_x *panel = (void *)p->cpu->panel;
    for (int64_t r = from; r < to; r++)
        for (int64_t k = 0; k < a->w->cols; k += K_BLOCK)
            p->cpu->gemm8->quantize(&panel[k / K_BLOCK * p->rows + r], a->x + (p->first + r) * a->x_stride + k,
                                    a->w->input ? a->w->input + k : NULL, (int)smaller(K_BLOCK, a->w->cols - k));
}

static void quantize_task(void *context, size_t i, int worker) {
    const pass *p = context;
    int64_t from = (int64_t)i * QUANTIZE_ROWS;
    quantize_rows(p, from, smaller(from + QUANTIZE_ROWS, p->rows));
}

static void quantize_x(pass *p) {
    if (p->rows * p->args->w->cols <= QUANTIZE_ALONE)
        quantize_rows(p, 0, p->rows);
    else
        qv__threads_run(p->cpu->threads, (size_t)quotient_up(p->rows, QUANTIZE_ROWS), quantize_task, p);
}

/* ---- strips of outputs ---------------------------------------------------------------------------- */

/* Block `block` of the panels of strip `s`. A strip without a second panel says its first one again: computed, never
 * written. */
static qv__gemm8_weights find_block(const pass *p, int64_t s, int64_t block) {
    const qv__linear *a = p->args;
    int64_t groups = qv__int8_groups(a->w->cols), last = qv__int8_panels(a->w->rows) - 1;
    int64_t left = groups - block * QV__GEMM8_GROUPS;
    qv__gemm8_weights w = {.groups = (int)smaller(QV__GEMM8_GROUPS, left), .ahead = left > QV__GEMM8_GROUPS};
    for (int i = 0; i < 2; i++) {
        const qv__weight *from = i && a->w_up ? a->w_up : a->w;
        int64_t panel = a->w_up ? s : smaller(2 * s + i, last);
        int64_t group = panel * groups + block * QV__GEMM8_GROUPS;
        w.codes[i] = (const uint8_t *)from->data + group * GROUP * PANEL;
        w.scales[i] = from->scales + group * PANEL;
    }
    return w;
}

static void finish_strip(const pass *p, int64_t s, int64_t row, int64_t rows, const float *sums) {
    const qv__linear *a = p->args;
    const qv__gemm_kernels *gemm = p->cpu->gemm;
    int64_t step = a->w_up ? gemm->lanes / 2 : gemm->lanes, r = p->first + row;
    int64_t end = smaller((s + 1) * p->strip_outputs, a->w->rows);
    for (int64_t n = s * p->strip_outputs; n < end; n += step) {
        qv__gemm_finish f = {
            .out = a->out + r * a->out_stride + n,
            .out_stride = a->out_stride,
            .sums = sums + n - s * p->strip_outputs,
            .sums_stride = LANES,
            .rows = rows,
            .count = (int)smaller(step, end - n),
            .up_lane = PANEL,
            .epilogue = a->epilogue,
            .bias = a->bias ? a->bias + n : NULL,
            .residual = a->residual ? a->residual + r * a->residual_stride + n : NULL,
            .residual_stride = a->residual_stride,
        };
        gemm->finish(&f);
    }
}

/* The places that finish_strip will read and write, a row of them in each page or so, fetched while there is still
 * something to compute. */
static void fetch_places(const pass *p, int64_t s, int64_t row, int64_t rows) {
    const qv__linear *a = p->args;
    int64_t n = s * p->strip_outputs, count = smaller(p->strip_outputs, a->w->rows - n);
    for (int64_t r = p->first + row; r < p->first + row + rows; r++)
        for (int64_t at = n; at < n + count; at += 64 / (int64_t)sizeof(float)) {
            __builtin_prefetch(a->out + r * a->out_stride + at, 1, 2);
            if (a->residual && a->residual != a->out)
                __builtin_prefetch(a->residual + r * a->residual_stride + at, 0, 2);
        }
}

/* Task i is strip i / row_parts of one part of the rows. */
static void strip_task(void *context, size_t i, int worker) {
    const pass *p = context;
    int64_t s = (int64_t)i / p->row_parts, part = (int64_t)i % p->row_parts;
    int64_t row = p->rows * part / p->row_parts, rows = p->rows * (part + 1) / p->row_parts - row;
    int64_t blocks = quotient_up(p->args->w->cols, K_BLOCK);
    unsigned char *scratch = p->cpu->worker_scratch + (size_t)worker * p->cpu->worker_bytes;
    float *sums = (void *)scratch;
    const qv__gemm8_x *x = (const void *)p->cpu->panel;
    for (int64_t block = 0; block < blocks; block++) {
        qv__gemm8_weights w = find_block(p, s, block);
        if (block == blocks - 1) fetch_places(p, s, row, rows);
        p->cpu->gemm8->block(sums, x + block * p->rows + row, &w, rows, block == 0, scratch + SUMS_BYTES);
    }
    finish_strip(p, s, row, rows, sums);
}

/* ---- the op --------------------------------------------------------------------------------------- */

static void plan(pass *p) {
    int64_t threads = qv__threads_count(p->cpu->threads);
    p->strip_outputs = p->args->w_up ? PANEL : LANES;
    p->strips = quotient_up(p->args->w->rows, p->strip_outputs);
    p->row_parts = 1; /* more where strips alone leave threads idle */
    while (p->strips * p->row_parts < threads * 2 && p->rows / (p->row_parts + 1) >= TASK_ROWS) p->row_parts++;
}

void qv__cpu_linear8(qv__backend *b, const qv__linear *args) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    int64_t passes = quotient_up(args->rows, PASS_ROWS);
    for (int64_t i = 0; i < passes; i++) {
        pass p = {.cpu = cpu, .args = args, .first = args->rows * i / passes};
        p.rows = args->rows * (i + 1) / passes - p.first;
        plan(&p);
        quantize_x(&p);
        qv__threads_run(cpu->threads, (size_t)(p.strips * p.row_parts), strip_task, &p);
    }
}
