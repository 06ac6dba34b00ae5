/* POST /v1/embeddings and /pooling: vLLM's fields, of which OpenAI's are a part. See forms.h for the dialects that
 * share the path. */
#include <string.h>
#include <time.h>

#include "api/common.h"
#include "api/embed.h"
#include "api/forms.h"
#include "api/headers.h"

/* ---- in ---- */

static qv_status read_encoding(qv__embed_reader *p) {
    static const char *const encodings[] = {"float", "base64", "bytes", "bytes_only", NULL};
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2", NULL};
    static const char *const orders[] = {"native", "little", "big", NULL};
    const json_t *o = p->out->body.root;
    int encoding = 0, dtype = 0, order = 0;
    qv_status status = qv__field_choice(o, "encoding_format", encodings, &encoding, p->r);
    if (!status) status = qv__field_choice(o, "embed_dtype", dtypes, &dtype, p->r);
    if (!status) status = qv__field_choice(o, "endianness", orders, &order, p->r);
    p->out->outputs[0] = (qv__output){.numbers = QV__FLOAT, .base64 = encoding == 1};
    p->out->output_count = 1;
    p->out->answer = encoding == 2 ? QV__BODY_BYTES : encoding == 3 ? QV__BODY_BYTES_ONLY : QV__BODY_JSON;
    p->out->dtype = (qv__wire)dtype;
    p->out->big_endian = order == 2 || (order == 0 && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    return status;
}

static qv_status read_output(qv__embed_reader *p) {
    const json_t *o = p->out->body.root;
    bool activation = true;
    qv_status status = read_encoding(p);
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__field_bool(o, "use_activation", &activation, p->r);
    if (!status && json_object_get(o, "normalize"))
        status = qv__refuse(p->r, QV_INVALID_ARGUMENT, "normalize",
                            "Parameter `normalize` was removed; use `use_activation` instead.");
    p->common.no_normalize = !activation;
    return status;
}

static qv_status read_truncation(qv__embed_reader *p) {
    int64_t keep;
    bool left;
    qv_status status = qv__common_cut(p->out->body.root, p->limits->max_model_len, &keep, &left, p->r);
    if (status) return status;
    p->common.max_length = keep < 0 ? p->limits->max_model_len : keep;
    p->out->keep_end = left && keep;
    if (p->out->keep_end && p->common.prompt == QV_PROMPT_OFFICIAL)
        return qv__refuse_field(
            p->r, "truncation_side",
            "truncation_side left goes with the raw prompt only: the official one is cut at its end.");
    return QV_OK;
}

static qv_status read_prompt(qv__embed_reader *p) {
    static const char *const prompts[] = {"official", "raw", NULL};
    const json_t *o = p->out->body.root;
    int prompt = -1;
    bool special = true;
    qv_status status = qv__field_choice(o, "prompt", prompts, &prompt, p->r);
    if (!status) status = qv__field_text(o, "instruction", &p->common.instruction, p->r);
    if (!status) status = qv__field_bool(o, "add_special_tokens", &special, p->r);
    if (status) return status;
    if (prompt == 1 && p->common.instruction)
        return qv__refuse_field(p->r, "instruction",
                                "instruction goes with the official prompt; prompt \"raw\" has no place for it.");
    p->common.prompt = prompt == 0 || p->common.instruction ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    if (!special && p->common.prompt == QV_PROMPT_OFFICIAL)
        return qv__refuse_field(p->r, "add_special_tokens", "add_special_tokens false goes with the raw prompt only.");
    p->common.no_special_tokens = !special;
    p->told_prompt = prompt >= 0;
    p->chat.exact = prompt == 1;
    p->chat.official = prompt == 0;
    return QV_OK;
}

/* Ours: what the answer adds to what it tells anyway. */
static qv_status read_echo(qv__embed_reader *p) {
    static const char *const things[] = {"none", "pictures", "prompts", NULL};
    int thing = 0;
    qv_status status = qv__field_choice(p->out->body.root, "echo", things, &thing, p->r);
    p->out->tell_pictures = thing >= 1;
    p->out->tell_prompts = thing == 2;
    return status;
}

/* `input`, or `messages` in its place. */
static qv_status read_input(qv__embed_reader *p) {
    const json_t *o = p->out->body.root, *input = qv__field(o, "input"),
                 *messages = input ? NULL : qv__field(o, "messages"); /* beside input they are ignored, like vLLM's */
    if (input || !messages)
        return qv__read_inputs(p, "input", input, QV__TAKE_TEXT | QV__TAKE_IDS | QV__TAKE_OBJECT | QV__TAKE_CHAT);
    const json_t *first = json_array_get(messages, 0), *role = json_is_array(first) ? json_array_get(first, 0) : first;
    if (!json_is_object(role) || !json_object_get(role, "role"))
        return qv__refuse_field(p->r, "messages", "messages must be a list of messages, each with role and content.");
    return qv__read_inputs(p, "messages", messages, QV__TAKE_CHAT);
}

qv_status qv__read_openai(qv__embed_reader *p) {
    static const char *const modalities[] = {"text", "image", "video", NULL};
    qv_status status = read_output(p);
    if (!status) status = read_prompt(p);
    if (!status) status = read_truncation(p);
    if (!status) status = qv__field_choice(p->out->body.root, "modality", modalities, &p->modality, p->r);
    if (!status) status = read_echo(p);
    if (!status) status = qv__chat_options_read(p->out->body.root, &p->chat, p->r);
    return status ? status : read_input(p);
}

static bool has_any(const json_t *object, const char *const *names) {
    for (; *names; names++)
        if (json_object_get(object, *names)) return true;
    return false;
}

qv_status qv__read_embeddings(qv__embed_reader *p) {
    static const char *const voyage[] = {"input_type", "truncation", "output_dtype", "output_dimension", NULL};
    static const char *const jina[] = {
        "task", "embedding_type", "encoding_type", "normalized", "late_chunking", "return_multivector", NULL};
    if (has_any(p->out->body.root, voyage)) return qv__read_voyage(p);
    return has_any(p->out->body.root, jina) ? qv__read_jina(p) : qv__read_openai(p);
}

qv_status qv__read_pooling(qv__embed_reader *p) {
    const json_t *o = p->out->body.root;
    const char *task = "embed";
    qv_status status = qv__field_text(o, "task", &task, p->r);
    if (status) return status;
    if (strcmp(task, "embed"))
        return qv__refuse(p->r, QV_INVALID_ARGUMENT, "task", "Unsupported task: '%.40s' Supported tasks: ['embed'].",
                          task);
    if (qv__field(o, "dimensions"))
        return qv__refuse(p->r, QV_INVALID_ARGUMENT, "dimensions", "dimensions is currently not supported");
    return qv__read_openai(p);
}

/* ---- out ---- */

static void write_head(const qv__job *job, const char *prefix, qv__buffer *b) {
    qv__buffer_puts(b, "{\"id\":");
    qv__job_write_id(job, prefix, b);
    qv__buffer_printf(b, ",\"object\":\"list\",\"created\":%lld,\"model\":", (long long)time(NULL));
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
}

static void write_usage(const qv__job *job, qv__buffer *b) {
    long long tokens = (long long)qv__job_tokens(job);
    qv__buffer_printf(b,
                      "\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld,\"completion_tokens\":0,\"prompt_tokens_"
                      "details\":null}",
                      tokens, tokens);
}

/* One output is the value itself, several are an object by name (Jina's embedding_type as a list). */
static void write_outputs(const qv__embed_request *q, const float *values, size_t count, qv__buffer *b) {
    for (int i = 0; i < q->output_count; i++) {
        if (q->output_count > 1) qv__buffer_printf(b, "%s\"%s\":", i ? "," : "{", q->outputs[i].name);
        qv__embed_write_vector(q, &q->outputs[i], values, count, b);
    }
    if (q->output_count > 1) qv__buffer_puts(b, "}");
}

static qv_status write_json(qv__job *job, const char *prefix, const char *object, const char *field, float *values,
                            qv__buffer *b, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    write_head(job, prefix, b);
    qv__buffer_puts(b, ",\"data\":[");
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__buffer_printf(b, "%s{\"index\":%zu,\"object\":\"%s\",\"%s\":", i ? "," : "", i, object, field);
        write_outputs(q, values, (size_t)job->facts[i].dimensions, b);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "],");
    write_usage(job, b);
    qv__embed_write_facts(job, b);
    qv__buffer_puts(b, "}");
    return QV_OK;
}

