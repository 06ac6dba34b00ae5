/* The ways in which servers come from a text to a vector with the same weights: the two that are meant, and the
 * mistakes that are made. `qvec verify --against` tries them to say what another server does. */
#ifndef QVEC_CLI_RECIPE_H
#define QVEC_CLI_RECIPE_H

#include "qvec/qvec.h"

typedef enum {
    QV__RECIPE_RAW,
    QV__RECIPE_OFFICIAL,
    QV__RECIPE_NO_END,
    QV__RECIPE_OFFICIAL_NO_END,
    QV__RECIPE_TWO_ENDS,
    QV__RECIPE_MEAN,
    QV__RECIPE_MEAN_NO_END,
    QV__RECIPE_MEAN_OFFICIAL,
    QV__RECIPE_FIRST,
    QV__RECIPE_NO_INSTRUCTION,
    QV__RECIPE_NO_ASSISTANT,
    QV__RECIPE_LOWER_CASE,
    QV__RECIPE_STRIPPED,
    QV__RECIPE_COUNT,
} qv__recipe;

const char *
qv__recipe_name(qv__recipe r); /* "mean pooling over the raw text": fits behind "the vectors are those of" */
const char *qv__recipe_remedy(qv__recipe r); /* what to do about it, one sentence */

/* The vector of `text` by the recipe into out[embedding_size], of any length. Means take one pass for each token. */
qv_status qv__recipe_embed(qv_model *model, qv__recipe r, const char *text, float *out, qv_error *err);
/* Raw, but cut after max_tokens: with the end token as the last of them, or without one. */
qv_status qv__recipe_embed_cut(qv_model *model, const char *text, int64_t max_tokens, bool with_end, float *out,
                               qv_error *err);
#endif
