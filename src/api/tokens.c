/* POST /tokenize and /detokenize, in vLLM's form. Benchmarks call them to make prompts of an exact length. */
#include <string.h>

#include "api/body.h"
#include "api/job.h"
#include "api/write.h"

/* GPT-2's printable stand-ins for bytes, in which vocabularies of this family spell their tokens: printable
 * Latin-1 characters stand for themselves, the 68 others for U+0100 onwards. */
static uint32_t byte_character(unsigned char c) {
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174) return c;
    if (c <= 32) return 256u + c;
    if (c <= 160) return 256u + 33 + (c - 127u);
    return 256 + 67; /* 173 */
}

static void write_token(const qv__tokenizer *t, int32_t id, qv__buffer *b) {
    char text[512];
    size_t size = 0, n = 0;
    const char *bytes = qv__tokenizer_bytes(t, id, &size);
    for (size_t i = 0; bytes && i < size && n + 2 < sizeof text; i++) {
        uint32_t c = byte_character((unsigned char)bytes[i]);
        if (c < 0x80) {
            text[n++] = (char)c;
        } else {
            text[n++] = (char)(0xC0 | c >> 6);
            text[n++] = (char)(0x80 | (c & 63));
        }
    }
    qv__write_string(b, text, n);
}

static qv_status answer_tokens(qv__job *job, const json_t *body, qv__response *response, qv__refusal *r) {
    const char *model = NULL;
    bool special = true, strings = false;
    qv_status status = qv__field_text(body, "model", &model, r);
    if (!status) status = qv__job_check_model(job, model, r);
    if (!status) status = qv__field_bool(body, "add_special_tokens", &special, r);
    if (!status) status = qv__field_bool(body, "return_token_strs", &strings, r);
    if (status) return status;
    const json_t *prompt = qv__field(body, "prompt");
    if (!json_is_string(prompt))
        return qv__refuse_field(r, "prompt",
                                prompt ? "prompt must be a string, not %s." : "The field prompt is missing.",
                                qv__json_kind(prompt));
    qv_error err = {0};
    qv__ids ids = {0};
    const qv__tokenizer *t = job->api->options.model->tokenizer;
    status = qv__tokenizer_encode(t, json_string_value(prompt), json_string_length(prompt), special, 0, &ids, &err);
    if (status) return qv__ids_clear(&ids), qv__refuse_error(r, &err, "prompt", "");
    qv__buffer *b = &response->body;
    qv__buffer_printf(b, "{\"count\":%zu,\"max_model_len\":%lld,\"tokens\":[", ids.size,
                      (long long)job->api->model.max_model_len);
    for (size_t i = 0; i < ids.size; i++) qv__buffer_printf(b, "%s%d", i ? "," : "", ids.data[i]);
    qv__buffer_puts(b, "],\"token_strs\":");
    for (size_t i = 0; strings && i < ids.size; i++) {
        qv__buffer_puts(b, i ? "," : "[");
        write_token(t, ids.data[i], b);
    }
    qv__buffer_puts(b, !strings ? "null}" : ids.size ? "]}" : "[]}");
    response->tokens = (int64_t)ids.size;
    qv__ids_clear(&ids);
    return QV_OK;
}

static qv_status answer_text(qv__job *job, const json_t *body, qv__response *response, qv__refusal *r) {
    const char *model = NULL;
    qv_status status = qv__field_text(body, "model", &model, r);
    if (!status) status = qv__job_check_model(job, model, r);
    if (status) return status;
    const json_t *tokens = qv__field(body, "tokens");
    if (!json_is_array(tokens))
        return qv__refuse_field(r, "tokens", "tokens must be a list of token ids, not %s.", qv__json_kind(tokens));
    const qv__tokenizer *t = job->api->options.model->tokenizer;
    qv__buffer text = {0};
    for (size_t i = 0; i < json_array_size(tokens) && !status; i++) {
        const json_t *value = json_array_get(tokens, i);
        json_int_t id = json_integer_value(value);
        size_t size = 0;
        const char *bytes =
            json_is_integer(value) && id >= 0 && id <= INT32_MAX ? qv__tokenizer_bytes(t, (int32_t)id, &size) : NULL;
        if (!bytes)
            status = qv__refuse_field(r, "tokens", "tokens[%zu] is not a token id of this model.", i);
        else
            qv__buffer_append(&text, bytes, size);
    }
    if (!status) {
        qv__buffer_puts(&response->body, "{\"prompt\":");
        qv__write_string(&response->body, text.data, text.size);
        qv__buffer_puts(&response->body, "}");
        response->body.failed |= text.failed;
    }
    qv__buffer_clear(&text);
    return status;
}

static qv_status with_body(qv__job *job, qv__response *response, qv__refusal *r,
                           qv_status (*answer)(qv__job *, const json_t *, qv__response *, qv__refusal *)) {
    qv__body body;
    qv_status status = qv__body_parse(job->request->body, job->request->body_size, &body, r);
    if (!status) status = answer(job, body.root, response, r);
    qv__body_clear(&body);
    return status;
}

qv_status qv__start_tokenize(qv__job *job, qv__response *response, qv__refusal *r) {
    return with_body(job, response, r, answer_tokens);
}

qv_status qv__start_detokenize(qv__job *job, qv__response *response, qv__refusal *r) {
    return with_body(job, response, r, answer_text);
}
