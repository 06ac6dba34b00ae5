#include "api/embed_request.h"

#include <stdio.h>
#include <string.h>

#include "api/common.h"
#include "api/text_url.h"

void qv__embed_request_clear(qv__embed_request *request) {
    qv__body_clear(&request->body);
    qv__arena_clear(&request->arena);
    *request = (qv__embed_request){0};
}

/* ---- input ---- */

typedef qv__embed_reader parser;

static qv_status no_memory(parser *p) {
    return qv__refuse(p->r, QV_NO_MEMORY, NULL, "No memory for the request.");
}

/* "input" or "input[7]" */
static const char *name_of(const parser *p, size_t i, char out[32]) {
    if (p->out->single) return p->out->name;
    snprintf(out, 32, "%s[%zu]", p->out->name, i);
    return out;
}

static qv_status add_part(parser *p, size_t i, qv_part_kind kind, const void *data, size_t size) {
    qv_part *part = qv__arena_alloc(&p->out->arena, 1, sizeof *part);
    if (!part) return no_memory(p);
    *part = (qv_part){.kind = kind, .data = data, .size = size};
    p->out->inputs[i].parts = part;
    p->out->inputs[i].part_count = 1;
    return QV_OK;
}

static qv__content content_of(parser *p, const char *name) {
    return (qv__content){.arena = &p->out->arena,
                         .r = p->r,
                         .name = name,
                         .max_images = p->limits->max_images,
                         .max_videos = p->limits->max_videos,
                         .max_parts = p->limits->max_parts,
                         .local_media = p->limits->local_media,
                         .urls = p->limits->urls};
}

/* {"text","image","video","instruction"}: the recipe is official unless the request says raw. */
static qv_status add_object(parser *p, size_t i, const json_t *value) {
    char name[32];
    qv__content c = content_of(p, name_of(p, i, name));
    qv_input *input = &p->out->inputs[i];
    if (!p->told_prompt) input->prompt = QV_PROMPT_OFFICIAL;
    qv_status status = qv__content_object(&c, value, input);
    if (!status && input->prompt == QV_PROMPT_RAW && input->instruction)
        return qv__refuse_field(p->r, "instruction",
                                "instruction goes with the official prompt; prompt \"raw\" has no place for it.");
    return status;
}

static qv_status add_conversation(parser *p, size_t i, const json_t *messages) {
    char name[32];
    qv__content c = content_of(p, name_of(p, i, name));
    return qv__messages_input(&c, messages, &p->chat, &p->out->inputs[i]);
}

static qv_status add_text(parser *p, size_t i, const json_t *value) {
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    char name[32];
    if (p->modality) {
        qv__content c = content_of(p, name_of(p, i, name));
        if (!p->told_prompt) p->out->inputs[i].prompt = QV_PROMPT_OFFICIAL;
        qv_status status = qv__content_add_media(&c, value, p->modality == 2);
        qv__content_end(&c, &p->out->inputs[i]);
        return status;
    }
    if (qv__text_is_url(text, size)) return qv__refuse_url(p->r, name_of(p, i, name), "");
    return add_part(p, i, QV_PART_TEXT, text, size);
}

static qv_status add_ids(parser *p, size_t i, const json_t *list) {
    size_t count = json_array_size(list);
    char name[32];
    if (count == 0) return qv__refuse_field(p->r, name_of(p, i, name), "%s is an empty list.", name_of(p, i, name));
    int32_t *ids = qv__arena_alloc(&p->out->arena, count, sizeof *ids);
    if (!ids) return no_memory(p);
    for (size_t k = 0; k < count; k++) {
        const json_t *value = json_array_get(list, k);
        if (!json_is_integer(value))
            return qv__refuse_field(
                p->r, name_of(p, i, name),
                "%s: value %zu is %s; token ids are integers, and one list holds only one kind of value.",
                name_of(p, i, name), k, qv__json_kind(value));
        json_int_t id = json_integer_value(value);
        if (id < 0 || id > INT32_MAX) {
            qv__refuse_field(p->r, name_of(p, i, name), "%s: token id %lld (value %zu) is out of range.",
                             name_of(p, i, name), (long long)id, k);
            return p->r->cause = QV__CAUSE_TOKENS, QV_INVALID_ARGUMENT;
        }
        ids[k] = (int32_t)id;
    }
    return add_part(p, i, QV_PART_TOKENS, ids, count);
}

static bool is_conversation(const json_t *value) {
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : NULL;
    return json_is_object(first) && json_object_get(first, "role");
}

static int kind_of(const json_t *value) {
    if (json_is_string(value)) return QV__TAKE_TEXT;
    if (json_is_object(value)) return QV__TAKE_OBJECT;
    if (is_conversation(value)) return QV__TAKE_CHAT;
    return json_is_array(value) ? QV__TAKE_IDS : 0;
}

