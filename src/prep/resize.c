/* Two separable resamplers over one skeleton: the windows of both axes, a pass along the rows and one down the
 * columns with an intermediate between them. Both use Keys' cubic with a = -0.5, widened by the shrink factor.
 *
 *   Pillow 13: windows in double, weights in 22-bit fixed point, bytes after each pass; an unchanged axis is skipped.
 *   torchvision (which converts uint8 video to float32 and rounds back): windows and sums in float32, one rounding at
 *   the end. The reference's compiler fused some of its multiplications and additions; which ones was found by
 *   comparing bits, and is written out here and in kernels/resample.h. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/resample.h"
#include "prep/image.h"

enum { CHANNELS = 3, FRACTION = 22, READ_AHEAD = 16 };

/* Windows of one axis, and the memory behind them. */
typedef struct {
    qv__axis axis;
    void *memory;
} plan;

typedef struct {
    const uint8_t *src;
    int height, width;
    uint8_t *dst;
    int out_height, out_width;
    const qv__resample_kernels *kernels;
    qv_error *err;
} job;

static qv_status no_memory(const job *j) {
    return qv__fail(j->err, QV_NO_MEMORY, "out of memory for resizing a picture of %d x %d to %d x %d", j->width,
                    j->height, j->out_width, j->out_height);
}

/* Lays out windows and weights for `outputs` windows of at most ceil(2 * shrink) * 2 + 1 taps; weights are zeroed. */
static bool plan_open(plan *p, int in, int outputs) {
    double shrink = in > outputs ? (double)in / outputs : 1;
    size_t stride = ((size_t)ceil(2 * shrink) * 2 + 1 + 3) / 4 * 4, cells;
    if (__builtin_mul_overflow((size_t)outputs, stride + 2, &cells) || stride > INT32_MAX) return false;
    int32_t *memory = qv__calloc(cells, sizeof *memory);
    if (!memory) return false;
    p->memory = memory;
    p->axis = (qv__axis){.windows = (qv__window *)memory, .outputs = outputs, .stride = (int32_t)stride};
    p->axis.weights.fixed = memory + 2 * (size_t)outputs;
    return true;
}

static void plan_clear(plan *p) {
    qv__free(p->memory);
}

/* ---- Pillow's windows ---- */

static double cubic(double x) {
    x = fabs(x);
    if (x < 1) return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
}

