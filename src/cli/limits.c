#include "cli/limits.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "api/content.h"
#include "cli/console.h"

static json_t *object_of(const char *flag, const char *text) {
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object)) return object;
    json_decref(object);
    qv__complain("%s takes a JSON object, not %.120s", flag, text);
    return NULL;
}

/* {"image": 4}, or vLLM's longer form {"image": {"count": 4, ...}}. */
static bool read_count(const json_t *object, const char *name, int *out) {
    const json_t *value = json_object_get(object, name);
    if (json_is_object(value)) value = json_object_get(value, "count");
    if (!value) return true;
    json_int_t count = json_integer_value(value);
    if (!json_is_integer(value) || count < 0 || count > INT16_MAX) {
        qv__complain("--limit-mm-per-prompt: \"%s\" must be a whole number within 0 and %d", name, INT16_MAX);
        return false;
    }
    *out = count ? (int)count : -1;
    return true;
}

static bool check_names(const char *flag, const json_t *object, const char *const *names) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        const char *const *at = names;
        while (*at && strcmp(*at, key)) at++;
        if (*at) continue;
        qv__complain("%s has no \"%.60s\"", flag, key);
        return false;
    }
    return true;
}

static bool read_limits(const char *text, qv__mm_limits *out) {
    static const char *const names[] = {"image", "video", "audio", NULL};
    const char *flag = "--limit-mm-per-prompt";
    json_t *object = object_of(flag, text);
    bool ok = object && check_names(flag, object, names) && read_count(object, "image", &out->max_images) &&
              read_count(object, "video", &out->max_videos);
    json_decref(object);
    return ok;
}

static bool read_kwargs(const char *text, qv__mm_limits *out) {
    static const char *const names[] = {
        "min_pixels", "max_pixels", "apply_orientation", "fps", "max_frames", "num_frames", "size", NULL};
    const char *flag = "--mm-processor-kwargs";
    json_t *object = object_of(flag, text);
    if (!object || !check_names(flag, object, names)) return json_decref(object), false;
    json_t *wrapped = json_pack("{s:o}", "mm_processor_kwargs", object); /* the form that requests have */
    qv__refusal refusal = {0};
    bool ok = wrapped && !qv__content_limits(wrapped, &out->defaults, &refusal);
    if (!ok) qv__complain("%s: %s", flag, wrapped ? refusal.message : "out of memory");
    json_decref(wrapped);
    return ok;
}

bool qv__mm_limits_read(const char *limit_mm_per_prompt, const char *mm_processor_kwargs, qv__mm_limits *out) {
    if (limit_mm_per_prompt && !read_limits(limit_mm_per_prompt, out)) return false;
    return !mm_processor_kwargs || read_kwargs(mm_processor_kwargs, out);
}
