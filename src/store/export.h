/* Writes a checkpoint folder: another folder's files, its config.json with a quantization_config, and tensors in one
 * model.safetensors. All of it grows in a folder beside the place wanted, which appears there whole or not at all. */
#ifndef QVEC_STORE_EXPORT_H
#define QVEC_STORE_EXPORT_H

#include "store/checkpoint.h"

typedef struct qv__export qv__export;

/* tensors: names, dtypes, shapes and bytes of what will be written, in this order in the file, so that the ones to be
 * aligned should come first; each begins behind the last. QV_INVALID_ARGUMENT when `folder` exists. */
qv_status qv__export_open(const qv__checkpoint *from, const char *folder, const qv__tensor *tensors, size_t count,
                          qv__export **out, qv_error *err);
/* All bytes of tensor i, in any order. */
qv_status qv__export_write(qv__export *e, size_t i, const void *data, qv_error *err);
/* Gives the folder its name, once all tensors are written. */
qv_status qv__export_finish(qv__export *e, qv_error *err);
/* Removes what has not been finished. */
void qv__export_close(qv__export **e);
#endif
