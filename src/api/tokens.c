/* POST /tokenize and /detokenize, in vLLM's forms. Benchmarks call them to make prompts of an exact length. */
#include <string.h>

#include "api/job.h"
#include "api/messages.h"
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

static void write_tokens(qv__job *job, const int32_t *ids, size_t count, bool strings, qv__response *response) {
    const qv__tokenizer *t = job->api->options.model->tokenizer;
    qv__buffer *b = &response->body;
    qv__buffer_printf(b, "{\"count\":%zu,\"max_model_len\":%lld,\"tokens\":[", count,
                      (long long)job->api->model.max_model_len);
    for (size_t i = 0; i < count; i++) qv__buffer_printf(b, "%s%d", i ? "," : "", ids[i]);
    qv__buffer_puts(b, "],\"token_strs\":");
    for (size_t i = 0; strings && i < count; i++) {
        qv__buffer_puts(b, i ? "," : "[");
        write_token(t, ids[i], b);
    }
    qv__buffer_puts(b, !strings ? "null}" : count ? "]}" : "[]}");
    response->tokens = (int64_t)count;
}

static qv_status tokenize_text(qv__job *job, const char *text, size_t size, bool special, bool strings,
                               qv__response *response, qv__refusal *r) {
    qv_error err = {0};
    qv__ids ids = {0};
    qv_status status = qv__tokenizer_encode(job->api->options.model->tokenizer, text, size, special, 0, &ids, &err);
    if (!status) write_tokens(job, ids.data, ids.size, strings, response);
    qv__ids_clear(&ids);
    return status ? qv__refuse_error(r, &err, "prompt", "") : QV_OK;
}

/* A conversation with pictures, between start and prepare. */
typedef struct {
    qv__arena arena;
    qv_input input;
    bool strings;
} chat;

static void drop_chat(void *parsed) {
    chat *c = parsed;
    qv__arena_clear(&c->arena);
    qv__free(c);
}

/* Pictures stand as their pad tokens, as many as the model would see. */
static qv_status tokenize_pictures(qv__job *job, qv__response *response, qv__refusal *r) {
    const chat *c = job->parsed;
    qv_status status = qv__job_reserve(job, 1, r);
    if (!status) status = qv__job_prepare(job, &c->input, "messages", r);
    if (!status)
        write_tokens(job, job->items[0]->sequence.ids, (size_t)job->items[0]->sequence.length, c->strings, response);
    return status;
}

/* A conversation as it is rendered for the model; a generation prompt is added unless the request says no. */
static qv_status tokenize_chat(qv__job *job, const json_t *messages, bool strings, qv__response *response,
                               qv__refusal *r) {
    const qv__api *api = job->api;
    qv__chat_options options = {.add_generation_prompt = true, .exact = true};
    if (json_is_true(qv__field(job->body.root, "continue_final_message"))) options.add_generation_prompt = false;
    chat *c = qv__calloc(1, sizeof *c);
    if (!c) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    job->parsed = c;
    job->drop = drop_chat;
    c->strings = strings;
    c->input = api->options.defaults;
    qv__content content = {.arena = &c->arena,
                           .r = r,
                           .name = "messages",
                           .max_images = api->options.max_images,
                           .max_videos = api->options.max_videos,
                           .max_parts = api->options.limits.parts,
                           .local_media = api->options.local_media,
                           .urls = &job->urls};
    qv_status status = qv__chat_options_read(job->body.root, &options, r);
    if (!status) status = qv__content_limits(job->body.root, &c->input, r);
    if (!status) status = qv__messages_input(&content, messages, &options, &c->input);
    if (status) return status;
    if (c->input.part_count == 1 && c->input.parts->kind == QV_PART_TEXT)
        return tokenize_text(job, c->input.parts->data, c->input.parts->size, options.add_special_tokens, strings,
                             response, r);
    job->prepare = tokenize_pictures;
    return QV_OK;
}

qv_status qv__start_tokenize(qv__job *job, qv__response *response, qv__refusal *r) {
    const json_t *body = job->body.root;
    const char *model = NULL;
    bool special = true, strings = false;
    qv_status status = qv__field_text(body, "model", &model, r);
    if (!status) status = qv__job_check_model(job, model, r);
    if (!status) status = qv__field_bool(body, "add_special_tokens", &special, r);
    if (!status) status = qv__field_bool(body, "return_token_strs", &strings, r);
    if (status) return status;
    const json_t *prompt = qv__field(body, "prompt"), *messages = qv__field(body, "messages");
    if (messages && !prompt) return tokenize_chat(job, messages, strings, response, r);
    if (!json_is_string(prompt))
        return qv__refuse_field(
            r, "prompt", prompt ? "prompt must be a string, not %s." : "The field prompt (or messages) is missing.",
            qv__json_kind(prompt));
    return tokenize_text(job, json_string_value(prompt), json_string_length(prompt), special, strings, response, r);
}

qv_status qv__start_detokenize(qv__job *job, qv__response *response, qv__refusal *r) {
    const json_t *body = job->body.root;
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
