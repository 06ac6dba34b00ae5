/* MODEL and the flags that every command with a model takes. */
#ifndef QVEC_CLI_MODEL_FLAGS_H
#define QVEC_CLI_MODEL_FLAGS_H

#include "cli/limit_flags.h"
#include "cli/options.h"

typedef struct {
    const char *model; /* NULL: the built-in one */
    const char *load_format, *download_dir;
    /* the rest is for commands that compute */
    const char *task, *cpu_tier, *quantization;         /* NULL: default */
    int64_t threads, max_model_len, max_batched_tokens; /* 0: default */
    int64_t image_cache, prefix_cache;                  /* bytes; 0: off, -1: default */
    qv__limits limits;
} qv__model_flags;

qv__model_flags qv__model_flags_default(void);

/* Rows for sets whose `values` is a qv__model_flags. */
extern const qv__option qv__model_rows[], qv__compute_rows[];
enum { QV__MODEL_ROWS = 3, QV__COMPUTE_ROWS = 8 };

/* Takes MODEL from the arguments without a flag (at most one). False: it was given twice, which has been printed. */
bool qv__take_model(const qv__words *words, qv__model_flags *flags);

/* --task, or what the command wants without it. */
qv_task qv__model_flags_task(const qv__model_flags *flags, qv_task wanted);

/* As the library spells it: vLLM's None is none. */
const char *qv__model_flags_quantization(const qv__model_flags *flags);

/* Resolves MODEL; without one, the built-in model for the task. *folder: malloc'd. False: the reason has been printed.
 */
bool qv__model_flags_folder(const qv__model_flags *flags, qv_task wanted, char **folder);

/* "Qwen/Qwen3-VL-Embedding-2B", a path as typed, or "the built-in model": what the model is called in messages. Static
 * or the caller's memory. */
const char *qv__model_flags_name(const qv__model_flags *flags);

/* Resolves and opens. wanted: the task that the command needs (AUTO: either; of the built-in models the embedding one).
 * media_root may be NULL. False: the reason has been printed. */
bool qv__model_flags_open(const qv__model_flags *flags, qv_task wanted, const char *media_root, qv_model **out);
#endif
