/* The routes of text-embeddings-inference: /embed, /similarity, /info, /decode, POST / and what it refuses; and the
 * native route of llama.cpp, /embedding. Their answers are bare lists. */
#include <string.h>

#include "api/embed.h"
#include "api/forms.h"
#include "base/number.h"

/* ---- in ---- */

/* truncate, truncation_direction, prompt_name of a request or of its `parameters`. As with the server's default
 * (--auto-truncate), what is too long is cut unless the request says no. */
static qv_status read_wishes(qv__embed_reader *p, const json_t *o) {
    static const char *const sides[] = {"Right", "right", "Left", "left", NULL};
    bool truncate = true;
    int side = 0;
    p->out->errors = QV__ERRORS_TEI;
    qv_status status = qv__read_purpose(p, o, "prompt_name");
    if (!status) status = qv__field_bool(o, "truncate", &truncate, p->r);
    if (!status) status = qv__field_choice(o, "truncation_direction", sides, &side, p->r);
    qv__read_cut(p, !truncate ? QV__CUT_NOT : side >= 2 ? QV__CUT_START : QV__CUT_END, 0);
    p->out->output_count = 1; /* floats */
    return status;
}

qv_status qv__read_tei(qv__embed_reader *p) {
    const json_t *o = p->out->body.root;
    bool normalize = true;
    qv_status status = read_wishes(p, o);
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__field_bool(o, "normalize", &normalize, p->r);
    p->common.no_normalize = !normalize;
    if (status) return status;
    return qv__read_inputs(p, "inputs", qv__field(o, "inputs"),
                           QV__TAKE_TEXT | QV__TAKE_IDS | QV__TAKE_OBJECT | QV__TAKE_MIXED);
}

qv_status qv__read_similarity(qv__embed_reader *p) {
    const json_t *o = p->out->body.root, *inputs = qv__field(o, "inputs"), *parameters = qv__field(o, "parameters");
    qv_status status = read_wishes(p, json_is_object(parameters) ? parameters : o);
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__read_dimensions(p, parameters, "dimensions"); /* wins */
    if (status) return status;
    if (parameters && !json_is_object(parameters))
        return qv__refuse_field(p->r, "parameters", "parameters must be an object, not %s.", qv__json_kind(parameters));
    const json_t *source = qv__field(inputs, "source_sentence"), *sentences = qv__field(inputs, "sentences");
    if (!source || !json_is_array(sentences))
        return qv__refuse_field(p->r, "inputs",
                                "inputs must be an object with source_sentence and a list of sentences.");
    if (!json_array_size(sentences)) {
        qv__refuse_field(p->r, "inputs", "inputs.sentences is an empty list; there is nothing to compare.");
        return p->r->cause = QV__CAUSE_EMPTY, QV_INVALID_ARGUMENT;
    }
    size_t count = json_array_size(sentences);
    status = qv__read_begin(p, "inputs", count + 1);
    if (!status) status = qv__read_at(p, 0, source, QV__TAKE_TEXT);
    for (size_t i = 0; i < count && !status; i++)
        status = qv__read_at(p, i + 1, json_array_get(sentences, i), QV__TAKE_TEXT);
    return status;
}

/* `content`, dimensions, and embd_normalize: 2 (Euclidean, the default) or -1 (none). */
qv_status qv__read_llama(qv__embed_reader *p) {
    const json_t *o = p->out->body.root;
    int64_t normalize = 2;
    qv_status status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__field_int(o, "embd_normalize", -1, INT32_MAX, &normalize, p->r);
    if (!status && normalize != 2 && normalize != -1)
        status =
            qv__refuse_field(p->r, "embd_normalize", "embd_normalize is %lld; 2 (unit length) and -1 (none) are known.",
                             (long long)normalize);
    if (status) return status;
    p->common.no_normalize = normalize < 0;
    p->common.prompt = QV_PROMPT_RAW;
    p->out->output_count = 1; /* floats */
    return qv__read_inputs(p, "content", qv__field(o, "content"), QV__TAKE_TEXT | QV__TAKE_IDS | QV__TAKE_MIXED);
}

