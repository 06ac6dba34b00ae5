/* A checkpoint folder: config.json and its tensors, mapped from safetensors or made by the dummy rule.
 *
 * Names are looked up in the published form ("model.language_model.layers.0....", "model.visual....",
 * "lm_head.weight"); files that drop the leading "model." or use the older "visual." prefix are found
 * under the same names. */
#ifndef QVEC_STORE_CHECKPOINT_H
#define QVEC_STORE_CHECKPOINT_H

#include "base/dtype.h"
#include "store/config.h"

const char *qv__dtype_name(qv__dtype d); /* "BF16" */

enum { QV__RANK_MAX = 5 };

typedef struct {
    const char *name; /* published form, owned by the checkpoint */
    qv__dtype dtype;
    int rank;
    int64_t shape[QV__RANK_MAX];
    size_t bytes;
    const void *data; /* mapped or made; NULL when opened with headers_only */
} qv__tensor;

typedef struct qv__checkpoint qv__checkpoint;

typedef struct {
    const char *load_format; /* NULL/"auto", "safetensors", "dummy", "dummy:SEED" */
    bool headers_only;       /* read names, shapes and dtypes only: for `info` */
    int threads;             /* threads that make dummy weights; 0: all */
} qv__checkpoint_options;

/* Opens `folder`. On error nothing is left behind and err names file, tensor and reason. */
qv_status qv__checkpoint_open(const char *folder, const qv__checkpoint_options *options, qv__checkpoint **out,
                              qv_error *err);
void qv__checkpoint_close(qv__checkpoint **checkpoint);

const qv__config *qv__checkpoint_config(const qv__checkpoint *c);
const char *qv__checkpoint_folder(const qv__checkpoint *c);
bool qv__checkpoint_is_dummy(const qv__checkpoint *c);
qv_task qv__checkpoint_task(const qv__checkpoint *c); /* EMBED or RERANK, told from the folder's own files */

size_t qv__checkpoint_count(const qv__checkpoint *c);
const qv__tensor *qv__checkpoint_at(const qv__checkpoint *c, size_t i);           /* file order */
const qv__tensor *qv__checkpoint_find(const qv__checkpoint *c, const char *name); /* NULL: absent */

/* As find, but demands rank and shape (a dimension of -1 is free); the error names what is there. */
qv_status qv__checkpoint_need(const qv__checkpoint *c, const char *name, int rank, const int64_t *shape,
                              const qv__tensor **out, qv_error *err);

/* The tensor's memory is not needed any more: its pages may be dropped. Of a file they come back when they are read, of
 * weights made by rule they do not. */
void qv__checkpoint_release(const qv__checkpoint *c, const qv__tensor *tensor);

/* Resolves what users call MODEL: an existing folder, or org/name in download_dir (may be NULL) and the hub
 * caches ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub; snapshot of refs/main). *out: malloc'd. */
qv_status qv__model_folder(const char *model, const char *download_dir, char **out, qv_error *err);

/* Reads a whole file of at most `max` bytes into a malloc'd, NUL-terminated block. */
qv_status qv__file_read(const char *path, size_t max, char **data, size_t *size, qv_error *err);
#endif
