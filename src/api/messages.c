#include "api/messages.h"

#include <stdio.h>
#include <string.h>

#include "api/placeholders.h"

qv_status qv__chat_options_read(const json_t *object, qv__chat_options *out, qv__refusal *r) {
    qv_status status = qv__field_bool(object, "add_generation_prompt", &out->add_generation_prompt, r);
    if (!status) status = qv__field_bool(object, "continue_final_message", &out->continue_final_message, r);
    if (!status) status = qv__field_bool(object, "add_special_tokens", &out->add_special_tokens, r);
    if (status) return status;
    if (out->add_generation_prompt && out->continue_final_message)
        return qv__refuse(r, QV_INVALID_ARGUMENT, NULL,
                          "Cannot set both `continue_final_message` and `add_generation_prompt` to True.");
    const json_t *kwargs = qv__field(object, "chat_template_kwargs");
    if (kwargs && !json_is_object(kwargs))
        return qv__refuse_field(r, "chat_template_kwargs", "chat_template_kwargs must be an object, not %s.",
                                qv__json_kind(kwargs));
    if (qv__field(object, "chat_template") || (kwargs && qv__field(kwargs, "chat_template")))
        return qv__refuse(r, QV_INVALID_ARGUMENT, "chat_template",
                          "Chat template is passed with request, but this server uses the model's own. Refused request "
                          "with untrusted "
                          "chat template.");
    return QV_OK;
}

static const char *role_of(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role ? role : "";
}

static qv_status check_messages(qv__content *c, const json_t *messages) {
    if (!json_is_array(messages) || !json_array_size(messages))
        return qv__refuse_field(c->r, c->name, "%s must be a list of messages, each with role and content.", c->name);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (!json_is_object(message))
            return qv__refuse_field(c->r, c->name, "%s[%zu] is %s; it must be an object with role and content.",
                                    c->name, i, qv__json_kind(message));
        const json_t *role = json_object_get(message, "role");
        size_t size = json_string_length(role);
        const char *text = json_string_value(role);
        bool fine = size > 0 && size <= 32;
        for (size_t k = 0; k < size && fine; k++) fine = (text[k] >= 'a' && text[k] <= 'z') || text[k] == '_';
        if (!fine)
            return qv__refuse_field(c->r, c->name, "%s[%zu].role must be \"system\", \"user\" or \"assistant\".",
                                    c->name, i);
    }
    return QV_OK;
}

static bool is_empty(const json_t *content) {
    if (!content) return true;
    if (json_is_string(content)) return json_string_length(content) == 0;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        if (!json_is_string(text) || json_string_length(text)) return false;
    }
    return json_is_array(content);
}

/* [system] user [assistant ""]: the index of the user's turn, -1 for any other shape. */
static int official_user(const json_t *messages) {
    size_t count = json_array_size(messages), i = 0;
    if (strcmp(role_of(json_array_get(messages, 0)), "system") == 0) i++;
    if (i >= count || strcmp(role_of(json_array_get(messages, i)), "user")) return -1;
    size_t user = i++;
    if (i < count) {
        const json_t *last = json_array_get(messages, i);
        if (strcmp(role_of(last), "assistant") || !is_empty(qv__field(last, "content"))) return -1;
        i++;
    }
    return i == count ? (int)user : -1;
}

/* The system turn's texts, joined: the instruction. */
static qv_status read_instruction(qv__content *c, const json_t *content, const char **out) {
    qv__content system = {.arena = c->arena, .r = c->r, .name = c->name};
    qv_status status = content ? qv__content_add(&system, content) : QV_OK;
    if (status) return status;
    size_t size = 0;
    for (size_t i = 0; i < system.count; i++) size += system.parts[i].size;
    char *text = qv__arena_alloc(c->arena, size + 1, 1);
    if (!text) return qv__refuse(c->r, QV_NO_MEMORY, NULL, "No memory for the request.");
    size = 0;
    for (size_t i = 0; i < system.count; i++) {
        if (system.parts[i].size) memcpy(text + size, system.parts[i].data, system.parts[i].size);
        size += system.parts[i].size;
    }
    text[size] = 0;
    if (strlen(text) != size)
        return qv__refuse_field(c->r, c->name, "%s: the system turn must not contain the character U+0000.", c->name);
    *out = text;
    return QV_OK;
}

