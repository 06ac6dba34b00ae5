#include "store/json.h"

#include "base/error.h"
#include "base/memory.h"
#include "store/checkpoint.h"

/* Depth of the deepest bracket outside strings. Only an upper guard: what is not JSON is jansson's to refuse. */
static int nesting(const char *text, size_t size) {
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
            if (deepest > QV__JSON_DEPTH_MAX) return deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

qv_status qv__json_parse(const char *text, size_t size, json_t **out, qv_error *err) {
    if (nesting(text, size) > QV__JSON_DEPTH_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "JSON nested deeper than %d", QV__JSON_DEPTH_MAX);
    json_error_t e;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    /* jansson leaves the error empty where an allocation for a container failed. */
    if (!root && (json_error_code(&e) == json_error_out_of_memory || !e.text[0]))
        return qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!root) return qv__fail(err, QV_BAD_CHECKPOINT, "not valid JSON: line %d: %s", e.line, e.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return qv__fail(err, QV_BAD_CHECKPOINT, "not a JSON object");
    }
    *out = root;
    return QV_OK;
}

qv_status qv__json_read(const char *path, size_t max, json_t **out, qv_error *err) {
    char *text = NULL;
    size_t size;
    qv_status status = qv__file_read(path, max, &text, &size, err);
    if (status) return status;
    status = qv__json_parse(text, size, out, err);
    qv__free(text);
    return status ? qv__fail_in(err, status, "%s", path) : QV_OK;
}
