/* Real outputs that were published for the real weights, and stored ones for the built-in model: what `qvec verify`
 * compares with. */
#ifndef QVEC_CLI_PUBLISHED_H
#define QVEC_CLI_PUBLISHED_H

#include "store/config.h"

typedef struct {
    int query, document; /* indexes in texts */
    double value;        /* cosine, or score of a reranker */
} qv__published_pair;

typedef struct {
    const char *name;
    qv_task task;
    int hidden, layers; /* of the decoder: tells which model it is */
    bool dummy;
    qv_prompt prompt;
    const char *instruction; /* NULL: the default */
    const char *const *texts;
    size_t text_count;
    const qv__published_pair *pairs;
    size_t pair_count;
    const float *values; /* first values of texts[0]'s vector, when there are no pairs */
    size_t value_count;
    double tolerance; /* largest difference; the published ones come from other hardware, some from bf16 */
} qv__published;

/* NULL: nothing was published for a model of this shape. */
const qv__published *qv__published_find(qv_task task, const qv__config *config, bool dummy);
#endif