static qv_status as_official(qv__content *c, const json_t *messages, int user, qv_input *input) {
    qv_status status = QV_OK;
    const char *instruction = NULL;
    if (user == 1) status = read_instruction(c, qv__field(json_array_get(messages, 0), "content"), &instruction);
    if (instruction) input->instruction = instruction;
    const json_t *content = qv__field(json_array_get(messages, (size_t)user), "content");
    if (!status && content) status = qv__content_add(c, content);
    if (!status) status = qv__placeholders_settle(c, 0);
    input->prompt = QV_PROMPT_OFFICIAL;
    qv__content_end(c, input);
    return status;
}

static qv_status add_copy(qv__content *c, const char *text) {
    char *copy = qv__arena_strndup(c->arena, text, strlen(text));
    if (!copy) return qv__refuse(c->r, QV_NO_MEMORY, NULL, "No memory for the request.");
    return qv__content_add_made(c, copy, strlen(copy));
}

/* Texts side by side become one, so that the tokenizer sees no seam that the rendered chat does not have. */
static qv_status merge_texts(qv__content *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->count;) {
        size_t end = i, size = 0;
        for (; end < c->count && c->parts[end].kind == QV_PART_TEXT; end++) size += c->parts[end].size;
        if (end <= i + 1) {
            c->parts[kept++] = c->parts[i++];
            continue;
        }
        char *text = qv__arena_alloc(c->arena, size, 1);
        if (!text) return qv__refuse(c->r, QV_NO_MEMORY, NULL, "No memory for the request.");
        for (size_t at = 0; i < end; at += c->parts[i++].size)
            if (c->parts[i].size) memcpy(text + at, c->parts[i].data, c->parts[i].size);
        c->parts[kept++] = (qv_part){.kind = QV_PART_TEXT, .data = text, .size = size};
    }
    c->count = kept;
    return QV_OK;
}

static qv_status as_chat(qv__content *c, const json_t *messages, const qv__chat_options *options, qv_input *input) {
    qv_status status = QV_OK;
    size_t count = json_array_size(messages);
    for (size_t i = 0; i < count && !status; i++) {
        const json_t *message = json_array_get(messages, i), *content = qv__field(message, "content");
        char head[64];
        snprintf(head, sizeof head, "<|im_start|>%.32s\n", role_of(message));
        status = add_copy(c, head);
        size_t first = c->count;
        if (!status && content) status = qv__content_add(c, content);
        if (!status) status = qv__placeholders_settle(c, first);
        if (!status && (i + 1 < count || !options->continue_final_message)) status = add_copy(c, "<|im_end|>\n");
    }
    if (!status && options->add_generation_prompt) status = add_copy(c, "<|im_start|>assistant\n");
    if (!status) status = merge_texts(c);
    input->prompt = QV_PROMPT_RAW;
    input->no_special_tokens = !options->add_special_tokens;
    qv__content_end(c, input);
    return status;
}

qv_status qv__messages_input(qv__content *c, const json_t *messages, const qv__chat_options *options, qv_input *input) {
    qv_status status = check_messages(c, messages);
    if (status) return status;
    int user = options->exact ? -1 : official_user(messages);
    if (user >= 0) return as_official(c, messages, user, input);
    if (options->official)
        return qv__refuse_field(c->r, c->name,
                                "%s: the official recipe takes one system turn (or none), one user turn, and perhaps "
                                "an empty assistant turn.",
                                c->name);
    if (input->instruction)
        return qv__refuse_field(c->r, "instruction",
                                "instruction goes with the official recipe: one system and one user turn.");
    return as_chat(c, messages, options, input);
}
