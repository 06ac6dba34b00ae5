#include "api/rerank_request.h"

#include <stdio.h>
#include <string.h>

#include "api/common.h"
#include "api/text_url.h"

void qv__rerank_request_clear(qv__rerank_request *request) {
    qv__body_clear(&request->body);
    qv__arena_clear(&request->arena);
    *request = (qv__rerank_request){0};
}

typedef struct {
    qv__rerank_request *out;
    const qv__rerank_limits *limits;
    qv__refusal *r;
    qv_input common;
} parser;

static qv_status no_memory(parser *p) {
    return qv__refuse(p->r, QV_NO_MEMORY, NULL, "No memory for the request.");
}

/* One query or document: a string, an object of content, or a list of parts. */
static qv_status parse_one(parser *p, const json_t *value, const char *name, qv_input *input) {
    *input = p->common;
    qv__content c = {.arena = &p->out->arena,
                     .r = p->r,
                     .name = name,
                     .max_images = p->limits->max_images,
                     .max_videos = p->limits->max_videos,
                     .max_parts = p->limits->max_parts,
                     .local_media = p->limits->local_media,
                     .urls = p->limits->urls};
    if (json_is_object(value)) return qv__content_object(&c, value, input);
    if (!json_is_string(value))
        return qv__refuse_field(p->r, name,
                                "%s must be a string or an object with text, image, video or content, not %s.", name,
                                qv__json_kind(value));
    if (qv__text_is_url(json_string_value(value), json_string_length(value))) return qv__refuse_url(p->r, name, "");
    qv_status status = qv__content_add_text(&c, value);
    qv__content_end(&c, input);
    return status;
}

/* A list of them; a single string or object is a list of one. */
static qv_status parse_many(parser *p, const json_t *value, const char *name, qv_input **inputs, size_t *count) {
    bool list = json_is_array(value);
    *count = list ? json_array_size(value) : 1;
    if ((int64_t)*count > p->limits->max_documents)
        return qv__refuse_field(p->r, name, "%s holds %zu entries; one request takes at most %lld.", name, *count,
                                (long long)p->limits->max_documents);
    *inputs = qv__arena_alloc(&p->out->arena, *count + 1, sizeof **inputs);
    if (!*inputs) return no_memory(p);
    for (size_t i = 0; i < *count; i++) {
        char one[64];
        snprintf(one, sizeof one, list ? "%s[%zu]" : "%s", name, i);
        qv_status status = parse_one(p, list ? json_array_get(value, i) : value, one, &(*inputs)[i]);
        if (status) return status;
    }
    return QV_OK;
}

/* `instruction` beside the query, or in chat_template_kwargs, where an explicit one wins. */
static qv_status parse_instruction(parser *p) {
    const json_t *o = p->out->body.root, *kwargs = qv__field(o, "chat_template_kwargs");
    qv_status status = qv__field_text(o, "instruction", &p->common.instruction, p->r);
    if (status || !kwargs) return status;
    if (!json_is_object(kwargs))
        return qv__refuse_field(p->r, "chat_template_kwargs", "chat_template_kwargs must be an object.");
    if (qv__field(kwargs, "chat_template") || qv__field(kwargs, "tools") || qv__field(kwargs, "tokenize"))
        return qv__refuse_field(p->r, "chat_template_kwargs",
                                "chat_template_kwargs must not hold chat_template, tools or tokenize.");
    status = qv__field_text(kwargs, "instruct", &p->common.instruction, p->r);
    return status ? status : qv__field_text(kwargs, "instruction", &p->common.instruction, p->r);
}

/* Cosines of the vectors' first values; a score has none to leave out. */
static qv_status parse_dimensions(parser *p) {
    const json_t *o = p->out->body.root;
    int64_t full = p->limits->embedding_size;
    if (full) return qv__field_dimensions(o, "dimensions", full, &p->common.dimensions, p->r);
    if (qv__field(o, "dimensions")) p->out->warning = "dimensions is ignored: a reranker makes no vectors";
    return QV_OK;
}

