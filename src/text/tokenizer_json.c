/* tokenizer.json into a tokenizer. Every construct that would change ids is either implemented or refused by name;
 * the two large sections (vocabulary, merges) are read straight from the text, the rest through jansson. */
#include <jansson.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/internal.h"

typedef struct {
    qv__span added_tokens, normalizer, pre_tokenizer, post_processor, model, truncation, padding, decoder, version;
    qv__span vocab, merges;
} sections;

static const struct {
    const char *name;
    size_t offset;
} top_keys[] = {
#define KEY(name)                                                                                                      \
    { #name, offsetof(sections, name) }
    KEY(added_tokens), KEY(normalizer), KEY(pre_tokenizer), KEY(post_processor), KEY(model),
    KEY(truncation),   KEY(padding),    KEY(decoder),       KEY(version),
};

static qv_status take(qv__scan *s, qv__span *slot, qv__span value, const char *name) {
    if (slot->data) return qv__fail(s->err, QV_BAD_CHECKPOINT, "\"%s\" is there twice", name);
    *slot = value;
    return QV_OK;
}

static qv_status find_sections(qv__scan *s, sections *out) {
    bool first = true, more;
    qv_status status = qv__scan_expect(s, '{');
    while (!status && !(status = qv__scan_next(s, '}', &first, &more)) && more) {
        qv__span key, value;
        if ((status = qv__scan_key(s, &key))) break;
        qv__span *slot = NULL;
        const char *name = "";
        for (size_t i = 0; i < sizeof top_keys / sizeof *top_keys; i++)
            if (qv__span_is(key, top_keys[i].name))
                slot = (qv__span *)((char *)out + top_keys[i].offset), name = top_keys[i].name;
        if (!slot)
            return qv__fail(s->err, QV_UNSUPPORTED, "unknown field \"%.*s\"", (int)(key.size < 100 ? key.size : 100),
                            key.data);
        if (!(status = qv__scan_skip(s, &value))) status = take(s, slot, value, name);
    }
    if (!status && qv__scan_peek(s) != 0) status = qv__scan_fail(s, "the end");
    if (!status && s->at < s->end) status = qv__scan_fail(s, "the end");
    return status;
}

static qv_status parse_span(qv__span span, const char *name, json_t **out, qv_error *err) {
    json_error_t e;
    *out = NULL;
    if (!span.data) return QV_OK;
    if (!(*out = json_loadb(span.data, span.size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e)))
        return json_error_code(&e) == json_error_out_of_memory
                   ? qv__fail(err, QV_NO_MEMORY, "out of memory for \"%s\"", name)
                   : qv__fail(err, QV_BAD_CHECKPOINT, "\"%s\": %s", name, e.text);
    return QV_OK;
}

static const char *type_of(const json_t *o) {
    const char *type = json_string_value(json_object_get(o, "type"));
    return type ? type : "(no type)";
}

/* Absent, null, false, 0 and "" switch an option off. */
static bool is_off(const json_t *v) {
    if (!v || json_is_null(v) || json_is_false(v)) return true;
    if (json_is_number(v)) return json_number_value(v) == 0;
    return json_is_string(v) && json_string_length(v) == 0;
}

/* ---- model ---- */

static qv_status model_option(qv__tokenizer *t, qv__span key, qv__span value, qv_error *err) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(key.size < 60 ? key.size : 60), key.data);
    json_t *v;
    qv_status status = parse_span(value, name, &v, err);
    if (status) return status;
    if (strcmp(name, "type") == 0) {
        if (!json_is_string(v) || strcmp(json_string_value(v), "BPE"))
            status = qv__fail(err, QV_UNSUPPORTED, "model.type is not \"BPE\"");
    } else if (strcmp(name, "ignore_merges") == 0)
        t->ignore_merges = json_is_true(v);
    else if (strcmp(name, "fuse_unk") && !is_off(v)) /* fuse_unk says nothing without an unknown token */
        status = qv__fail(err, QV_UNSUPPORTED, "model.%s is set, which is not supported", name);
    json_decref(v);
    return status;
}

static qv_status read_model(qv__tokenizer *t, sections *sec, qv_error *err) {
    qv__scan s = {sec->model.data, sec->model.data, sec->model.data + sec->model.size, "model", err, {0}};
    bool first = true, more;
    qv_status status = qv__scan_expect(&s, '{');
    while (!status && !(status = qv__scan_next(&s, '}', &first, &more)) && more) {
        qv__span key, value;
        if ((status = qv__scan_key(&s, &key))) break;
        bool vocab = qv__span_is(key, "vocab"), merges = qv__span_is(key, "merges");
        if ((status = qv__scan_skip(&s, &value))) break;
        if (vocab)
            status = take(&s, &sec->vocab, value, "model.vocab");
        else if (merges)
            status = take(&s, &sec->merges, value, "model.merges");
        else
            status = model_option(t, key, value, err);
    }
    qv__buffer_clear(&s.unescaped);
    if (status) return status;
    if (!sec->vocab.data || !sec->merges.data)
        return qv__fail(err, QV_BAD_CHECKPOINT, "model.%s is missing", sec->vocab.data ? "merges" : "vocab");
    s = (qv__scan){sec->vocab.data, sec->vocab.data, sec->vocab.data + sec->vocab.size, "model.vocab", err, {0}};
    status = qv__vocab_read(&t->vocab, &s);
    if (!status) {
        s.start = s.at = sec->merges.data;
        s.end = s.at + sec->merges.size;
        s.what = "model.merges";
        status = qv__vocab_read_merges(&t->vocab, &s);
    }
    qv__buffer_clear(&s.unescaped);
    return status;
}

