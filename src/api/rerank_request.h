/* The bodies of the rerank and score routes as queries, documents and wishes. One struct for all forms:
 *   /rerank   {"query", "documents", "top_n", …}   vLLM's, Jina's, Cohere's
 *             {"query", "documents", "top_k", "truncation"}     Voyage's, told by its two last fields (null counts)
 *             {"query", "texts", "raw_scores", "return_text"}   TEI's, told by `texts`
 *   /score    {"queries"|"data_1"|"text_1", "documents"|"items"|"data_2"|"text_2"}: 1 to 1, 1 to N, N to N */
#ifndef QVEC_API_RERANK_REQUEST_H
#define QVEC_API_RERANK_REQUEST_H

#include "api/content.h"

typedef struct {
    int64_t max_documents, max_model_len;
    int64_t embedding_size;     /* 0: a reranker, which makes no vectors */
    int max_images, max_videos; /* per query or document */
    int64_t max_parts;          /* the same; 0: any number */
    bool local_media;           /* file:// URLs are taken */
    qv__media_urls *urls;       /* where http(s) URLs are noted; NULL: none is taken */
    qv_input defaults;          /* what each query and document starts from */
} qv__rerank_limits;

/* Tokens of one side's texts, after and before max_tokens_per_query or max_tokens_per_doc. */
typedef struct {
    int64_t tokens, untruncated;
} qv__text_cut;

typedef struct {
    qv__body body;
    qv__arena arena;
    qv_input *queries, *documents; /* [query_count] (1 or document_count), [document_count] */
    const json_t **sources;        /* [document_count]: as sent, to be echoed */
    size_t query_count, document_count;
    struct qv__document_state {
        size_t item;                          /* of the job */
        const qv_error *error;                /* a document that cannot be decoded is told so; the others are scored */
    } * states;                               /* [document_count] */
    qv__text_cut *query_cuts, *document_cuts; /* [query_count], [document_count]; NULL: nothing was to be cut */
    const char *model;
    enum { QV__RERANK_VLLM, QV__RERANK_VOYAGE, QV__RERANK_TEI } dialect;
    const char *warning; /* static; told in a header */
    bool refuse_cut;     /* a pair that would have to be cut is refused */
    bool raw_scores;     /* the logit instead of its sigmoid */
    bool return_documents;
    bool tell_prompts;                                /* the answer tells the exact prompt of each document */
    int64_t top_n;                                    /* 0: all */
    int64_t max_tokens_per_query, max_tokens_per_doc; /* 0: no cut */
} qv__rerank_request;

/* Read out->body, all else in *out zero; it is the request's from now on. Clear also after a failed read. */
qv_status qv__rerank_request_read(const qv__rerank_limits *limits, qv__rerank_request *out, qv__refusal *r);
qv_status qv__score_request_read(const qv__rerank_limits *limits, qv__rerank_request *out, qv__refusal *r);
void qv__rerank_request_clear(qv__rerank_request *request);
#endif
