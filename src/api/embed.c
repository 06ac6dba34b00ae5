#include "api/embed.h"

#include <stdio.h>
#include <string.h>

#include "api/headers.h"

typedef struct {
    qv__embed_request request; /* first: job->parsed is both */
    const qv__embed_form *form;
} work;

static void drop(void *parsed) {
    qv__embed_request_clear(parsed);
    qv__free(parsed);
}

/* ---- items ---- */

/* "input" or "input[7]" */
static void name_of(const qv__embed_request *q, size_t i, char out[48]) {
    snprintf(out, 48, q->single ? "%s" : "%s[%zu]", q->name, i);
}

/* Truncation at the left end: the ids are made here, and the last ones kept. Only for raw prompts of one part. */
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

static qv_status refuse_cut(const qv__job *job, size_t i, const char *name, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    const qv__prepared *f = &job->facts[i];
    return qv__refuse(r, QV_TOO_LONG, "input_tokens", "%s has %lld tokens; at most %lld are taken, and %s.", name,
                      (long long)f->untruncated, (long long)f->tokens,
                      q->refuse_cut ? "the request asks not to cut it"
                                    : "only a raw prompt of one text or of token ids can be cut at its start");
}

static qv_status prepare_input(qv__job *job, size_t i, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    char name[48];
    name_of(q, i, name);
    qv_input input = q->inputs[i];
    qv_part part;
    int64_t untruncated = 0;
    bool text = input.part_count == 1 && (input.parts->kind == QV_PART_TEXT || input.parts->kind == QV_PART_TOKENS),
         left = q->keep_end && text && input.prompt == QV_PROMPT_RAW;
    qv_status status = left ? keep_end(job, &input, &part, &untruncated, name, r) : QV_OK;
    if (!status) status = qv__job_prepare(job, &input, name, r);
    if (status == QV_INVALID_ARGUMENT && q->inputs[i].part_count && q->inputs[i].parts->kind == QV_PART_TOKENS)
        r->cause = QV__CAUSE_TOKENS;
    if (status) return status;
    if (left) return job->facts[i].untruncated = untruncated, QV_OK;
    bool cut = qv__prepared_is_cut(&job->facts[i]);
    return cut && (q->refuse_cut || q->keep_end) ? refuse_cut(job, i, name, r) : QV_OK;
}

/* ---- answers ---- */

qv_status qv__embed_vector(qv__job *job, size_t i, float *values, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    qv_error err = {0};
    qv_status status = qv__session_finish(job->items[i], &job->facts[i], values, &err);
    if (!status) return QV_OK;
    char prefix[56];
    name_of(q, i, prefix);
    strcat(prefix, ": ");
    return qv__refuse_error(r, &err, NULL, prefix);
}

void qv__embed_write_vector(const qv__embed_request *q, const qv__output *output, const float *values, size_t count,
                            qv__buffer *b) {
    if (output->numbers != QV__FLOAT)
        qv__write_quantized(b, values, count, output->numbers, output->base64);
    else if (output->base64)
        qv__write_base64(b, values, count, q->dtype, q->big_endian);
    else
        qv__write_floats(b, values, count);
}

/* Only a model with a vision tower has a configuration to ask. */
static void write_picture(const qv__job *job, const qv__vision_run *run, bool comma, qv__buffer *b) {
    const qv__vision_config *v = &qv__checkpoint_config(job->api->options.model->checkpoint)->vision;
    qv__buffer_printf(b, "%s{\"height\":%d,\"width\":%d,\"tokens\":%lld}", comma ? "," : "", run->height, run->width,
                      (long long)qv__vision_tokens(v, run->height, run->width));
}

/* [[{"height","width","tokens"}, ...], ...]: each input's pictures and frame pairs, in the order they enter the
 * model. */
static void write_pictures(const qv__job *job, qv__buffer *b) {
    qv__buffer_puts(b, ",\"pictures\":[");
    for (size_t i = 0; i < job->count; i++) {
        const qv__sequence *s = &job->items[i]->sequence;
        qv__buffer_puts(b, i ? ",[" : "[");
        for (int k = 0; k < s->run_count; k++) write_picture(job, &s->runs[k], k > 0, b);
        qv__buffer_puts(b, "]");
    }
    qv__buffer_puts(b, "]");
}

