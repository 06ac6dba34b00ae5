#include "api/common.h"

#include "base/utf8.h"

enum { SALT_MAX = 1024 };

static qv_status read_priority(const json_t *object, qv__refusal *r) {
    int64_t priority = 0;
    qv_status status = qv__field_int(object, "priority", INT64_MIN, INT64_MAX, &priority, r);
    if (status || !priority) return status;
    return qv__refuse(r, QV_INVALID_ARGUMENT, "priority",
                      "priority is %lld; this server takes requests in a fair order of its own, so only 0 is known.",
                      (long long)priority);
}

static qv_status read_salt(const json_t *object, qv__refusal *r) {
    const json_t *value = qv__field(object, "cache_salt");
    if (!value) return QV_OK;
    if (!json_is_string(value))
        return qv__refuse_field(r, "cache_salt", "cache_salt must be a string, not %s.", qv__json_kind(value));
    size_t count = qv__utf8_count(json_string_value(value), json_string_length(value));
    if (count >= 1 && count <= SALT_MAX) return QV_OK;
    return qv__refuse_field(r, "cache_salt", "cache_salt has %zu characters; it must have from 1 to %d.", count,
                            SALT_MAX);
}

qv_status qv__common_read(const json_t *object, qv__refusal *r) {
    static const char *const paddings[] = {"do_not_pad", "max_length", NULL};
    const char *text = NULL;
    int padding = 0;
    qv_status status = qv__field_text(object, "user", &text, r);
    if (!status) status = qv__field_text(object, "request_id", &text, r);
    if (!status) status = read_priority(object, r);
    if (!status) status = read_salt(object, r);
    if (!status) status = qv__field_choice(object, "padding", paddings, &padding, r);
    if (!status && padding == 1)
        return qv__refuse_field(r, "padding", "padding is \"max_length\"; prompts of this model are never padded.");
    return status;
}

qv_status qv__common_cut(const json_t *object, int64_t max_model_len, int64_t *keep, bool *left, qv__refusal *r) {
    static const char *const sides[] = {"right", "left", NULL};
    static const char name[] = "truncate_prompt_tokens";
    int side = 0;
    *keep = 0;
    qv_status status = qv__field_int(object, name, -1, INT64_MAX, keep, r);
    if (!status) status = qv__field_choice(object, "truncation_side", sides, &side, r);
    if (status) return status;
    *left = side == 1;
    if (qv__field(object, name) && *keep == 0) return qv__refuse_field(r, name, "%s must be -1 or at least 1.", name);
    if (*keep <= max_model_len) return QV_OK;
    return qv__refuse(
        r, QV_INVALID_ARGUMENT, name,
        "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation size.");
}
