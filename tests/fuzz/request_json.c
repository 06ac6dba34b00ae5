/* The body of an embeddings request: any bytes give inputs within the limits, or a refusal that is valid JSON. */
#include <stdlib.h>

#include "api/forms.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition) abort();
}

static void check_refusal(const qv__refusal *r) {
    qv__response response = {0};
    qv__refusal_respond(r, QV__ERRORS_VLLM, 0, &response);
    bool client_error = response.status >= 400 && response.status < 500;
    check((client_error || response.status == 501) && response.body.size); /* 501: data: URLs that are not base64 */
    check(qv__utf8_valid_prefix(response.body.data, response.body.size) == response.body.size);
    json_t *root = json_loadb(response.body.data, response.body.size, 0, NULL);
    check(json_is_string(json_object_get(json_object_get(root, "error"), "message")));
    json_decref(root);
    qv__buffer_clear(&response.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const qv__embed_limits limits = {
        .max_inputs = 100, .max_model_len = 1000, .embedding_size = 256, .max_images = 3, .max_videos = 2};
    qv__body_setup();
    qv__embed_request request = {0};
    qv__refusal r;
    if (qv__embed_request_parse(qv__read_embeddings, (const char *)data, size, &limits, &request, &r)) {
        check_refusal(&r);
    } else {
        check(request.count >= 1 && request.count <= 100);
        for (size_t i = 0; i < request.count; i++) {
            const qv_input *in = &request.inputs[i];
            check(in->max_length >= 0 && in->max_length <= 1000);
            check(in->dimensions == 0 || (in->dimensions >= 64 && in->dimensions <= 256));
            for (size_t k = 0; k < in->part_count; k++) check(in->parts[k].data || !in->parts[k].size);
        }
    }
    qv__embed_request_clear(&request);
    return 0;
}
