/* POST /v2/embed and /v1/embed: Cohere's. They differ in the answer: /v1 without embedding_types gives a bare list of
 * vectors, everything else gives them by type. */
#include <string.h>

#include "api/embed.h"
#include "api/forms.h"

/* Exactly one of three fields; the pictures' strings stand for pictures. */
static qv_status read_inputs(qv__embed_reader *p) {
    static const struct {
        const char *name;
        int kinds;
    } fields[] = {{"texts", QV__TAKE_TEXT}, {"images", QV__TAKE_TEXT}, {"inputs", QV__TAKE_OBJECT}};
    const json_t *o = p->out->body.root, *value = NULL;
    size_t found = 0, count = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *here = qv__field(o, fields[i].name);
        if (!here || (json_is_array(here) && !json_array_size(here))) continue;
        value = here;
        found = i;
        count++;
    }
    if (count != 1)
        return qv__refuse(p->r, QV_INVALID_ARGUMENT, NULL,
                          "Exactly one of texts, images, or inputs must be provided, and it must be non-empty");
    p->modality = found == 1;
    if (found == 0) p->out->echo = value;
    return qv__read_inputs(p, fields[found].name, value, fields[found].kinds | QV__TAKE_LIST);
}

qv_status qv__read_cohere(qv__embed_reader *p) {
    static const qv__output types[] = {{QV__FLOAT, false, "float"},
                                       {QV__INT8, false, "int8"},
                                       {QV__UINT8, false, "uint8"},
                                       {QV__BINARY, false, "binary"},
                                       {QV__UBINARY, false, "ubinary"},
                                       {QV__FLOAT, true, "base64"},
                                       {0}};
    static const char *const cuts[] = {"END", "START", "NONE", NULL};
    const json_t *o = p->out->body.root;
    int cut = 0;
    int64_t max_tokens = 0;
    p->out->errors = QV__ERRORS_COHERE;
    qv_status status = qv__read_purpose(p, o, "input_type");
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__read_dimensions(p, o, "output_dimension"); /* wins */
    if (!status) status = qv__field_choice(o, "truncate", cuts, &cut, p->r);
    if (!status) status = qv__field_int(o, "max_tokens", 1, INT64_MAX, &max_tokens, p->r);
    if (!status) status = qv__read_outputs(p, "embedding_types", types, true);
    if (status) return status;
    qv__read_cut(p, (qv__cut)cut, max_tokens);
    status = qv__check_outputs(p, "embedding_types");
    return status ? status : read_inputs(p);
}

static qv_status write_vectors(qv__job *job, const qv__output *output, float *values, qv__buffer *b, qv__refusal *r) {
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__buffer_puts(b, i ? "," : "[");
        qv__embed_write_vector(job->parsed, output, values, (size_t)job->facts[i].dimensions, b);
    }
    qv__buffer_puts(b, "]");
    return QV_OK;
}

static qv_status write_by_type(qv__job *job, float *values, qv__buffer *b, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    for (int i = 0; i < q->output_count; i++) {
        qv__buffer_printf(b, "%s\"%s\":", i ? "," : "{", q->outputs[i].name);
        qv_status status = write_vectors(job, &q->outputs[i], values, b, r);
        if (status) return status;
    }
    qv__buffer_puts(b, "}");
    return QV_OK;
}

/* As vLLM bills: with any picture all tokens are a picture's. */
static bool any_picture(const qv__embed_request *q) {
    for (size_t i = 0; i < q->count; i++)
        for (size_t k = 0; k < q->inputs[i].part_count; k++)
            if (q->inputs[i].parts[k].kind != QV_PART_TEXT) return true;
    return false;
}

static void write_texts(const json_t *texts, qv__buffer *b) {
    qv__buffer_puts(b, "[");
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        if (i) qv__buffer_puts(b, ",");
        qv__write_string(b, json_string_value(text), json_string_length(text));
    }
    qv__buffer_puts(b, "]");
}

static qv_status write_cohere(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    qv__buffer *b = &response->body;
    bool v1 = strcmp(job->route->path, "/v1/embed") == 0, bare = v1 && !qv__field(q->body.root, "embedding_types");
    qv__buffer_puts(b, "{\"id\":");
    qv__job_write_id(job, "embd", b);
    qv__buffer_puts(b, ",\"embeddings\":");
    qv_status status = bare ? write_vectors(job, &q->outputs[0], values, b, r) : write_by_type(job, values, b, r);
    if (status) return status;
    if (q->echo || v1) {
        qv__buffer_puts(b, ",\"texts\":");
        write_texts(q->echo, b);
    }
    qv__buffer_printf(b, ",\"meta\":{\"api_version\":{\"version\":\"%d\"},\"billed_units\":{\"%s_tokens\":%lld}}",
                      v1 ? 1 : 2, any_picture(q) ? "image" : "input", (long long)qv__job_tokens(job));
    qv__buffer_printf(b, ",\"response_type\":\"embeddings_%s\"", bare ? "floats" : "by_type");
    qv__embed_write_facts(job, b);
    qv__buffer_puts(b, "}");
    return QV_OK;
}

qv_status qv__start_cohere(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_cohere, write_cohere};
    return qv__embed_start(job, &form, r);
}
