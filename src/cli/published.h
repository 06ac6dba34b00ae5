/* Real outputs that were published for the real weights: what `qvec verify` compares with. */
#ifndef QVEC_CLI_PUBLISHED_H
#define QVEC_CLI_PUBLISHED_H

#include "store/config.h"

typedef struct {
    int query, document; /* indexes in texts */
    double value;        /* cosine, or score of a reranker */
} qv__published_pair;

/* Pairs, or values of vectors. */
typedef struct {
    const char *name;
    qv_task task;
    int hidden, layers; /* of the decoder: tells which model it is */
    qv_prompt prompt;
    const char *instruction; /* of the first query_count texts, NULL: the default, as for all others */
    size_t query_count;
    const char *const *texts;
    size_t text_count;
    const qv__published_pair *pairs;
    size_t pair_count;
    const float *values; /* [text_count][value_count]: of each text's vector, from value_offset on */
    size_t value_offset, value_count;
    double tolerance; /* of a pair, or of 1 - cosine; they come from other hardware, many from bf16 */
} qv__published;

/* The first for a model of this shape, then the one after `after`; NULL: no more. */
const qv__published *qv__published_next(const qv__published *after, qv_task task, const qv__config *config);
#endif
