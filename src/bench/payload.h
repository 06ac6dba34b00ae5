/* The bodies that back ends of vLLM's benchmark send. */
#ifndef QVEC_BENCH_PAYLOAD_H
#define QVEC_BENCH_PAYLOAD_H

#include "bench/samples.h"

typedef enum {
    QV__BACKEND_EMBEDDINGS,    /* openai-embeddings */
    QV__BACKEND_CHAT,          /* openai-embeddings-chat */
    QV__BACKEND_CLIP,          /* openai-embeddings-clip: chat, with the picture alone when there is one */
    QV__BACKEND_VLM2VEC,       /* openai-embeddings-vlm2vec: chat, with that model's sentences about the picture */
    QV__BACKEND_POOLING,       /* vllm-pooling */
    QV__BACKEND_RERANK,        /* vllm-rerank */
    QV__BACKEND_INFINITY,      /* infinity-embeddings */
    QV__BACKEND_INFINITY_CLIP, /* infinity-embeddings-clip: the picture alone when there is one */
} qv__backend_kind;

/* By the name that --backend takes. False: none. */
bool qv__backend_find(const char *name, qv__backend_kind *out);
const char *qv__backend_endpoint(qv__backend_kind kind); /* "/v1/embeddings" */

bool qv__backend_takes_lists(qv__backend_kind kind); /* several texts in one request */

/* Appends the body of request `index` (vlm2vec's sentence depends on it). extra: fields of a JSON object, without its
 * braces, which come last; NULL: none (and never for rerank). QV_INVALID_ARGUMENT when the sample has what the back end
 * cannot carry. */
qv_status qv__payload_write(qv__backend_kind kind, const char *model, const qv__sample *sample, size_t index,
                            const char *extra, qv__buffer *out, qv_error *err);
#endif
