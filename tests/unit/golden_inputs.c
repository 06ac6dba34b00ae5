#include "golden_inputs.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

json_t *golden_cases(const char *name) {
    char path[256];
    json_error_t e;
    snprintf(path, sizeof path, "golden/data/%s.json", name);
    json_t *cases = json_load_file(check_source_path(path), JSON_ALLOW_NUL, &e);
    CHECK_MSG(cases && json_array_size(cases), "%s: %s", path, e.text);
    return cases;
}

const char *golden_assets(void) {
    static char path[4096];
    snprintf(path, sizeof path, "%s", check_source_path("golden/data/assets"));
    return path;
}

static const json_t *at(const json_t *list_or_one, size_t i) {
    return json_is_array(list_or_one) ? json_array_get(list_or_one, i) : list_or_one;
}

static size_t count_of(const json_t *list_or_one) {
    return !list_or_one ? 0 : json_is_array(list_or_one) ? json_array_size(list_or_one) : 1;
}

static qv_part file_part(qv_part_kind kind, const json_t *name, qv__arena *arena) {
    char path[8192];
    int n = snprintf(path, sizeof path, "%s/%s", golden_assets(), json_string_value(name));
    char *copy = qv__arena_strndup(arena, path, (size_t)n);
    CHECK(copy);
    return (qv_part){kind, copy, 0};
}

static qv_part video_part(const json_t *video, qv__arena *arena) {
    if (json_is_string(video)) return file_part(QV_PART_VIDEO_FILE, video, arena);
    size_t count = json_array_size(video);
    qv_part *frames = qv__arena_alloc(arena, count, sizeof *frames);
    CHECK(frames);
    for (size_t i = 0; i < count; i++) frames[i] = file_part(QV_PART_IMAGE_FILE, json_array_get(video, i), arena);
    return (qv_part){QV_PART_VIDEO_FRAMES, frames, count};
}

qv_input golden_input(const json_t *item, qv__arena *arena) {
    const json_t *text = json_object_get(item, "text"), *image = json_object_get(item, "image");
    const json_t *video = json_object_get(item, "video");
    bool one = json_is_string(video) || json_is_string(json_array_get(video, 0));
    size_t videos = one ? 1 : count_of(video), n = 0;
    qv_part *parts = qv__arena_alloc(arena, count_of(text) + count_of(image) + videos, sizeof *parts);
    CHECK(parts);
    for (size_t i = 0; i < count_of(text); i++)
        parts[n++] = (qv_part){QV_PART_TEXT, json_string_value(at(text, i)), json_string_length(at(text, i))};
    for (size_t i = 0; i < count_of(image); i++) parts[n++] = file_part(QV_PART_IMAGE_FILE, at(image, i), arena);
    for (size_t i = 0; i < videos; i++) parts[n++] = video_part(one ? video : at(video, i), arena);
    return (qv_input){.parts = parts, .part_count = n};
}

void golden_wishes(const json_t *item, qv_input *in) {
    const char *prompt = json_string_value(json_object_get(item, "prompt"));
    in->prompt = prompt && strcmp(prompt, "raw") == 0 ? QV_PROMPT_RAW : QV_PROMPT_OFFICIAL;
    in->instruction = json_string_value(json_object_get(item, "instruction"));
    in->max_length = json_integer_value(json_object_get(item, "max_length"));
    in->min_pixels = json_integer_value(json_object_get(item, "min_pixels"));
    in->max_pixels = json_integer_value(json_object_get(item, "max_pixels"));
    in->max_frames = (int)json_integer_value(json_object_get(item, "max_frames"));
    in->fps = json_number_value(json_object_get(item, "fps"));
}

qv_model *golden_model(const char *name, int seed, const qv_model_options *options) {
    char folder[4096], format[32];
    qv_model_options o = options ? *options : (qv_model_options){0};
    qv_error err = {0};
    qv_model *model = NULL;
    snprintf(folder, sizeof folder, "%s/%s", getenv("QVEC_TEST_CHECKPOINTS"), name);
    snprintf(format, sizeof format, "dummy:%d", seed);
    o.load_format = format;
    CHECK_OK(qv_model_open(folder, &o, &model, &err), err);
    return model;
}
