/* A network without a model, for the engine's tests. What it "computes" for a token is a hash of everything before it,
 * and a prefix's keys and values hold these hashes: a wrong, stale or unfinished prefix gives a wrong answer, and is
 * reported. Linked in place of model/. */
#ifndef QVEC_TESTS_FAKE_NETWORK_H
#define QVEC_TESTS_FAKE_NETWORK_H

#include <stdatomic.h>

#include "model/network.h"

enum {
    FAKE_HIDDEN = 4,
    FAKE_PREFIX_BYTES = 16, /* of each token */
    /* tokens that make things go wrong */
    FAKE_BAD_BATCH = 900001,  /* the forward fails with QV_INTERNAL */
    FAKE_NON_FINITE = 900002, /* the item's status */
    FAKE_HUNGRY = 900003,     /* the forward fails with QV_NO_MEMORY */
    FAKE_VISION_PAD = 800000,
};

struct qv__network {
    qv__backend backend;      /* first */
    int64_t row_ns;           /* how long a row takes */
    int64_t row_block;        /* rows between pauses */
    int64_t memory_rows;      /* batches of more rows than this fail with QV_NO_MEMORY; 0: none does */
    int64_t fail_alloc_every; /* every n-th device allocation fails; 0: none */
    void (*before)(qv__network *network, const qv__batch *batch); /* called first, when set */

    atomic_int depth; /* forwards under way */
    atomic_llong forwards, rows, most_rows, nested_rows, vision_runs;
    atomic_llong blocks, bytes, most_bytes, allocs; /* device memory */
    char complaint[256];                            /* the first thing that was not as it must be */
};

void fake_network_init(qv__network *network);
/* What a forward gives for this sequence: hidden[FAKE_HIDDEN], and the score is hidden[0]. */
void fake_answer(const qv__sequence *sequence, float *hidden);
int32_t fake_run_tokens(const qv__vision_run *run);
#endif
