#include "api/embed_request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/messages.h"

void qv__embed_request_clear(qv__embed_request *request) {
    qv__body_clear(&request->body);
    qv__arena_clear(&request->arena);
    *request = (qv__embed_request){0};
}

/* ---- texts that are URLs ---- */

static bool starts(const char *text, size_t size, const char *head) {
    size_t n = strlen(head);
    return size > n && strncasecmp(text, head, n) == 0;
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* data:image/png;base64,… : a type, then anything, then a comma within the first 200 characters */
static bool is_data_url(const char *text, size_t size) {
    if (!starts(text, size, "data:")) return false;
    size_t head = size < 200 ? size : 200;
    const char *comma = memchr(text, ',', head);
    for (const char *p = text + 5; comma && p < comma; p++)
        if (blank(*p)) return false;
    return comma && (memchr(text, '/', (size_t)(comma - text)) || memchr(text, ';', (size_t)(comma - text)));
}

bool qv__text_is_url(const char *text, size_t size) {
    while (size && blank(text[0])) text++, size--;
    while (size && blank(text[size - 1])) size--;
    if (is_data_url(text, size)) return true;
    if (!starts(text, size, "http://") && !starts(text, size, "https://") && !starts(text, size, "file://"))
        return false;
    for (size_t i = 0; i < size; i++)
        if (blank(text[i])) return false;
    return true;
}

/* ---- input ---- */

typedef struct {
    qv__embed_request *out;
    const qv__embed_limits *limits;
    qv__refusal *r;
    qv__chat_options chat;
    int modality;     /* Infinity's: what a string stands for */
    bool told_prompt; /* the request says which recipe it wants */
} parser;

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
                         .local_media = p->limits->local_media};
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
    if (qv__text_is_url(text, size))
        return qv__refuse_field(
            p->r, name_of(p, i, name),
            "%s is a URL: the characters of the URL would be embedded, not the picture or page behind it. Send "
            "pictures as typed inputs ({\"image\": data URL}, or image_url in messages), or put the URL into a "
            "sentence to embed it as text.",
            name_of(p, i, name));
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
        if (id < 0 || id > INT32_MAX)
            return qv__refuse_field(p->r, name_of(p, i, name), "%s: token id %lld (value %zu) is out of range.",
                                    name_of(p, i, name), (long long)id, k);
        ids[k] = (int32_t)id;
    }
    return add_part(p, i, QV_PART_TOKENS, ids, count);
}

static bool is_conversation(const json_t *value) {
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : NULL;
    return json_is_object(first) && json_object_get(first, "role");
}

static qv_status add_any(parser *p, size_t i, const json_t *value) {
    if (json_is_string(value)) return add_text(p, i, value);
    if (json_is_object(value)) return add_object(p, i, value);
    if (is_conversation(value)) return add_conversation(p, i, value);
    if (json_is_array(value)) return add_ids(p, i, value);
    char name[32];
    return qv__refuse_field(p->r, name_of(p, i, name),
                            "%s is %s; it must be a string, an object or a list of token ids.", name_of(p, i, name),
                            qv__json_kind(value));
}

static qv_status parse_list(parser *p, const json_t *list) {
    const json_t *first = json_array_get(list, 0);
    char name[32];
    for (size_t i = 0; i < p->out->count; i++) {
        const json_t *value = json_array_get(list, i);
        if (json_typeof(value) != json_typeof(first))
            return qv__refuse_field(p->r, name_of(p, i, name),
                                    "input[%zu] is %s but input[0] is %s; one list holds only one kind of value.", i,
                                    qv__json_kind(value), qv__json_kind(first));
        qv_status status = add_any(p, i, value);
        if (status) return status;
    }
    return QV_OK;
}

/* `input`, or `messages` in its place. A single input is whatever is not a list of inputs. */
static qv_status parse_input(parser *p, const qv_input *common) {
    const json_t *input = qv__field(p->out->body.root, "input"), *messages = qv__field(p->out->body.root, "messages");
    p->out->name = messages && !input ? "messages" : "input";
    if (messages && !input) input = messages;
    if (!input)
        return qv__refuse_field(p->r, "input",
                                "The field input is missing: a string, a list of strings, or token ids.");
    const json_t *first = json_is_array(input) ? json_array_get(input, 0) : NULL;
    bool chat = is_conversation(input);
    p->out->single = json_is_string(input) || json_is_object(input) || json_is_integer(first) || chat;
    p->out->count = p->out->single ? 1 : json_array_size(input);
    if (!p->out->single && !json_is_array(input))
        return qv__refuse_field(
            p->r, "input",
            "input is %s; it must be a string, a list of strings, a list of token ids, or a list of such lists.",
            qv__json_kind(input));
    if (input == messages && !chat && !is_conversation(first))
        return qv__refuse_field(p->r, "messages", "messages must be a list of messages, each with role and content.");
    if (p->out->count == 0)
        return qv__refuse(p->r, QV_INVALID_ARGUMENT, "input",
                          "You must pass at least one prompt: input is an empty list.");
    if ((int64_t)p->out->count > p->limits->max_inputs)
        return qv__refuse_field(p->r, "input", "input holds %zu inputs; one request takes at most %lld.", p->out->count,
                                (long long)p->limits->max_inputs);
    p->out->inputs = qv__arena_alloc(&p->out->arena, p->out->count, sizeof *p->out->inputs);
    if (!p->out->inputs) return no_memory(p);
    for (size_t i = 0; i < p->out->count; i++) p->out->inputs[i] = *common;
    if (chat) return add_conversation(p, 0, input);
    if (json_is_integer(first)) return add_ids(p, 0, input);
    return p->out->single ? add_any(p, 0, input) : parse_list(p, input);
}