static const char *kinds_text(int kinds) {
    if (kinds & QV__TAKE_OBJECT && kinds & QV__TAKE_TEXT) return "a string, an object or a list of token ids";
    if (kinds & QV__TAKE_OBJECT) return "an object with content";
    return kinds & QV__TAKE_IDS ? "a string or a list of token ids" : "a string";
}

qv_status qv__read_at(qv__embed_reader *p, size_t i, const json_t *value, int kinds) {
    switch (kind_of(value) & kinds) {
    case QV__TAKE_TEXT: return add_text(p, i, value);
    case QV__TAKE_OBJECT: return add_object(p, i, value);
    case QV__TAKE_CHAT: return add_conversation(p, i, value);
    case QV__TAKE_IDS: return add_ids(p, i, value);
    }
    char name[32];
    return qv__refuse_field(p->r, name_of(p, i, name), "%s is %s; it must be %s.", name_of(p, i, name),
                            qv__json_kind(value), kinds_text(kinds));
}

static qv_status add_list(parser *p, const json_t *list, int kinds) {
    const json_t *first = json_array_get(list, 0);
    char name[32];
    for (size_t i = 0; i < p->out->count; i++) {
        const json_t *value = json_array_get(list, i);
        if (json_typeof(value) != json_typeof(first) && !(kinds & QV__TAKE_MIXED))
            return qv__refuse_field(p->r, name_of(p, i, name),
                                    "%s is %s but %s[0] is %s; one list holds only one kind of value.",
                                    name_of(p, i, name), qv__json_kind(value), p->out->name, qv__json_kind(first));
        qv_status status = qv__read_at(p, i, value, kinds);
        if (status) return status;
    }
    return QV_OK;
}

qv_status qv__read_begin(qv__embed_reader *p, const char *name, size_t count) {
    p->out->name = name;
    if (count == 0) {
        qv__refuse(p->r, QV_INVALID_ARGUMENT, name, "You must pass at least one prompt: %s is an empty list.", name);
        return p->r->cause = QV__CAUSE_EMPTY, QV_INVALID_ARGUMENT;
    }
    if ((int64_t)count > p->limits->max_inputs)
        return qv__refuse_field(p->r, name, "%s holds %zu inputs; one request takes at most %lld.", name, count,
                                (long long)p->limits->max_inputs);
    p->out->inputs = qv__arena_alloc(&p->out->arena, count, sizeof *p->out->inputs);
    if (!p->out->inputs) return no_memory(p);
    for (size_t i = 0; i < count; i++) p->out->inputs[i] = p->common;
    p->out->count = count;
    return QV_OK;
}

/* A single input is whatever is not a list of inputs. */
qv_status qv__read_inputs(qv__embed_reader *p, const char *name, const json_t *value, int kinds) {
    bool lists = kinds & QV__TAKE_LIST;
    if (!value)
        return qv__refuse_field(p->r, name, "The field %s is missing: %s%s.", name, lists ? "a list of " : "",
                                lists ? (kinds & QV__TAKE_TEXT ? "strings" : "objects with content")
                                      : "a string, a list of strings, or token ids");
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : NULL;
    bool chat = kinds & QV__TAKE_CHAT && is_conversation(value), ids = kinds & QV__TAKE_IDS && json_is_integer(first);
    p->out->single = !lists && (json_is_string(value) || json_is_object(value) || ids || chat);
    if (!p->out->single && !json_is_array(value))
        return qv__refuse_field(
            p->r, name,
            lists ? "%s is %s; it must be a list."
                  : "%s is %s; it must be a string, a list of strings, a list of token ids, or a list of such lists.",
            name, qv__json_kind(value));
    qv_status status = qv__read_begin(p, name, p->out->single ? 1 : json_array_size(value));
    if (status) return status;
    if (ids && p->out->single) return add_ids(p, 0, value);
    return p->out->single ? qv__read_at(p, 0, value, kinds) : add_list(p, value, kinds);
}

/* ---- the other fields ---- */

qv_status qv__read_dimensions(qv__embed_reader *p, const json_t *object, const char *name) {
    return qv__field_dimensions(object, name, p->limits->embedding_size, &p->common.dimensions, p->r);
}

/* The query's instruction is the one that the models' makers use for retrieval; a document has their default. */
static const qv__purpose purposes[] = {
    {"query", "Retrieve images or text relevant to the user's query."},
    {"search_query", "Retrieve images or text relevant to the user's query."},
    {"retrieval.query", "Retrieve images or text relevant to the user's query."},
    {"document", NULL},
    {"passage", NULL},
    {"search_document", NULL},
    {"retrieval.passage", NULL},
    {"image", NULL},
    {"classification", "Represent the user's input for classification."},
    {"clustering", "Represent the user's input for clustering."},
    {"separation", "Represent the user's input for clustering."},
    {"text-matching", "Retrieve semantically similar text."},
    {"code.query", "Retrieve code relevant to the user's query."},
    {"code.passage", NULL},
    {NULL, NULL},
};