/* ---- out ---- */

static qv_status write_list(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    qv__buffer *b = &response->body;
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__buffer_puts(b, i ? "," : "[");
        qv__write_floats(b, values, (size_t)job->facts[i].dimensions);
    }
    qv__buffer_puts(b, "]");
    return QV_OK;
}

static qv_status write_llama(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    qv__buffer *b = &response->body;
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__buffer_printf(b, "%s{\"index\":%zu,\"embedding\":[", i ? "," : "[", i);
        qv__write_floats(b, values, (size_t)job->facts[i].dimensions);
        qv__buffer_puts(b, "]}");
    }
    qv__buffer_puts(b, "]");
    return QV_OK;
}

/* The cosine of the first input with each other one. */
static qv_status write_similarity(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    qv__embed_request *q = job->parsed;
    qv__buffer *b = &response->body;
    size_t n = (size_t)job->facts[0].dimensions;
    float *source = qv__arena_alloc(&q->arena, n, sizeof *source);
    if (!source) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    qv_status status = qv__embed_vector(job, 0, source, r);
    for (size_t i = 1; i < job->count && !status; i++) {
        status = qv__embed_vector(job, i, values, r);
        double sum = 0;
        for (size_t k = 0; k < n && !status; k++) sum += (double)source[k] * (double)values[k];
        qv__buffer_puts(b, i > 1 ? "," : "[");
        if (qv__buffer_reserve(b, QV__FLOAT_TEXT_MAX)) b->size += qv__float_shortest((float)sum, b->data + b->size);
    }
    qv__buffer_puts(b, "]");
    return status;
}

qv_status qv__start_tei(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_tei, write_list};
    return qv__embed_start(job, &form, r);
}

qv_status qv__start_similarity(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_similarity, write_similarity};
    return qv__embed_start(job, &form, r);
}

qv_status qv__start_llama(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_llama, write_llama};
    return qv__embed_start(job, &form, r);
}

qv_status qv__start_embed_all(qv__job *job, qv__response *response, qv__refusal *r) {
    return qv__refuse(r, QV_WRONG_TASK, NULL,
                      "This model pools the last token: there is one vector for each input, at /embed.");
}

qv_status qv__start_embed_sparse(qv__job *job, qv__response *response, qv__refusal *r) {
    return qv__refuse(r, QV_WRONG_TASK, NULL, "The model is not a Splade model: it makes no sparse vectors.");
}

/* ---- several forms on one path ---- */

/* Asks without the note that a reader leaves: the form that is chosen may not know the field. */
static bool has(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value);
}

/* llama.cpp's own form has `content`; with `input` the same path is Infinity's and TEI's, in OpenAI's shape. */
qv_status qv__start_bare_embeddings(qv__job *job, qv__response *response, qv__refusal *r) {
    return has(job->body.root, "content") ? qv__start_llama(job, response, r) : qv__start_embeddings(job, response, r);
}

qv_status qv__start_default(qv__job *job, qv__response *response, qv__refusal *r) {
    if (job->api->model.task == QV_TASK_RERANK) return qv__start_rerank(job, response, r);
    const json_t *inputs = json_object_get(job->body.root, "inputs");
    return has(inputs, "source_sentence") ? qv__start_similarity(job, response, r) : qv__start_tei(job, response, r);
}

/* SageMaker's single path: the form is told by its fields. */
qv_status qv__start_invocations(qv__job *job, qv__response *response, qv__refusal *r) {
    const json_t *o = job->body.root;
    if (has(o, "query")) return qv__start_rerank(job, response, r);
    if (has(o, "queries") || has(o, "data_1") || has(o, "text_1")) return qv__start_score(job, response, r);
    if (!has(o, "inputs")) return qv__start_embeddings(job, response, r);
    job->errors = QV__ERRORS_TEI;
    return qv__start_default(job, response, r);
}

/* ---- /info, /decode ---- */

