/* The data sets of all benchmarks: random ones and local files, behind vLLM's flags. */
#ifndef QVEC_CLI_BENCH_DATA_H
#define QVEC_CLI_BENCH_DATA_H

#include "bench/samples.h"
#include "cli/options.h"

typedef struct {
    const char *name, *path; /* path: of a file; NULL: none */
    const char *mm_limit, *mm_buckets;
    int64_t input_len, output_len, prefix_len, seed, mm_items; /* output_len is taken and means nothing */
    double range_ratio, mm_ratio;
} qv__data_flags;

qv__data_flags qv__data_flags_default(int64_t input_len);

/* Rows for sets whose `values` is a qv__data_flags. */
extern const qv__option qv__data_rows[];
enum { QV__DATA_ROWS = 14 };

/* Whether inputs are made up, and so need a tokenizer. */
bool qv__data_is_random(const qv__data_flags *flags);
/* False: the flags contradict each other, and why has been printed. */
bool qv__data_check(const qv__data_flags *flags);

/* What a command asks for besides. */
typedef struct {
    const qv__texts *texts;
    qv__random *random;
    int64_t inputs, batch_size, special; /* see qv__random_samples */
    bool reranks, whole_length;
} qv__data_wish;

/* Random inputs. *out is the caller's to clear also after a failure, as below. */
qv_status qv__data_random(const qv__data_flags *flags, const qv__data_wish *wish, qv__samples *out, qv_error *err);
/* The file's records, from the beginning again when there are fewer than `requests`. */
qv_status qv__data_read(const qv__data_flags *flags, size_t requests, qv__samples *out, qv_error *err);
#endif