static void write_prompts(const qv__job *job, qv__buffer *b) {
    qv__buffer_puts(b, ",\"prompts\":[");
    for (size_t i = 0; i < job->count; i++) {
        if (i) qv__buffer_puts(b, ",");
        qv__job_write_prompt(job, i, b);
    }
    qv__buffer_puts(b, "]");
}

void qv__embed_write_facts(const qv__job *job, qv__buffer *b) {
    const qv__embed_request *q = job->parsed;
    bool first = true;
    qv__buffer_printf(b, ",\"qvec\":{\"prompt\":\"%s\",\"truncated\":[", qv__job_prompt(job));
    for (size_t i = 0; i < job->count; i++) {
        const qv__prepared *f = &job->facts[i];
        if (!qv__prepared_is_cut(f)) continue;
        qv__buffer_printf(b, "%s{\"index\":%zu,\"tokens\":%lld,\"untruncated\":%lld}", first ? "" : ",", i,
                          (long long)f->tokens, (long long)f->untruncated);
        first = false;
    }
    qv__buffer_puts(b, "]");
    if (q->tell_pictures) write_pictures(job, b);
    if (q->tell_prompts) write_prompts(job, b);
    qv__buffer_puts(b, "}");
}

/* The same facts in headers, for answers that have no place for them in the body. */
static void add_headers(const qv__job *job, qv__response *response) {
    const qv__embed_request *q = job->parsed;
    size_t cut = 0;
    for (size_t i = 0; i < job->count; i++) cut += qv__prepared_is_cut(&job->facts[i]);
    qv__header_add_facts(response, qv__job_prompt(job), cut, q->warning);
}

static qv_status finish(qv__job *job, qv__response *response, qv__refusal *r) {
    work *w = job->parsed;
    float *values = qv__alloc_array((size_t)job->api->model.embedding_size, sizeof *values);
    if (!values) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    qv_status status = w->form->write(job, values, response, r);
    qv__free(values);
    add_headers(job, response);
    response->items = (int64_t)job->count;
    response->tokens = qv__job_tokens(job);
    bool tei = job->errors == QV__ERRORS_TEI;
    for (size_t i = 0; i < job->count && tei; i++)
        response->characters += qv__content_characters(&w->request.inputs[i]);
    return status;
}

static qv_status prepare(qv__job *job, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    qv_status status = qv__job_reserve(job, q->count, r);
    for (size_t i = 0; i < q->count && !status; i++) status = prepare_input(job, i, r);
    return !status && q->tell_prompts ? qv__job_check_echo(job, r) : status;
}

qv_status qv__embed_start(qv__job *job, const qv__embed_form *form, qv__refusal *r) {
    const qv__api *api = job->api;
    if (api->model.task == QV_TASK_RERANK)
        return qv__refuse(r, QV_WRONG_TASK, NULL,
                          "The model does not support Embeddings API: it is a reranker and cannot embed.");
    work *w = qv__calloc(1, sizeof *w);
    if (!w) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    job->parsed = w;
    job->drop = drop;
    w->form = form;
    qv__embed_request *q = &w->request;
    q->errors = job->errors;
    q->body = job->body;
    job->body = (qv__body){0};
    qv__embed_limits limits = {.max_inputs = api->options.limits.inputs,
                               .max_model_len = api->model.max_model_len,
                               .embedding_size = api->model.embedding_size,
                               .max_images = api->options.max_images,
                               .max_videos = api->options.max_videos,
                               .max_parts = api->options.limits.parts,
                               .local_media = api->options.local_media,
                               .urls = &job->urls,
                               .defaults = api->options.defaults};
    qv_status status = qv__embed_request_read(form->read, &limits, q, r);
    job->errors = q->errors;
    job->prepare = prepare;
    job->finish = finish;
    return status ? status : qv__job_check_model(job, q->model, r);
}
