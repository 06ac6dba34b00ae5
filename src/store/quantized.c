#include "store/quantized.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool qv__quantized_name(const char *name) {
    static const char *const outside[] = {"model.language_model.layers.0.", "model.visual.blocks.0."};
    static const struct {
        const char *start, *end;
    } inside[] = {{"model.language_model.layers.", "_proj.weight"},
                  {"model.visual.blocks.", ".attn.qkv.weight"},
                  {"model.visual.blocks.", ".attn.proj.weight"},
                  {"model.visual.", ".linear_fc1.weight"},
                  {"model.visual.", ".linear_fc2.weight"}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (starts_with(name, outside[i])) return false;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (starts_with(name, inside[i].start) && ends_with(name, inside[i].end)) return true;
    return false;
}

bool qv__quantized_scale_name(const char *name, char *out, size_t size) {
    int n = snprintf(out, size, "%s_scale", name);
    return n >= 0 && (size_t)n < size;
}

bool qv__quantized_input_name(const char *name, char *out, size_t size) {
    int n = snprintf(out, size, "%s_input", name);
    return n >= 0 && (size_t)n < size;
}

void qv__quantized_codes_shape(int64_t rows, int64_t cols, int64_t shape[4]) {
    shape[0] = qv__int8_panels(rows);
    shape[1] = qv__int8_groups(cols) * QV__INT8_GROUP / 4;
    shape[2] = QV__INT8_PANEL;
    shape[3] = 4;
}

void qv__quantized_scales_shape(int64_t rows, int64_t cols, int64_t shape[3]) {
    shape[0] = qv__int8_panels(rows);
    shape[1] = qv__int8_groups(cols);
    shape[2] = QV__INT8_PANEL;
}

static qv_status check_dtype(const qv__tensor *t, qv__dtype wanted, qv_error *err) {
    if (t->dtype == wanted) return QV_OK;
    return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\" has dtype %s; in a quantised checkpoint it is %s", t->name,
                    qv__dtype_name(t->dtype), qv__dtype_name(wanted));
}

qv_status qv__quantized_need(const qv__checkpoint *c, const char *name, int64_t rows, int64_t cols,
                             const qv__tensor **codes, const qv__tensor **scales, const qv__tensor **input,
                             qv_error *err) {
    char scale_name[160], input_name[160];
    int64_t shape[4];
    *input = NULL;
    if (!qv__quantized_scale_name(name, scale_name, sizeof scale_name) ||
        !qv__quantized_input_name(name, input_name, sizeof input_name))
        return qv__fail(err, QV_INTERNAL, "tensor name does not fit");
    qv__quantized_codes_shape(rows, cols, shape);
    qv_status status = qv__checkpoint_need(c, name, 4, shape, codes, err);
    if (!status) status = check_dtype(*codes, QV__U8, err);
    if (status) return status;
    qv__quantized_scales_shape(rows, cols, shape);
    status = qv__checkpoint_need(c, scale_name, 3, shape, scales, err);
    if (!status) status = check_dtype(*scales, QV__F32, err);
    if (status || !qv__checkpoint_find(c, input_name)) return status;
    status = qv__checkpoint_need(c, input_name, 1, &cols, input, err);
    return status ? status : check_dtype(*input, QV__F32, err);
}
