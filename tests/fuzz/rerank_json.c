/* The bodies of rerank (first byte even) and score requests, by a reranker or (second bit set) an embedding model:
 * inputs within the limits, or a refusal that is valid JSON. */
#include <stdlib.h>

#include "api/rerank_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    int64_t full = data[0] & 2 ? 256 : 0;
    const qv__rerank_limits limits = {
        .max_documents = 50, .max_model_len = 1000, .embedding_size = full, .max_images = 3, .max_videos = 2};
    qv__body_setup();
    qv__rerank_request request = {0};
    qv__refusal r;
    bool score = data[0] & 1;
    qv_status status = qv__body_parse((const char *)data + 1, size - 1, NULL, &request.body, &r);
    if (!status)
        status = score ? qv__score_request_read(&limits, &request, &r) : qv__rerank_request_read(&limits, &request, &r);
    if (status) {
        qv__response response = {0};
        qv__refusal_respond(&r, QV__ERRORS_VLLM, 0, &response);
        json_t *root = json_loadb(response.body.data, response.body.size, 0, NULL);
        check(json_is_string(json_object_get(json_object_get(root, "error"), "message")));
        json_decref(root);
        qv__buffer_clear(&response.body);
    } else {
        check(request.document_count >= 1 && request.document_count <= 50);
        check(request.query_count == 1 || request.query_count == request.document_count);
        check(request.max_tokens_per_doc >= 0 && request.max_tokens_per_doc < 1000);
        int dimensions = request.queries[0].dimensions;
        check(dimensions == 0 || (full && dimensions >= 64 && dimensions <= 256));
    }
    qv__rerank_request_clear(&request);
    return 0;
}
