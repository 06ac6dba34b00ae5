/* Work in process for `qvec bench latency` and `throughput`: batches of inputs, random or from a file. */
#ifndef QVEC_CLI_BENCH_WORK_H
#define QVEC_CLI_BENCH_WORK_H

#include "bench/texts.h"
#include "cli/bench_data.h"
#include "cli/model_flags.h"

/* Flags of both commands. */
typedef struct {
    qv__data_flags data;
    const char *prompt; /* "raw", "official"; NULL: raw, and official around pictures */
    const char *output_json;
} qv__work_flags;

extern const qv__option qv__work_rows[];
enum { QV__WORK_ROWS = 2 };
/* Lines below --help. */
extern const char qv__work_notes[];

/* Documents of one query: inputs[from] to inputs[from + count - 1]. */
typedef struct {
    qv_input query;
    size_t from, count;
} qv__work_group;

/* A batch and its answers. */
typedef struct {
    size_t count;
    qv_input *inputs;       /* [count]; for a reranker documents */
    qv__work_group *groups; /* [group_count], of a reranker; room for `count` */
    size_t group_count;
    qv_embedding *vectors; /* [count] */
    qv_score *scores;      /* [count] */
    qv__arena arena;       /* parts of inputs */
} qv__work_batch;

typedef struct {
    const qv__work_flags *flags;
    qv_model *model;
    bool reranks;
    qv__texts texts;
    qv__random random;
    qv__samples samples; /* what inputs point into: a file's records, or made for the batch */
    size_t record, text; /* the next of them */
    qv__work_batch batch;
} qv__work;

/* Opens the model and the data set, for so many batches. An exit status; the reason of a failure has been printed. */
int qv__work_open(qv__work *work, const qv__work_flags *flags, const qv__model_flags *model, size_t batch_size,
                  size_t batches);
void qv__work_close(qv__work *work);

/* The next batch: random inputs that the model's caches have never seen, or the file's next ones. */
qv_status qv__work_fill(qv__work *work, qv_error *err);
/* Computes the batch as one call (for a reranker, one for each query). *tokens: of all prompts, as the model saw them.
 */
qv_status qv__work_run(qv__work *work, int64_t *tokens, qv_error *err);

/* Writes the finished JSON object to --output-json, if there is one. False: the reason has been printed. */
bool qv__work_save(const qv__work_flags *flags, const qv__buffer *json);
#endif
