/* The bodies of the embedding routes' dialects; the first byte picks one. Any bytes give inputs within the limits and
 * outputs that can be written, or a refusal that is valid JSON in each dialect's shape. */
#include <stdlib.h>

#include "api/forms.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const qv__embed_read forms[] = {
    qv__read_cohere, qv__read_jina,    qv__read_voyage,     qv__read_voyage_multimodal,
    qv__read_tei,    qv__read_pooling, qv__read_similarity, qv__read_llama};

enum { SIZE = 256 };

static void check(bool condition) {
    if (!condition) abort();
}

static void check_refusal(const qv__refusal *r) {
    static const char *const texts[] = {"error", "message", "detail", "error"};
    for (int errors = QV__ERRORS_VLLM; errors <= QV__ERRORS_TEI; errors++) {
        qv__response response = {0};
        qv__refusal_respond(r, (qv__errors)errors, 0, &response);
        bool client_error = response.status >= 400 && response.status < 500;
        check(client_error || response.status == 501); /* 501: data: URLs that are not base64 */
        check(qv__utf8_valid_prefix(response.body.data, response.body.size) == response.body.size);
        json_t *root = json_loadb(response.body.data, response.body.size, 0, NULL);
        const json_t *text = json_object_get(root, texts[errors]);
        if (errors == QV__ERRORS_VLLM) text = json_object_get(text, "message");
        check(json_is_string(text) && json_string_length(text));
        json_decref(root);
        qv__buffer_clear(&response.body);
    }
}

/* Each output of a vector of the wanted length is valid JSON. */
static void check_outputs(const qv__embed_request *q, size_t count) {
    static float values[SIZE];
    for (size_t i = 0; i < SIZE; i++) values[i] = (float)(i % 7) * 0.05f - 0.125f;
    check(q->output_count >= 1 && q->output_count <= QV__OUTPUTS_MAX);
    for (int i = 0; i < q->output_count; i++) {
        const qv__output *o = &q->outputs[i];
        if (o->numbers == QV__FLOAT) continue;
        qv__buffer b = {0};
        check(qv__write_quantized(&b, values, count, o->numbers, o->base64));
        json_t *root = json_loadb(b.data, b.size, JSON_DECODE_ANY, NULL);
        check(o->base64 ? json_is_string(root) : json_array_size(root) == qv__quantize_size(o->numbers, count));
        json_decref(root);
        qv__buffer_clear(&b);
    }
}

static void check_inputs(const qv__embed_request *q) {
    check(q->count >= 1 && q->count <= 101); /* /similarity has its source besides */
    for (size_t i = 0; i < q->count; i++) {
        const qv_input *in = &q->inputs[i];
        check(in->max_length >= 0 && in->max_length <= 1000);
        check(in->dimensions == 0 || (in->dimensions >= 64 && in->dimensions <= SIZE));
        check(in->prompt == QV_PROMPT_OFFICIAL || !in->instruction);
        for (size_t k = 0; k < in->part_count; k++) check(in->parts[k].data || !in->parts[k].size);
    }
    check_outputs(q, q->inputs[0].dimensions ? (size_t)q->inputs[0].dimensions : SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const qv__embed_limits limits = {
        .max_inputs = 100, .max_model_len = 1000, .embedding_size = SIZE, .max_images = 3, .max_videos = 2};
    if (size == 0) return 0;
    qv__body_setup();
    qv__embed_request request = {0};
    qv__refusal r;
    qv__embed_read read = forms[data[0] % (sizeof forms / sizeof *forms)];
    if (qv__embed_request_parse(read, (const char *)data + 1, size - 1, &limits, &request, &r))
        check_refusal(&r);
    else
        check_inputs(&request);
    qv__embed_request_clear(&request);
    return 0;
}