/* ---- the small sections ---- */

static bool flag(const json_t *o, const char *name, bool otherwise) {
    const json_t *v = json_object_get(o, name);
    return v ? json_is_true(v) : otherwise;
}

static qv_status read_added(qv__tokenizer *t, const json_t *list, qv_error *err) {
    if (list && !json_is_null(list) && !json_is_array(list))
        return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens is not a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i), *id = json_object_get(o, "id"),
                     *content = json_object_get(o, "content");
        if (!json_is_integer(id) || !json_is_string(content) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= QV__VOCAB_ID_MAX)
            return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens[%zu] lacks a content or an id from 0 to %d", i,
                            QV__VOCAB_ID_MAX - 1);
        bool special = flag(o, "special", false);
        qv__added_token token = {.id = (int32_t)json_integer_value(id),
                                 .special = special,
                                 .single_word = flag(o, "single_word", false),
                                 .lstrip = flag(o, "lstrip", false),
                                 .rstrip = flag(o, "rstrip", false),
                                 .normalized = flag(o, "normalized", !special)};
        qv_status status =
            qv__added_push(&t->added, json_string_value(content), json_string_length(content), &token, err);
        if (status) return status;
    }
    return QV_OK;
}

static qv_status read_normalizer(qv__tokenizer *t, const json_t *o, qv_error *err) {
    if (!o || json_is_null(o)) return QV_OK;
    if (strcmp(type_of(o), "NFC") == 0) return t->nfc = true, QV_OK;
    const json_t *list = json_object_get(o, "normalizers");
    if (strcmp(type_of(o), "Sequence") || !json_is_array(list))
        return qv__fail(err, QV_UNSUPPORTED, "normalizer \"%.60s\" is not supported (NFC is)", type_of(o));
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(type_of(json_array_get(list, i)), "NFC"))
            return qv__fail(err, QV_UNSUPPORTED, "normalizer \"%.60s\" is not supported (NFC is)",
                            type_of(json_array_get(list, i)));
        t->nfc = true;
    }
    return QV_OK;
}

static qv_status read_split(qv__tokenizer *t, const json_t *o, qv_error *err) {
    const json_t *pattern = json_object_get(o, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *literal = json_object_get(pattern, "String");
    const char *behavior = json_string_value(json_object_get(o, "behavior"));
    const json_t *text = regex ? regex : literal;
    bool invert = flag(o, "invert", false);
    if (!json_is_string(text) || !behavior)
        return qv__fail(err, QV_BAD_CHECKPOINT, "pre_tokenizer: a Split without a pattern or behavior");
    qv__split_keep keep = QV__KEEP_ALL;
    if (strcmp(behavior, "Removed") == 0)
        keep = invert ? QV__KEEP_MATCHES : QV__KEEP_GAPS;
    else if (strcmp(behavior, "Isolated"))
        return qv__fail(err, QV_UNSUPPORTED, "pre_tokenizer: the Split behavior \"%.60s\" is not supported", behavior);
    qv_status status = qv__tokenizer_add_split(t, json_string_value(text), json_string_length(text), !regex, keep, err);
    return status ? qv__fail_in(err, status, "pre_tokenizer") : QV_OK;
}

static qv_status read_byte_level(qv__tokenizer *t, const json_t *o, qv_error *err) {
    if (flag(o, "add_prefix_space", true))
        return qv__fail(err, QV_UNSUPPORTED, "pre_tokenizer: ByteLevel with add_prefix_space is not supported");
    if (!flag(o, "use_regex", true)) return QV_OK;
    return qv__tokenizer_add_split(t, QV__GPT2_PATTERN, strlen(QV__GPT2_PATTERN), false, QV__KEEP_ALL, err);
}

static qv_status read_pre_tokenizer(qv__tokenizer *t, const json_t *o, qv_error *err) {
    const json_t *list = json_object_get(o, "pretokenizers");
    bool sequence = strcmp(type_of(o), "Sequence") == 0, bytes = false;
    size_t count = sequence ? json_array_size(list) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *step = sequence ? json_array_get(list, i) : o;
        qv_status status;
        if (bytes) return qv__fail(err, QV_UNSUPPORTED, "pre_tokenizer: steps behind ByteLevel are not supported");
        if (strcmp(type_of(step), "Split") == 0)
            status = read_split(t, step, err);
        else if ((bytes = strcmp(type_of(step), "ByteLevel") == 0))
            status = read_byte_level(t, step, err);
        else
            status = qv__fail(err, QV_UNSUPPORTED, "pre_tokenizer \"%.60s\" is not supported (Split, ByteLevel are)",
                              type_of(step));
        if (status) return status;
    }
    return bytes ? QV_OK : qv__fail(err, QV_UNSUPPORTED, "pre_tokenizer: models without ByteLevel are not supported");
}