/* ---- the other fields ---- */

static qv_status parse_output(parser *p, qv_input *common) {
    static const char *const encodings[] = {"float", "base64", "bytes", "bytes_only", NULL};
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", NULL};
    static const char *const orders[] = {"native", "little", "big", NULL};
    const json_t *o = p->out->body.root;
    int encoding = 0, dtype = 0, order = 0;
    int64_t full = p->limits->embedding_size, dimensions = 0;
    bool activation = true;
    qv_status status = qv__field_choice(o, "encoding_format", encodings, &encoding, p->r);
    if (!status) status = qv__field_choice(o, "embed_dtype", dtypes, &dtype, p->r);
    if (!status) status = qv__field_choice(o, "endianness", orders, &order, p->r);
    /* Matryoshka training of these models went down to 64 dimensions. */
    if (!status) status = qv__field_int(o, "dimensions", full < 64 ? full : 64, full, &dimensions, p->r);
    if (!status) status = qv__field_bool(o, "use_activation", &activation, p->r);
    if (!status && json_object_get(o, "normalize"))
        status = qv__refuse(p->r, QV_INVALID_ARGUMENT, "normalize",
                            "Parameter `normalize` was removed; use `use_activation` instead.");
    p->out->encoding = (qv__encoding)encoding;
    p->out->dtype = (qv__wire)dtype;
    p->out->big_endian = order == 2 || (order == 0 && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    common->dimensions = (int)dimensions;
    common->no_normalize = !activation;
    return status;
}

static qv_status parse_truncation(parser *p, qv_input *common) {
    static const char *const sides[] = {"right", "left", NULL};
    const json_t *o = p->out->body.root;
    int side = 0;
    int64_t keep = 0;
    qv_status status = qv__field_int(o, "truncate_prompt_tokens", -1, INT64_MAX, &keep, p->r);
    if (!status) status = qv__field_choice(o, "truncation_side", sides, &side, p->r);
    if (status) return status;
    if (qv__field(o, "truncate_prompt_tokens") && keep == 0)
        return qv__refuse_field(p->r, "truncate_prompt_tokens", "truncate_prompt_tokens must be -1 or at least 1.");
    if (keep > p->limits->max_model_len)
        return qv__refuse(
            p->r, QV_INVALID_ARGUMENT, "truncate_prompt_tokens",
            "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation size.");
    common->max_length = keep < 0 ? p->limits->max_model_len : keep;
    p->out->keep_end = side == 1 && common->max_length > 0;
    if (p->out->keep_end && common->prompt == QV_PROMPT_OFFICIAL)
        return qv__refuse_field(
            p->r, "truncation_side",
            "truncation_side left goes with the raw prompt only: the official one is cut at its end.");
    return QV_OK;
}

static qv_status parse_prompt(parser *p, qv_input *common) {
    static const char *const prompts[] = {"official", "raw", NULL};
    const json_t *o = p->out->body.root;
    int prompt = -1;
    bool special = true;
    qv_status status = qv__field_choice(o, "prompt", prompts, &prompt, p->r);
    if (!status) status = qv__field_text(o, "instruction", &common->instruction, p->r);
    if (!status) status = qv__field_bool(o, "add_special_tokens", &special, p->r);
    if (status) return status;
    if (prompt == 1 && common->instruction)
        return qv__refuse_field(p->r, "instruction",
                                "instruction goes with the official prompt; prompt \"raw\" has no place for it.");
    common->prompt = prompt == 0 || common->instruction ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    if (!special && common->prompt == QV_PROMPT_OFFICIAL)
        return qv__refuse_field(p->r, "add_special_tokens", "add_special_tokens false goes with the raw prompt only.");
    common->no_special_tokens = !special;
    p->told_prompt = prompt >= 0;
    p->chat.exact = prompt == 1;
    p->chat.official = prompt == 0;
    return QV_OK;
}

qv_status qv__embed_request_parse(const char *body, size_t size, const qv__embed_limits *limits, qv__embed_request *out,
                                  qv__refusal *r) {
    static const char *const modalities[] = {"text", "image", "video", NULL};
    parser p = {.out = out, .limits = limits, .r = r};
    qv_input common = {0};
    const char *user = NULL;
    qv_status status = qv__body_parse(body, size, &out->body, r);
    if (!status) status = qv__field_text(out->body.root, "model", &out->model, r);
    if (!status) status = qv__field_text(out->body.root, "user", &user, r);
    if (!status) status = parse_output(&p, &common);
    if (!status) status = parse_prompt(&p, &common);
    if (!status) status = parse_truncation(&p, &common);
    if (!status) status = qv__field_choice(out->body.root, "modality", modalities, &p.modality, r);
    if (!status) status = qv__chat_options_read(out->body.root, &p.chat, r);
    if (!status) status = qv__content_limits(out->body.root, &common, r);
    if (!status) status = parse_input(&p, &common);
    return status;
}
