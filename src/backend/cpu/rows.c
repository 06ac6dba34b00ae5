/* Operations on rows: each call is cut into ranges of rows that the threads share out. */
#include <string.h>

#include "backend/cpu/cpu.h"

enum { RANGE_FLOATS = 1 << 14 }; /* a range's work outweighs its hand-over; below it threads do not pay */

typedef struct {
    void (*work)(const void *, int64_t, int64_t);
    const void *context;
    int64_t rows, step;
} ranges;

static void run_range(void *context, size_t i, int worker) {
    const ranges *r = context;
    int64_t first = (int64_t)i * r->step, last = first + r->step < r->rows ? first + r->step : r->rows;
    r->work(r->context, first, last);
}

void qv__cpu_for_rows(const qv__cpu *cpu, int64_t rows, int64_t row_floats,
                      void (*work)(const void *context, int64_t first, int64_t last), const void *context) {
    int64_t step = row_floats < RANGE_FLOATS ? RANGE_FLOATS / (row_floats > 0 ? row_floats : 1) : 1;
    ranges r = {work, context, rows, step};
    if (rows <= step)
        work(context, 0, rows);
    else
        qv__threads_run(cpu->threads, (size_t)((rows + step - 1) / step), run_range, &r);
}

/* ---- norms ---- */

typedef struct {
    const qv__rows_kernels *kernels;
    float *out;
    const float *x;
    int64_t out_stride, x_stride, width;
    const float *weight, *bias;
    float eps;
} norm;

static void rmsnorm_rows(const void *context, int64_t first, int64_t last) {
    const norm *n = context;
    for (int64_t r = first; r < last; r++)
        n->kernels->rmsnorm(n->out + r * n->out_stride, n->x + r * n->x_stride, n->width, n->weight, n->eps);
}

void qv__cpu_rmsnorm(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                     int64_t width, const float *weight, float eps) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    norm n = {cpu->rows, out, x, out_stride, x_stride, width, weight, NULL, eps};
    qv__cpu_for_rows(cpu, rows, width, rmsnorm_rows, &n);
}

static void layernorm_rows(const void *context, int64_t first, int64_t last) {
    const norm *n = context;
    for (int64_t r = first; r < last; r++)
        n->kernels->layernorm(n->out + r * n->out_stride, n->x + r * n->x_stride, n->width, n->weight, n->bias, n->eps);
}

void qv__cpu_layernorm(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t rows,
                       int64_t width, const float *weight, const float *bias, float eps) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    norm n = {cpu->rows, out, x, out_stride, x_stride, width, weight, bias, eps};
    qv__cpu_for_rows(cpu, rows, width, layernorm_rows, &n);
}

/* ---- rotary positions ---- */

enum { HALF_MAX = QV__HEAD_DIM_MAX / 2, ANGLE_FLOATS = 32 }; /* an angle costs about as much as so many floats */

typedef struct {
    float *cos, *sin;
    const int32_t *positions;
    int64_t position_stride;
    int half, axis[HALF_MAX];
    float frequency[HALF_MAX];
} mrope;

static void mrope_rows(const void *context, int64_t first, int64_t last) {
    const mrope *m = context;
    for (int64_t r = first; r < last; r++)
        for (int k = 0; k < m->half; k++)
            qv__rope_angles(m->cos + r * m->half + k, m->sin + r * m->half + k, &m->frequency[k],
                            (float)m->positions[m->axis[k] * m->position_stride + r], 1);
}

void qv__cpu_mrope_table(qv__backend *b, float *cos, float *sin, const int32_t *positions, int64_t position_stride,
                         int64_t rows, int head_dim, double theta, const int section[3]) {
    mrope m = {.cos = cos, .sin = sin, .positions = positions, .position_stride = position_stride};
    m.half = head_dim / 2;
    qv__rope_frequencies(m.frequency, m.half, theta, head_dim);
    for (int k = 0; k < m.half; k++) {
        int axis = k % 3; /* T, H, W in turn while an axis has frequencies left; T takes the rest */
        m.axis[k] = axis > 0 && k < 3 * section[axis] ? axis : 0;
    }
    qv__cpu_for_rows((const qv__cpu *)b, rows, (int64_t)m.half * ANGLE_FLOATS, mrope_rows, &m);
}

