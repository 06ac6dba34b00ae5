/* The sizes of quantised matrices. How they are computed with: kernels/gemm8.h; how they are stored: store/quantized.h.
 */
#ifndef QVEC_BASE_INT8_H
#define QVEC_BASE_INT8_H

#include <stdint.h>

enum {
    QV__INT8_GROUP = 64, /* values along k that share a scale */
    QV__INT8_PANEL = 16, /* outputs whose codes lie together */
};

static inline int64_t qv__int8_groups(int64_t cols) {
    return (cols + QV__INT8_GROUP - 1) / QV__INT8_GROUP;
}
static inline int64_t qv__int8_panels(int64_t rows) {
    return (rows + QV__INT8_PANEL - 1) / QV__INT8_PANEL;
}
/* Bytes of a matrix' codes; its scales are one float for each QV__INT8_GROUP of them. */
static inline int64_t qv__int8_bytes(int64_t rows, int64_t cols) {
    return qv__int8_panels(rows) * QV__INT8_PANEL * qv__int8_groups(cols) * QV__INT8_GROUP;
}
#endif
