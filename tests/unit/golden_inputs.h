/* The golden files' cases as inputs of the C API. */
#ifndef QVEC_TESTS_GOLDEN_INPUTS_H
#define QVEC_TESTS_GOLDEN_INPUTS_H

#include <jansson.h>

#include "base/memory.h"
#include "qvec/qvec.h"

/* tests/golden/data/NAME.json, a list; the caller's. */
json_t *golden_cases(const char *name);

/* One side (embed: the case itself; rerank: a query or document). Texts are put before pictures and videos, so that the
 * recipe has something to sort. Media are files below golden_assets(). Lives in arena and item. */
qv_input golden_input(const json_t *item, qv__arena *arena);
/* The wishes that stand in the case beside its sides. */
void golden_wishes(const json_t *item, qv_input *input);
const char *golden_assets(void);

/* Opens a test checkpoint with dummy weights of a seed; "tiny-embedding". */
qv_model *golden_model(const char *name, int seed, const qv_model_options *options);
#endif