/* {"SpecialToken": {"id": NAME}} -> the ids that special_tokens lists for NAME. */
static qv_status template_token(qv__tokenizer *t, const json_t *o, const json_t *piece, qv_error *err) {
    const char *name = json_string_value(json_object_get(piece, "id"));
    const json_t *ids = json_object_get(json_object_get(json_object_get(o, "special_tokens"), name ? name : ""), "ids");
    if (!json_is_array(ids))
        return qv__fail(err, QV_BAD_CHECKPOINT, "post_processor: a template token is not in special_tokens");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= QV__VOCAB_ID_MAX)
            return qv__fail(err, QV_BAD_CHECKPOINT, "post_processor: a template token's id is not a token id");
        if (t->suffix_count == QV__SUFFIX_MAX)
            return qv__fail(err, QV_UNSUPPORTED, "post_processor: more than %d tokens", QV__SUFFIX_MAX);
        t->suffix[t->suffix_count++] = (int32_t)json_integer_value(id);
    }
    return QV_OK;
}

static qv_status read_template(qv__tokenizer *t, const json_t *o, qv_error *err) {
    const json_t *single = json_object_get(o, "single");
    bool seen = false;
    if (!json_is_array(single)) return qv__fail(err, QV_UNSUPPORTED, "post_processor.single is not a list");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i), *token = json_object_get(piece, "SpecialToken");
        if (token && !seen)
            return qv__fail(err, QV_UNSUPPORTED, "post_processor: tokens in front of the text are not supported");
        if (!token && (seen || !json_object_get(piece, "Sequence")))
            return qv__fail(err, QV_UNSUPPORTED, "post_processor.single must have one Sequence and then SpecialTokens");
        qv_status status = token ? template_token(t, o, token, err) : QV_OK;
        if (status) return status;
        seen = true;
    }
    return seen ? QV_OK : qv__fail(err, QV_UNSUPPORTED, "post_processor.single has no Sequence");
}

static qv_status read_post_processor(qv__tokenizer *t, const json_t *o, int depth, qv_error *err) {
    const char *type = type_of(o);
    if (!o || json_is_null(o) || strcmp(type, "ByteLevel") == 0) return QV_OK; /* ByteLevel moves offsets only */
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, o, err);
    if (strcmp(type, "Sequence") || depth > 4)
        return qv__fail(err, QV_UNSUPPORTED, "post_processor \"%.60s\" is not supported", type);
    const json_t *list = json_object_get(o, "processors");
    for (size_t i = 0; i < json_array_size(list); i++) {
        qv_status status = read_post_processor(t, json_array_get(list, i), depth + 1, err);
        if (status) return status;
    }
    return QV_OK;
}

static qv_status read_small(qv__tokenizer *t, const sections *sec, qv_error *err) {
    json_t *added = NULL, *normalizer = NULL, *pre = NULL, *post = NULL;
    qv_status status = parse_span(sec->added_tokens, "added_tokens", &added, err);
    if (!status) status = parse_span(sec->normalizer, "normalizer", &normalizer, err);
    if (!status) status = parse_span(sec->pre_tokenizer, "pre_tokenizer", &pre, err);
    if (!status) status = parse_span(sec->post_processor, "post_processor", &post, err);
    if (!status) status = read_added(t, added, err);
    if (!status) status = read_normalizer(t, normalizer, err);
    if (!status) status = read_pre_tokenizer(t, pre, err);
    if (!status) status = read_post_processor(t, post, 0, err);
    json_decref(added);
    json_decref(normalizer);
    json_decref(pre);
    json_decref(post);
    return status;
}

qv_status qv__tokenizer_read_json(qv__tokenizer *t, const char *json, size_t size, qv_error *err) {
    sections sec = {0};
    qv__scan s = {json, json, json + size, "tokenizer.json", err, {0}};
    qv_status status = find_sections(&s, &sec);
    qv__buffer_clear(&s.unescaped);
    if (status) return status;
    if (!sec.model.data) return qv__fail(err, QV_BAD_CHECKPOINT, "\"model\" is missing");
    status = read_small(t, &sec, err);
    return status ? status : read_model(t, &sec, err);
}