/* A pair without a wish of its own has the official cut. A raw text has none: it is refused in vLLM's form and cut at
 * the model's limit where the dialect says so, as for embeddings. A cut at the left end is one that cannot be made. */
static qv_status parse_cut(parser *p) {
    qv__rerank_request *q = p->out;
    int64_t keep, most = p->limits->max_model_len;
    bool left;
    qv_status status = qv__common_cut(q->body.root, most, &keep, &left, p->r);
    if (status) return status;
    bool cut = keep < 0 || q->dialect != QV__RERANK_VLLM;
    p->common.max_length = keep > 0 ? keep : cut && p->limits->embedding_size ? most : 0;
    q->refuse_cut |= left;
    return QV_OK;
}

static qv_status parse_common(parser *p) {
    qv__rerank_request *q = p->out;
    int64_t limit = p->limits->max_model_len - 1;
    bool activation = true;
    const json_t *o = q->body.root;
    qv_status status = qv__field_text(o, "model", &q->model, p->r);
    if (!status) status = qv__field_bool(o, "use_activation", &activation, p->r);
    if (!status) status = qv__field_bool(o, "raw_scores", &q->raw_scores, p->r);
    if (!status) status = qv__common_read(o, p->r);
    if (!status) status = parse_cut(p);
    if (!status) status = qv__field_int(o, "max_tokens_per_query", 0, limit, &q->max_tokens_per_query, p->r);
    if (!status) status = qv__field_int(o, "max_tokens_per_doc", 0, limit, &q->max_tokens_per_doc, p->r);
    if (!status) status = qv__content_limits(o, &p->common, p->r);
    if (!status) status = parse_instruction(p);
    if (!status) status = parse_dimensions(p);
    q->raw_scores |= !activation;
    return status;
}

/* The documents as they came, for the echo, and room for what becomes of them. */
static qv_status keep_sources(parser *p, const json_t *value) {
    qv__rerank_request *q = p->out;
    q->sources = qv__arena_alloc(&q->arena, q->document_count + 1, sizeof *q->sources);
    q->states = qv__arena_alloc(&q->arena, q->document_count + 1, sizeof *q->states);
    if (!q->sources || !q->states) return no_memory(p);
    memset(q->states, 0, (q->document_count + 1) * sizeof *q->states);
    for (size_t i = 0; i < q->document_count; i++)
        q->sources[i] = json_is_array(value) ? json_array_get(value, i) : value;
    return QV_OK;
}

static qv_status parse_query(parser *p) {
    const json_t *query = qv__field(p->out->body.root, "query");
    if (!query)
        return qv__refuse_field(
            p->r, "query", "The field query is missing: a string, or an object with text, image, video or content.");
    p->out->query_count = 1;
    p->out->queries = qv__arena_alloc(&p->out->arena, 1, sizeof *p->out->queries);
    return p->out->queries ? parse_one(p, query, "query", p->out->queries) : no_memory(p);
}

static qv_status parse_tei(parser *p) {
    static const char *const sides[] = {"Right", "right", "Left", "left", NULL};
    const json_t *o = p->out->body.root;
    bool truncate = true;
    int side = 0;
    qv_status status = qv__field_bool(o, "return_text", &p->out->return_documents, p->r);
    if (!status) status = qv__field_bool(o, "truncate", &truncate, p->r);
    if (!status) status = qv__field_choice(o, "truncation_direction", sides, &side, p->r);
    p->out->refuse_cut = !truncate || side >= 2;
    return status;
}

static qv_status parse_voyage(parser *p) {
    const json_t *o = p->out->body.root;
    bool truncation = true;
    qv_status status = qv__field_bool(o, "return_documents", &p->out->return_documents, p->r);
    if (!status) status = qv__field_int(o, "top_k", 1, INT64_MAX, &p->out->top_n, p->r);
    if (!status) status = qv__field_bool(o, "truncation", &truncation, p->r);
    p->out->refuse_cut = !truncation;
    return status;
}

