/* One matrix of a checkpoint turned into 8-bit codes: what opening with `--quantization int8` and `qvec quantize`
 * share. */
#ifndef QVEC_MODEL_CODED_H
#define QVEC_MODEL_CODED_H

#include "backend/backend.h"

typedef struct {
    qv__tensor codes, scales, input; /* as store/quantized.h says, without names */
    bool has_input;
} qv__coded;

/* Bytes of the block that all three lie in. */
size_t qv__coded_bytes(int64_t rows, int64_t cols);
/* t: of rank 2, in memory, its name published. block: 64-byte aligned host memory. */
qv_status qv__coded_make(qv__backend *b, const qv__checkpoint *c, const qv__tensor *t, int64_t rows, int64_t cols,
                         void *block, qv__coded *out, qv_error *err);
#endif
