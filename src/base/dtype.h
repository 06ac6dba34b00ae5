/* How a weight is stored. */
#ifndef QVEC_BASE_DTYPE_H
#define QVEC_BASE_DTYPE_H

#include <stddef.h>

typedef enum {
    QV__F32,
    QV__F16,
    QV__BF16,
    QV__U8, /* codes of a quantised matrix (kernels/gemm8.h) */
    QV__DTYPE_COUNT,
} qv__dtype;
/* Bytes of a value. */
static inline size_t qv__dtype_size(qv__dtype d) {
    return d == QV__F32 ? 4 : d == QV__U8 ? 1 : 2;
}
#endif
