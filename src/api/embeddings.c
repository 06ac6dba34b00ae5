/* POST /v1/embeddings. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/embed_request.h"
#include "api/job.h"

static void drop(void *parsed) {
    qv__embed_request_clear(parsed);
    qv__free(parsed);
}

/* Truncation at the left end: the ids are made here, and the last ones kept. Only for raw prompts. */
static qv_status keep_end(qv__job *job, qv_input *input, qv_part *part, int64_t *untruncated, const char *name,
                          qv__refusal *r) {
    const int32_t *data = input->parts->data;
    size_t count = input->parts->size, max = (size_t)input->max_length;
    qv__embed_request *q = job->parsed;
    if (input->parts->kind == QV_PART_TEXT) {
        qv_error err = {0};
        qv__ids ids = {0};
        int32_t *copy = NULL;
        qv_status status = qv__tokenizer_encode(job->api->options.model->tokenizer, input->parts->data,
                                                input->parts->size, !input->no_special_tokens, 0, &ids, &err);
        if (!status && !(copy = qv__arena_alloc(&q->arena, ids.size + 1, sizeof *copy)))
            status = qv__fail(&err, QV_NO_MEMORY, "no memory for %zu token ids", ids.size);
        if (!status && ids.size) memcpy(copy, ids.data, ids.size * sizeof *copy);
        count = ids.size;
        data = copy;
        qv__ids_clear(&ids);
        if (status) return qv__refuse_error(r, &err, name, "");
    }
    *untruncated = (int64_t)count;
    size_t skip = count > max ? count - max : 0;
    *part = (qv_part){.kind = QV_PART_TOKENS, .data = data + skip, .size = count - skip};
    input->parts = part;
    input->max_length = 0;
    return QV_OK;
}

/* ---- the answer ---- */

static void write_usage(const qv__job *job, qv__buffer *b) {
    long long tokens = (long long)qv__job_tokens(job);
    qv__buffer_printf(b,
                      "\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld,\"completion_tokens\":0,\"prompt_tokens_"
                      "details\":null}",
                      tokens, tokens);
}

/* Ours: which recipe was used and what was cut; clients that do not know the field skip it. */
static void write_facts(const qv__job *job, qv__buffer *b) {
    bool official = job->facts[0].prompt == QV_PROMPT_OFFICIAL, first = true;
    qv__buffer_printf(b, ",\"qvec\":{\"prompt\":\"%s\",\"truncated\":[", official ? "official" : "raw");
    for (size_t i = 0; i < job->count; i++) {
        const qv__prepared *f = &job->facts[i];
        if (f->untruncated <= f->tokens) continue;
        qv__buffer_printf(b, "%s{\"index\":%zu,\"tokens\":%lld,\"untruncated\":%lld}", first ? "" : ",", i,
                          (long long)f->tokens, (long long)f->untruncated);
        first = false;
    }
    qv__buffer_puts(b, "]}");
}

static qv_status finish_item(qv__job *job, size_t i, float *values, qv__refusal *r) {
    qv_error err = {0};
    qv_status status = qv__session_finish(job->items[i], &job->facts[i], values, &err);
    char prefix[32] = "";
    if (job->count > 1) snprintf(prefix, sizeof prefix, "input[%zu]: ", i);
    return status ? qv__refuse_error(r, &err, NULL, prefix) : QV_OK;
}

static qv_status write_json(qv__job *job, float *values, qv__buffer *b, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    qv__buffer_puts(b, "{\"id\":");
    qv__job_write_id(job, "embd", b);
    qv__buffer_printf(b, ",\"object\":\"list\",\"created\":%lld,\"model\":", (long long)time(NULL));
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_puts(b, ",\"data\":[");
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = finish_item(job, i, values, r);
        if (status) return status;
        size_t n = (size_t)job->facts[i].dimensions;
        qv__buffer_printf(b, "%s{\"index\":%zu,\"object\":\"embedding\",\"embedding\":", i ? "," : "", i);
        if (q->encoding == QV__ENCODING_BASE64)
            qv__write_base64(b, values, n, q->dtype, q->big_endian);
        else
            qv__write_floats(b, values, n);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "],");
    write_usage(job, b);
    write_facts(job, b);
    qv__buffer_puts(b, "}");
    return QV_OK;
}

