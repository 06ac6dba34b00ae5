/* Models with weights by rule, made prompts, and how many floating-point operations they cost. */
#ifndef QVEC_BENCH_MODEL_H
#define QVEC_BENCH_MODEL_H

#include "lib/session.h"
#include "measure.h"

/* The tests' checkpoint `shape`-`kind` (kind: "embedding", "reranker"), its caches off. The program ends on failure.
 * Its network may be used directly while nothing is asked of the model itself. Prints one line about it. */
qv_model *bench_open_model(const bench_options *o, const char *kind);
void bench_close_model(qv_model **model); /* and frees all prompts that were made */

int32_t bench_random_id(void); /* of a text token */
/* `length` random ids, of which the first `head` are those of `like` (NULL: none). Lives until the model is closed. */
qv__sequence *bench_text(const qv_model *m, int32_t length, const qv__sequence *like, int32_t head);
/* A picture of random pixels alone, without text. Lives as long. */
qv__sequence *bench_picture(const qv_model *m, int height, int width);

/* Twice the multiply-adds of all products of matrices that a forward computes for a prompt of which rows behind
 * `prefix` are computed and the last is pooled: in each layer keys and values; in each but the last also queries,
 * attention (every row with each key up to its own), output and MLP; in the last layer these for the pooled row alone.
 * Norms, softmax, rotations and activations count nothing. */
double bench_text_flops(const qv__text_config *t, int64_t length, int64_t prefix);
/* The same of the vision tower for one picture: patches, blocks with attention of every patch with every other, and the
 * mergers. */
double bench_vision_flops(const qv__vision_config *v, int height, int width);
#endif
