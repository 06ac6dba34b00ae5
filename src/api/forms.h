/* The dialects of the embedding routes: how each reads its body. Free of the model, so that tests and fuzzing reach
 * them. */
#ifndef QVEC_API_FORMS_H
#define QVEC_API_FORMS_H

#include "api/embed_request.h"

/* POST /v1/embeddings: three dialects on one path, told apart by fields that only one of them has (null counts):
 *   Voyage   input_type, truncation, output_dtype, output_dimension
 *   Jina     task, embedding_type, encoding_type, normalized, late_chunking, return_multivector
 *   vLLM and OpenAI otherwise
 * They differ in fields and errors; the answer has OpenAI's shape in all of them. */
qv_status qv__read_embeddings(qv__embed_reader *p);
qv_status qv__read_openai(qv__embed_reader *p);
qv_status qv__read_voyage(qv__embed_reader *p);
qv_status qv__read_jina(qv__embed_reader *p);

qv_status qv__read_pooling(qv__embed_reader *p);           /* /pooling: vLLM's, with `task` */
qv_status qv__read_voyage_multimodal(qv__embed_reader *p); /* /v1/multimodalembeddings */
qv_status qv__read_cohere(qv__embed_reader *p);            /* /v1/embed, /v2/embed */
qv_status qv__read_tei(qv__embed_reader *p);               /* /embed */
qv_status qv__read_similarity(qv__embed_reader *p);        /* /similarity: the source sentence is the first input */
qv_status qv__read_llama(qv__embed_reader *p);             /* /embedding, /embeddings with `content` */
#endif