static qv_status parse_vllm(parser *p) {
    static const char *const things[] = {"none", "prompts", NULL};
    const json_t *o = p->out->body.root;
    int thing = 0;
    p->out->return_documents = true; /* as vLLM, which always does */
    qv_status status = qv__field_bool(o, "return_documents", &p->out->return_documents, p->r);
    if (!status) status = qv__field_choice(o, "echo", things, &thing, p->r);
    p->out->tell_prompts = thing == 1;
    return status ? status : qv__field_int(o, "top_n", 0, INT64_MAX, &p->out->top_n, p->r);
}

static qv_status parse_dialect(parser *p) {
    const json_t *o = p->out->body.root;
    if (!qv__field(o, "documents") && qv__field(o, "texts")) return p->out->dialect = QV__RERANK_TEI, parse_tei(p);
    if (json_object_get(o, "top_k") || json_object_get(o, "truncation"))
        return p->out->dialect = QV__RERANK_VOYAGE, parse_voyage(p);
    return parse_vllm(p);
}

qv_status qv__rerank_request_read(const qv__rerank_limits *limits, qv__rerank_request *out, qv__refusal *r) {
    parser p = {.out = out, .limits = limits, .r = r, .common = limits->defaults};
    qv_status status = parse_dialect(&p);
    if (!status) status = parse_common(&p);
    if (status) return status;
    const char *name = out->dialect == QV__RERANK_TEI ? "texts" : "documents";
    const json_t *documents = qv__field(out->body.root, name);
    status = parse_query(&p);
    if (!status && !documents)
        status = qv__refuse_field(r, "documents", "The field documents is missing: a list of strings or objects.");
    if (!status) status = parse_many(&p, documents, name, &out->documents, &out->document_count);
    if (!status && out->document_count == 0) {
        status = qv__refuse_field(r, name, "%s is an empty list; there is nothing to rank.", name);
        r->cause = QV__CAUSE_EMPTY;
    }
    return status ? status : keep_sources(&p, documents);
}

/* Any of the pairs of names; the first field that is there decides. */
static const json_t *find_side(const json_t *o, const char *const *names, const char **name) {
    for (int i = 0; names[i]; i++) {
        const json_t *value = qv__field(o, names[i]);
        if (value) return *name = names[i], value;
    }
    return NULL;
}

qv_status qv__score_request_read(const qv__rerank_limits *limits, qv__rerank_request *out, qv__refusal *r) {
    static const char *const first[] = {"queries", "data_1", "text_1", NULL};
    static const char *const second[] = {"documents", "items", "data_2", "text_2", NULL};
    parser p = {.out = out, .limits = limits, .r = r, .common = limits->defaults};
    const char *left = "queries", *right = "documents";
    qv_status status = parse_common(&p);
    if (status) return status;
    const json_t *queries = find_side(out->body.root, first, &left),
                 *documents = find_side(out->body.root, second, &right);
    if (!queries || !documents)
        return qv__refuse_field(
            r, queries ? right : left,
            "Two fields are needed: queries and documents (or data_1 and data_2, text_1 and text_2).");
    status = parse_many(&p, queries, left, &out->queries, &out->query_count);
    if (!status) status = parse_many(&p, documents, right, &out->documents, &out->document_count);
    if (status) return status;
    if (!out->query_count) return qv__refuse(r, QV_INVALID_ARGUMENT, left, "At least one text element must be given");
    if (!out->document_count)
        return qv__refuse(r, QV_INVALID_ARGUMENT, right, "At least one text_pair element must be given");
    if (out->query_count != 1 && out->query_count != out->document_count)
        return qv__refuse(r, QV_INVALID_ARGUMENT, NULL, "Input lengths must be either 1:1, 1:N or N:N");
    return keep_sources(&p, documents);
}