typedef struct {
    const qv__rows_kernels *kernels;
    float *x;
    int64_t stride;
    int heads, head_dim;
    const float *weight;
    float eps;
    const float *cos, *sin;
} norm_rope;

static void norm_rope_rows(const void *context, int64_t first, int64_t last) {
    const norm_rope *n = context;
    int64_t half = n->head_dim / 2;
    for (int64_t r = first; r < last; r++)
        for (int h = 0; h < n->heads; h++) {
            float *x = n->x + r * n->stride + (int64_t)h * n->head_dim;
            if (n->weight) n->kernels->rmsnorm(x, x, n->head_dim, n->weight, n->eps);
            n->kernels->rope(x, half, n->cos + r * half, n->sin + r * half);
        }
}

void qv__cpu_qk_norm_rope(qv__backend *b, float *x, int64_t stride, int64_t rows, int heads, int head_dim,
                          const float *weight, float eps, const float *cos, const float *sin) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    norm_rope n = {cpu->rows, x, stride, heads, head_dim, weight, eps, cos, sin};
    qv__cpu_for_rows(cpu, rows, (int64_t)heads * head_dim, norm_rope_rows, &n);
}

/* ---- moving rows ---- */

typedef struct {
    const qv__rows_kernels *kernels;
    float *to;
    int64_t to_stride, width;
    const float *from;
    int64_t from_stride;
    const qv__weight *table;
    const int32_t *index;
    bool add;
} move;

static void embed_range(const void *context, int64_t first, int64_t last) {
    const move *m = context;
    const qv__weight *t = m->table;
    for (int64_t r = first; r < last; r++) {
        size_t offset = (size_t)m->index[r] * (size_t)t->cols * qv__dtype_size(t->dtype);
        m->kernels->widen(m->to + r * m->to_stride, (const char *)t->data + offset, t->dtype, t->cols);
    }
}

void qv__cpu_embed_rows(qv__backend *b, float *out, int64_t out_stride, const qv__weight *table, const int32_t *ids,
                        int64_t rows) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    move m = {.kernels = cpu->rows, .to = out, .to_stride = out_stride, .table = table, .index = ids};
    qv__cpu_for_rows(cpu, rows, table->cols, embed_range, &m);
}

static void gather_range(const void *context, int64_t first, int64_t last) {
    const move *m = context;
    for (int64_t r = first; r < last; r++)
        memcpy(m->to + r * m->to_stride, m->from + m->index[r] * m->from_stride, (size_t)m->width * sizeof(float));
}

void qv__cpu_gather_rows(qv__backend *b, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                         const int32_t *rows, int64_t count, int64_t width) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    move m = {cpu->rows, out, out_stride, width, x, x_stride, NULL, rows, false};
    qv__cpu_for_rows(cpu, count, width, gather_range, &m);
}

static void scatter_range(const void *context, int64_t first, int64_t last) {
    const move *m = context;
    for (int64_t r = first; r < last; r++) {
        float *to = m->to + m->index[r] * m->to_stride;
        const float *from = m->from + r * m->from_stride;
        if (m->add)
            m->kernels->add(to, from, m->width);
        else
            memcpy(to, from, (size_t)m->width * sizeof *to);
    }
}

/* The rows of one call are distinct, so that ranges do not meet. */
void qv__cpu_scatter_rows(qv__backend *b, float *x, int64_t x_stride, const int32_t *rows, const float *from,
                          int64_t from_stride, int64_t count, int64_t width, bool add) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    move m = {cpu->rows, x, x_stride, width, from, from_stride, NULL, rows, add};
    qv__cpu_for_rows(cpu, count, width, scatter_range, &m);
}
