/* Between the two halves of the rerank and score routes: rerank.c makes items and scores, rerank_answer.c writes. */
#ifndef QVEC_API_RERANK_H
#define QVEC_API_RERANK_H

#include "api/job.h"
#include "api/rerank_request.h"

typedef struct {
    size_t index; /* of the document */
    float score;
    bool failed; /* it has an error and no score */
} qv__ranked;

bool qv__rerank_is_pairs(const qv__job *job); /* a reranker's items are pairs; an embedding model's are texts */

/* order: of all documents, best first; of a score request in the order of the request. */
void qv__rerank_write(const qv__job *job, const qv__ranked *order, bool rank, qv__response *response);
#endif
