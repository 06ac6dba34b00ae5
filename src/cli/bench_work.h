/* Work in process for `qvec bench latency` and `throughput`: batches of random prompts of an exact length. */
#ifndef QVEC_CLI_BENCH_WORK_H
#define QVEC_CLI_BENCH_WORK_H

#include "bench/texts.h"
#include "cli/model_flags.h"

/* Flags of both commands. */
typedef struct {
    int64_t input_len, seed;
    double range_ratio;
    const char *prompt; /* "raw", "official"; embedding models */
    const char *output_json;
    const char *dataset_name; /* "random" */
    int64_t output_len;       /* taken, means nothing */
} qv__work_flags;

extern const qv__option qv__work_rows[];
enum { QV__WORK_ROWS = 7 };

/* A batch and its answers. For a reranker the inputs are documents of one query. */
typedef struct {
    size_t count;
    qv_input *inputs, query; /* inputs: [count] */
    qv_part *parts, query_part;
    qv_embedding *vectors; /* [count] */
    qv_score *scores;      /* [count] */
    qv__buffer texts;
} qv__work_batch;

typedef struct {
    const qv__work_flags *flags;
    qv_model *model;
    bool reranks;
    qv__texts texts;
    qv__random random;
    qv__work_batch batch;
} qv__work;

/* Opens the model and the generator. An exit status; the reason of a failure has been printed. */
int qv__work_open(qv__work *work, const qv__work_flags *flags, const qv__model_flags *model, size_t batch_size);
void qv__work_close(qv__work *work);

/* New texts, never seen before by the model's caches. */
qv_status qv__work_fill(qv__work *work, qv_error *err);
/* Computes the batch as one call. *tokens: of all prompts, as the model saw them. */
qv_status qv__work_run(qv__work *work, int64_t *tokens, qv_error *err);

/* Writes the finished JSON object to --output-json, if there is one. False: the reason has been printed. */
bool qv__work_save(const qv__work_flags *flags, const qv__buffer *json);
#endif
