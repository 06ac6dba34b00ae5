/* How a weight is stored. */
#ifndef QVEC_BASE_DTYPE_H
#define QVEC_BASE_DTYPE_H

#include <stddef.h>

typedef enum { QV__F32, QV__F16, QV__BF16 } qv__dtype;
/* Bytes of a value. */
static inline size_t qv__dtype_size(qv__dtype d) {
    return d == QV__F32 ? 4 : 2;
}
#endif
