/* Writes a folder of 8-bit codes: what `qvec quantize` does. */
#ifndef QVEC_LIB_QUANTIZE_H
#define QVEC_LIB_QUANTIZE_H

#include "qvec/qvec.h"

typedef struct {
    const char *load_format; /* as in qv_model_options */
    int threads;             /* 0: all */
    /* Bytes read so far, of how many; false: stop, which is QV_CANCELLED. NULL: none. */
    bool (*progress)(void *user, int64_t done, int64_t total);
    void *user;
} qv__quantize_options;

/* `out` must not exist, and does not until all of it is written. */
qv_status qv__quantize_folder(const char *folder, const char *out, const qv__quantize_options *options, qv_error *err);
#endif