/* weights[taps] of output i, normalised; row has room for them as doubles. */
static qv__window fixed_window(int i, int in, int outputs, double *row, int32_t *weights) {
    double scale = (double)in / outputs, filter = scale < 1 ? 1 : scale, support = 2 * filter;
    double center = (i + 0.5) * scale, narrow = 1 / filter, total = 0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    if (first < 0) first = 0;
    if (end > in) end = in;
    for (int j = 0; j < end - first; j++) total += row[j] = cubic((j + first - center + 0.5) * narrow);
    for (int j = 0; j < end - first; j++) {
        double w = (total != 0 ? row[j] / total : row[j]) * (1 << FRACTION);
        weights[j] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    return (qv__window){first, end - first};
}

static bool plan_fixed(plan *p, int in, int outputs) {
    if (!plan_open(p, in, outputs)) return false;
    double *row = qv__alloc_array((size_t)p->axis.stride, sizeof *row);
    if (!row) return false;
    qv__window *windows = p->memory;
    int32_t *weights = (int32_t *)p->memory + 2 * (size_t)outputs;
    for (int i = 0; i < outputs; i++)
        windows[i] = fixed_window(i, in, outputs, row, weights + (size_t)i * (size_t)p->axis.stride);
    qv__free(row);
    return true;
}

/* ---- torchvision's windows ---- */

static float cubic_real(float x) {
    x = fabsf(x);
    if (x < 1) return fmaf(fmaf(1.5f, x, -2.5f) * x, x, 1);
    if (x < 2) return fmaf(fmaf(fmaf(-0.5f, x, 2.5f), x, -4), x, 2);
    return 0;
}

static qv__window real_window(int i, int in, int outputs, float *weights) {
    float scale = (float)in / (float)outputs, support = scale >= 1 ? 2 * scale : 2, narrow = scale >= 1 ? 1 / scale : 1;
    float center = scale * ((float)i + 0.5f), total = 0;
    int64_t first = (int64_t)(center - support + 0.5f), end = (int64_t)(center + support + 0.5f);
    if (first < 0) first = 0;
    if (end > in) end = in;
    int taps = (int)(end - first);
    for (int j = 0; j < taps; j++) total += weights[j] = cubic_real(((float)(j + first) - center + 0.5f) * narrow);
    for (int j = 0; j < taps && total != 0; j++) weights[j] /= total;
    return (qv__window){(int32_t)first, taps};
}

static bool plan_real(plan *p, int in, int outputs) {
    if (!plan_open(p, in, outputs)) return false;
    qv__window *windows = p->memory;
    float *weights = (float *)p->memory + 2 * (size_t)outputs;
    for (int i = 0; i < outputs; i++)
        windows[i] = real_window(i, in, outputs, weights + (size_t)i * (size_t)p->axis.stride);
    return true;
}

/* ---- one pass along the rows, one down the columns ---- */

/* src [height][width] to bytes or reals [height][axis->outputs]. */
typedef struct {
    const uint8_t *src;
    int height, width;
    const qv__axis *axis;
    uint8_t *bytes; /* one of the two */
    float *reals;
} row_pass;

static void run_rows(const job *j, const row_pass *p, const uint8_t *src, int64_t first, int64_t rows) {
    int64_t in_stride = (int64_t)p->width * CHANNELS, out_stride = (int64_t)p->axis->outputs * CHANNELS;
    int64_t at = first * out_stride;
    if (p->bytes)
        j->kernels->columns_fixed(p->bytes + at, out_stride, src, in_stride, rows, p->axis);
    else
        j->kernels->columns_real(p->reals + at, out_stride, src, in_stride, rows, p->axis);
}

/* The kernels read a little ahead: the last rows go through a copy with room behind it. */
static qv_status pass_rows(const job *j, const row_pass *p) {
    size_t stride = (size_t)p->width * CHANNELS;
    int64_t last = (int64_t)((READ_AHEAD + stride - 1) / stride), height = p->height;
    if (last > height) last = height;
    size_t bytes = (size_t)last * stride;
    uint8_t *copy = qv__malloc(bytes + READ_AHEAD);
    if (!copy) return no_memory(j);
    memcpy(copy, p->src + (size_t)(height - last) * stride, bytes);
    memset(copy + bytes, 0, READ_AHEAD);
    if (height > last) run_rows(j, p, p->src, 0, height - last);
    run_rows(j, p, copy, height - last, last);
    qv__free(copy);
    return QV_OK;
}

/* bytes [height][width] to dst [axis->outputs][width]. */
static void pass_columns(const job *j, const qv__axis *axis, const uint8_t *bytes, int width, uint8_t *dst) {
    int64_t stride = (int64_t)width * CHANNELS;
    for (int32_t i = 0; i < axis->outputs; i++)
        j->kernels->rows_fixed(dst + i * stride, bytes + axis->windows[i].first * stride, stride,
                               axis->weights.fixed + (int64_t)i * axis->stride, axis->windows[i].taps, stride);
}

static void pass_columns_real(const job *j, const qv__axis *axis, const float *reals) {
    int64_t stride = (int64_t)j->out_width * CHANNELS;
    for (int32_t i = 0; i < axis->outputs; i++)
        j->kernels->rows_real(j->dst + i * stride, reals + axis->windows[i].first * stride, stride,
                              axis->weights.real + (int64_t)i * axis->stride, axis->windows[i].taps, stride);
}

/* ---- both passes ---- */

/* Since version 13 Pillow goes down the columns first when the height loses more than twice as many pixels as the
 * width. The bytes differ a little, because each pass rounds. */
static bool is_down_first(const job *j) {
    int64_t lost_height = (int64_t)j->height - j->out_height, lost_width = (int64_t)j->width - j->out_width;
    return lost_height > 0 && lost_height > 2 * lost_width;
}

static qv_status two_passes(const job *j, const qv__axis *x, const qv__axis *y) {
    bool down_first = is_down_first(j);
    size_t rows = (size_t)(down_first ? j->out_height : j->height),
           width = (size_t)(down_first ? j->width : j->out_width);
    uint8_t *middle = qv__alloc_array(rows, width * CHANNELS);
    if (!middle) return no_memory(j);
    qv_status status = QV_OK;
    if (down_first) {
        pass_columns(j, y, j->src, j->width, middle);
        status = pass_rows(j, &(row_pass){middle, j->out_height, j->width, x, j->dst, NULL});
    } else if (!(status = pass_rows(j, &(row_pass){j->src, j->height, j->width, x, middle, NULL})))
        pass_columns(j, y, middle, j->out_width, j->dst);
    qv__free(middle);
    return status;
}

static qv_status run_fixed(const job *j) {
    bool across = j->width != j->out_width, down = j->height != j->out_height;
    plan x = {0}, y = {0};
    qv_status status = QV_OK;
    if ((across && !plan_fixed(&x, j->width, j->out_width)) || (down && !plan_fixed(&y, j->height, j->out_height)))
        status = no_memory(j);
    else if (across && down)
        status = two_passes(j, &x.axis, &y.axis);
    else if (across)
        status = pass_rows(j, &(row_pass){j->src, j->height, j->width, &x.axis, j->dst, NULL});
    else
        pass_columns(j, &y.axis, j->src, j->width, j->dst);
    plan_clear(&x);
    plan_clear(&y);
    return status;
}

static qv_status run_real(const job *j) {
    plan x = {0}, y = {0};
    float *middle = NULL;
    size_t row;
    qv_status status = QV_OK;
    if (!plan_real(&x, j->width, j->out_width) || !plan_real(&y, j->height, j->out_height) ||
        __builtin_mul_overflow((size_t)j->out_width, CHANNELS * sizeof *middle, &row) ||
        !(middle = qv__alloc_array((size_t)j->height, row)))
        status = no_memory(j);
    if (!status) status = pass_rows(j, &(row_pass){j->src, j->height, j->width, &x.axis, NULL, middle});
    if (!status) pass_columns_real(j, &y.axis, middle);
    qv__free(middle);
    plan_clear(&x);
    plan_clear(&y);
    return status;
}

static qv_status resize(job *j, qv_status (*run)(const job *)) {
    if (j->height < 1 || j->width < 1 || j->out_height < 1 || j->out_width < 1)
        return qv__fail(j->err, QV_INVALID_ARGUMENT, "cannot resize a picture of %d x %d to %d x %d", j->width,
                        j->height, j->out_width, j->out_height);
    if (j->height == j->out_height && j->width == j->out_width) {
        memcpy(j->dst, j->src, (size_t)j->height * (size_t)j->width * CHANNELS);
        return QV_OK;
    }
    j->kernels = qv__resample_kernels_of(qv__tier_best());
    return run(j);
}

qv_status qv__resize_bicubic(const uint8_t *src, int height, int width, uint8_t *dst, int out_height, int out_width,
                             qv_error *err) {
    return resize(&(job){src, height, width, dst, out_height, out_width, NULL, err}, run_fixed);
}

qv_status qv__resize_bicubic_torch(const uint8_t *src, int height, int width, uint8_t *dst, int out_height,
                                   int out_width, qv_error *err) {
    return resize(&(job){src, height, width, dst, out_height, out_width, NULL, err}, run_real);
}