/* vLLM's bytes form: the vectors one behind the other, their places in the header `metadata`. */
static char *metadata(const qv__job *job, qv__arena *arena) {
    const qv__embed_request *q = job->parsed;
    static const char *const dtypes[] = {"float32", "float16", "bfloat16"};
    qv__buffer b = {0};
    qv__buffer_puts(&b, "{\"id\":");
    qv__job_write_id(job, "embd", &b);
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

static qv_status write_binary(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    qv__embed_request *q = job->parsed;
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = finish_item(job, i, values, r);
        if (status) return status;
        qv__write_bytes(&response->body, values, (size_t)job->facts[i].dimensions, q->dtype, q->big_endian);
    }
    response->content_type = "application/octet-stream";
    if (q->encoding == QV__ENCODING_BYTES_ONLY) return QV_OK;
    response->header_name[0] = "metadata";
    response->header_value[0] = metadata(job, &q->arena);
    return response->header_value[0] ? QV_OK : qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
}

static qv_status finish(qv__job *job, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    float *values = qv__alloc_array((size_t)job->api->model.embedding_size, sizeof *values);
    if (!values) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    bool binary = q->encoding == QV__ENCODING_BYTES || q->encoding == QV__ENCODING_BYTES_ONLY;
    qv_status status = binary ? write_binary(job, values, response, r) : write_json(job, values, &response->body, r);
    qv__free(values);
    response->items = (int64_t)job->count;
    response->tokens = qv__job_tokens(job);
    return status;
}

static qv_status prepare(qv__job *job, qv__refusal *r) {
    qv__embed_request *q = job->parsed;
    qv_status status = qv__job_reserve(job, q->count, r);
    for (size_t i = 0; i < q->count && !status; i++) {
        char name[32];
        if (q->single)
            snprintf(name, sizeof name, "%s", q->name);
        else
            snprintf(name, sizeof name, "%s[%zu]", q->name, i);
        qv_input input = q->inputs[i];
        qv_part part;
        int64_t untruncated = 0;
        bool cut = q->keep_end && input.part_count == 1 && input.prompt == QV_PROMPT_RAW;
        if (cut)
            status = keep_end(job, &input, &part, &untruncated, name, r);
        else if (q->keep_end)
            status =
                qv__refuse_field(r, "truncation_side", "truncation_side left goes with raw texts and token ids only.");
        if (!status) status = qv__job_prepare(job, &input, name, r);
        if (!status && cut) job->facts[i].untruncated = untruncated;
    }
    return status;
}

qv_status qv__start_embeddings(qv__job *job, qv__response *response, qv__refusal *r) {
    const qv__api *api = job->api;
    if (api->model.task == QV_TASK_RERANK)
        return qv__refuse(r, QV_WRONG_TASK, NULL,
                          "The model does not support Embeddings API: it is a reranker and cannot embed.");
    qv__embed_request *q = qv__calloc(1, sizeof *q);
    if (!q) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    job->parsed = q;
    job->drop = drop;
    qv__embed_limits limits = {.max_inputs = api->options.max_inputs,
                               .max_model_len = api->model.max_model_len,
                               .embedding_size = api->model.embedding_size,
                               .max_images = api->options.max_images,
                               .max_videos = api->options.max_videos,
                               .local_media = api->options.local_media};
    qv_status status = qv__embed_request_parse(job->request->body, job->request->body_size, &limits, q, r);
    if (!status) status = qv__job_check_model(job, q->model, r);
    if (!status) status = prepare(job, r);
    if (!status) job->finish = finish;
    return status;
}
