#include "model/coded.h"

#include "model/smooth.h"
#include "store/quantized.h"

size_t qv__coded_bytes(int64_t rows, int64_t cols) {
    size_t codes = (size_t)qv__int8_bytes(rows, cols);
    return codes + (codes / QV__INT8_GROUP + (size_t)cols) * sizeof(float);
}

static qv__tensor tensor(const qv__tensor *from, qv__dtype dtype, size_t bytes, const void *data) {
    return (qv__tensor){.name = from->name, .dtype = dtype, .bytes = bytes, .data = data};
}

qv_status qv__coded_make(qv__backend *b, const qv__checkpoint *c, const qv__tensor *t, int64_t rows, int64_t cols,
                         void *block, qv__coded *out, qv_error *err) {
    size_t bytes = (size_t)qv__int8_bytes(rows, cols), groups = bytes / QV__INT8_GROUP;
    uint8_t *codes = block;
    float *scales = (void *)(codes + bytes), *factors = scales + groups;
    qv_status status = qv__smooth(c, t->name, cols, factors, &out->has_input, err);
    if (status) return status;
    b->ops->quantize(b, t, rows, cols, out->has_input ? factors : NULL, codes, scales);
    for (int64_t k = 0; k < cols; k++) factors[k] = 1 / factors[k]; /* powers of two: exact */
    out->codes = tensor(t, QV__U8, bytes, codes);
    out->scales = tensor(t, QV__F32, groups * sizeof *scales, scales);
    out->input = tensor(t, QV__F32, (size_t)cols * sizeof *factors, factors);
    qv__quantized_codes_shape(rows, cols, out->codes.shape);
    qv__quantized_scales_shape(rows, cols, out->scales.shape);
    out->codes.rank = 4;
    out->scales.rank = 3;
    out->input.rank = 1;
    out->input.shape[0] = cols;
    return QV_OK;
}