qv_status qv__start_info(qv__job *job, qv__response *response, qv__refusal *r) {
    const qv__api *api = job->api;
    const qv_model *model = api->options.model;
    qv__buffer *b = &response->body;
    const char *id = model->folder ? model->folder : qv__job_model(job);
    qv__buffer_puts(b, "{\"model_id\":");
    qv__write_string(b, id, strlen(id));
    qv__buffer_puts(b, ",\"model_sha\":null,\"model_dtype\":\"float32\",\"served_model_name\":");
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_puts(b, api->model.task == QV_TASK_RERANK
                           ? ",\"model_type\":{\"reranker\":{\"id2label\":{\"0\":\"yes\"},\"label2id\":{\"yes\":0}}}"
                           : ",\"model_type\":{\"embedding\":{\"pooling\":\"last_token\"}}");
    qv__buffer_printf(
        b,
        ",\"max_concurrent_requests\":%lld,\"max_input_length\":%lld,\"max_batch_tokens\":%lld,\"max_"
        "batch_requests\":null,\"max_client_batch_size\":%lld,\"auto_truncate\":true,\"tokenization_"
        "workers\":%d,\"version\":\"%s\",\"sha\":null,\"docker_label\":null,\"embedding_size\":%lld,\"limits\":{",
        (long long)model->options.max_queued_items, (long long)api->model.max_model_len,
        (long long)model->options.max_batched_tokens, (long long)api->options.limits.inputs, api->options.workers,
        QVEC_VERSION, (long long)api->model.embedding_size);
    qv__limits_write(&api->options.limits, b);
    qv__buffer_printf(
        b, ",\"max-model-len\":%lld,\"max-num-batched-tokens\":%lld,\"images-per-input\":%d,\"videos-per-input\":%d}}",
        (long long)api->model.max_model_len, (long long)model->options.max_batched_tokens, api->options.max_images,
        api->options.max_videos);
    return QV_OK;
}

/* The text of one list of ids; special tokens left out where `skip`. */
static qv_status write_decoded(qv__job *job, const json_t *ids, bool skip, qv__buffer *b, qv__refusal *r) {
    const qv__tokenizer *t = job->api->options.model->tokenizer;
    qv__buffer text = {0};
    qv_status status = QV_OK;
    for (size_t i = 0; i < json_array_size(ids) && !status; i++) {
        const json_t *value = json_array_get(ids, i);
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        size_t size = 0;
        const char *bytes = id >= 0 && id <= INT32_MAX ? qv__tokenizer_bytes(t, (int32_t)id, &size) : NULL;
        if (!bytes) {
            status = qv__refuse_field(r, "ids", "ids: value %zu is not a token id of this model.", i);
            r->cause = QV__CAUSE_TOKENS;
        } else if (!skip || !qv__tokenizer_is_special(t, (int32_t)id))
            qv__buffer_append(&text, bytes, size);
    }
    if (!status) qv__write_string(b, text.data, text.size);
    b->failed |= text.failed;
    qv__buffer_clear(&text);
    return status;
}

qv_status qv__start_decode(qv__job *job, qv__response *response, qv__refusal *r) {
    const json_t *ids = qv__field(job->body.root, "ids");
    bool skip = true;
    qv_status status = qv__field_bool(job->body.root, "skip_special_tokens", &skip, r);
    if (!status && (!json_is_array(ids) || !json_array_size(ids))) {
        status = qv__refuse_field(r, "ids", "ids must be a list of token ids, or a list of such lists.");
        if (json_is_array(ids)) r->cause = QV__CAUSE_EMPTY;
    }
    if (status) return status;
    qv__buffer *b = &response->body;
    bool lists = json_is_array(json_array_get(ids, 0));
    for (size_t i = 0; i < (lists ? json_array_size(ids) : 1) && !status; i++) {
        const json_t *one = lists ? json_array_get(ids, i) : ids;
        qv__buffer_puts(b, i ? "," : "[");
        status = json_is_array(one)
                     ? write_decoded(job, one, skip, b, r)
                     : qv__refuse_field(r, "ids", "ids[%zu] is %s; it must be a list.", i, qv__json_kind(one));
    }
    qv__buffer_puts(b, "]");
    return status;
}
