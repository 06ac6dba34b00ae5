/* Columns of a matrix whose inputs are far larger or smaller than their neighbours': moved into the weights by powers
 * of two before both are quantised, because a group of codes has one scale. docs/QUANTIZATION.md has the rule. */
#ifndef QVEC_MODEL_SMOOTH_H
#define QVEC_MODEL_SMOOTH_H

#include "store/checkpoint.h"

/* factors[cols]: what the weights of each column are multiplied with, and inputs divided by. *any: some are not 1.
 * name: published, of a matrix that is to be quantised. */
qv_status qv__smooth(const qv__checkpoint *c, const char *name, int64_t cols, float *factors, bool *any, qv_error *err);
#endif