enum { PURPOSES = sizeof purposes / sizeof *purposes };

const qv__purpose *qv__purpose_at(size_t i) {
    return &purposes[i < PURPOSES ? i : PURPOSES - 1];
}

qv_status qv__read_purpose(qv__embed_reader *p, const json_t *object, const char *name) {
    const char *choices[PURPOSES], *instruction = NULL;
    int chosen = -1;
    for (size_t i = 0; i < PURPOSES; i++) choices[i] = purposes[i].name;
    p->common.prompt = QV_PROMPT_RAW;
    qv_status status = qv__field_choice(object, name, choices, &chosen, p->r);
    if (!status) status = qv__field_text(object, "instruction", &instruction, p->r);
    if (status) return status;
    p->common.instruction = instruction ? instruction : chosen >= 0 ? purposes[chosen].instruction : NULL;
    if (instruction || chosen >= 0) p->common.prompt = QV_PROMPT_OFFICIAL;
    return QV_OK;
}

void qv__read_cut(qv__embed_reader *p, qv__cut cut, int64_t max_tokens) {
    int64_t most = p->limits->max_model_len;
    p->common.max_length = max_tokens && max_tokens < most ? max_tokens : most;
    p->out->keep_end = cut == QV__CUT_START;
    p->out->refuse_cut = cut == QV__CUT_NOT;
}

static const qv__output *find_output(const qv__output *choices, const char *name) {
    for (; choices->name; choices++)
        if (strcmp(choices->name, name) == 0) return choices;
    return NULL;
}

static qv_status add_output(parser *p, const char *field, const json_t *value, const qv__output *choices) {
    const qv__output *found = json_is_string(value) ? find_output(choices, json_string_value(value)) : NULL;
    if (!found) {
        char known[160] = "";
        for (size_t i = 0; choices[i].name; i++) {
            size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s\"%s\"", i ? ", " : "", choices[i].name);
        }
        return qv__refuse_field(p->r, field, "%s holds %s%.40s; it must be one of %s.", field,
                                json_is_string(value) ? "" : qv__json_kind(value),
                                json_is_string(value) ? json_string_value(value) : "", known);
    }
    for (int i = 0; i < p->out->output_count; i++)
        if (p->out->outputs[i].name == found->name) return QV_OK; /* twice is once */
    if (p->out->output_count < QV__OUTPUTS_MAX) p->out->outputs[p->out->output_count++] = *found;
    return QV_OK;
}

qv_status qv__read_outputs(qv__embed_reader *p, const char *name, const qv__output *choices, bool list) {
    const json_t *value = qv__field(p->out->body.root, name);
    if (!value) return p->out->outputs[p->out->output_count++] = choices[0], QV_OK;
    if (!list || !json_is_array(value)) return add_output(p, name, value, choices);
    if (!json_array_size(value)) return qv__refuse_field(p->r, name, "%s is an empty list.", name);
    qv_status status = QV_OK;
    for (size_t i = 0; i < json_array_size(value) && !status; i++)
        status = add_output(p, name, json_array_get(value, i), choices);
    return status;
}

qv_status qv__check_outputs(qv__embed_reader *p, const char *name) {
    int64_t size = p->common.dimensions ? p->common.dimensions : p->limits->embedding_size;
    for (int i = 0; i < p->out->output_count; i++) {
        const qv__output *o = &p->out->outputs[i];
        bool bits = o->numbers == QV__BINARY || o->numbers == QV__UBINARY;
        if (bits && size % 8)
            return qv__refuse_field(p->r, name, "%s %s packs eight values into a byte, but the vectors have %lld.",
                                    name, o->name, (long long)size);
        if (o->numbers != QV__FLOAT && !bits && p->common.no_normalize)
            return qv__refuse_field(p->r, name, "%s %s is made of vectors of unit length.", name, o->name);
    }
    return QV_OK;
}

qv_status qv__embed_request_read(qv__embed_read read, const qv__embed_limits *limits, qv__embed_request *out,
                                 qv__refusal *r) {
    qv__embed_reader p = {.out = out, .limits = limits, .r = r, .common = limits->defaults};
    qv_status status = qv__field_text(out->body.root, "model", &out->model, r);
    if (!status) status = qv__common_read(out->body.root, r);
    if (!status) status = qv__content_limits(out->body.root, &p.common, r);
    return status ? status : read(&p);
}

qv_status qv__embed_request_parse(qv__embed_read read, const char *body, size_t size, const qv__embed_limits *limits,
                                  qv__embed_request *out, qv__refusal *r) {
    qv_status status = qv__body_parse(body, size, NULL, &out->body, r);
    return status ? status : qv__embed_request_read(read, limits, out, r);
}