/* vLLM's bytes form: the vectors one behind the other, their places in the header `metadata`. */
static char *metadata(const qv__job *job, const char *prefix, qv__arena *arena) {
    const qv__embed_request *q = job->parsed;
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"};
    qv__buffer b = {0};
    qv__buffer_puts(&b, "{\"id\":");
    qv__job_write_id(job, prefix, &b);
    qv__buffer_printf(&b, ",\"created\":%lld,\"model\":", (long long)time(NULL));
    qv__write_string(&b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_puts(&b, ",\"data\":[");
    size_t start = 0;
    for (size_t i = 0; i < job->count; i++) {
        size_t end = start + (size_t)job->facts[i].dimensions * qv__wire_size(q->dtype);
        qv__buffer_printf(
            &b,
            "%s{\"index\":%zu,\"embed_dtype\":\"%s\",\"endianness\":\"%s\",\"start\":%zu,\"end\":%zu,\"shape\":[%d]}",
            i ? "," : "", i, dtypes[q->dtype], q->big_endian ? "big" : "little", start, end, job->facts[i].dimensions);
        start = end;
    }
    long long tokens = (long long)qv__job_tokens(job);
    qv__buffer_printf(&b, "],\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}", tokens, tokens);
    char *text = b.failed ? NULL : qv__arena_strndup(arena, b.data, b.size);
    qv__buffer_clear(&b);
    return text;
}

static qv_status write_bytes(qv__job *job, const char *prefix, float *values, qv__response *response, qv__refusal *r) {
    qv__embed_request *q = job->parsed;
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__write_bytes(&response->body, values, (size_t)job->facts[i].dimensions, q->dtype, q->big_endian);
    }
    response->content_type = "application/octet-stream";
    if (q->answer == QV__BODY_BYTES_ONLY) return QV_OK;
    const char *places = metadata(job, prefix, &q->arena);
    if (!places) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    qv__header_add(response, "metadata", places);
    return QV_OK;
}

static qv_status write_embeddings(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    return q->answer == QV__BODY_JSON ? write_json(job, "embd", "embedding", "embedding", values, &response->body, r)
                                      : write_bytes(job, "embd", values, response, r);
}

static qv_status write_pooling(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    return q->answer == QV__BODY_JSON ? write_json(job, "pooling", "pooling", "data", values, &response->body, r)
                                      : write_bytes(job, "pooling", values, response, r);
}

qv_status qv__start_embeddings(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_embeddings, write_embeddings};
    return qv__embed_start(job, &form, r);
}

qv_status qv__start_pooling(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_pooling, write_pooling};
    return qv__embed_start(job, &form, r);
}
