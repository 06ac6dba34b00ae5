/* Fields that vLLM takes in every request of the embedding and ranking routes. */
#ifndef QVEC_API_COMMON_H
#define QVEC_API_COMMON_H

#include "api/body.h"

/* user and request_id, which nothing depends on; priority and padding, of which one value each means something here;
 * cache_salt, which need not be anything: prefixes are compared token by token, and none tells who sent it. */
qv_status qv__common_read(const json_t *object, qv__refusal *r);

/* truncate_prompt_tokens: 0 absent, -1 the model's limit, else how many tokens to keep; truncation_side: their side. */
qv_status qv__common_cut(const json_t *object, int64_t max_model_len, int64_t *keep, bool *left, qv__refusal *r);
#endif
