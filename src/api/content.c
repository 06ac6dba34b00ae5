#include "api/content.h"

#include <string.h>
#include <strings.h>

#include "api/placeholders.h"
#include "api/text_url.h"
#include "base/base64.h"
#include "base/utf8.h"

static qv_status no_memory(qv__content *c) {
    return qv__refuse(c->r, QV_NO_MEMORY, NULL, "No memory for the request.");
}

static qv_status add_part(qv__content *c, qv_part part) {
    if (c->max_parts > 0 && c->count >= (size_t)c->max_parts)
        return qv__refuse_field(c->r, c->name, "%s has more than %lld parts, which is the most here.", c->name,
                                (long long)c->max_parts);
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 4;
        qv_part *parts = qv__arena_alloc(c->arena, capacity, sizeof *parts);
        if (!parts) return no_memory(c);
        if (c->count) memcpy(parts, c->parts, c->count * sizeof *parts);
        c->parts = parts;
        c->capacity = capacity;
    }
    c->parts[c->count++] = part;
    return QV_OK;
}

qv_status qv__content_add_made(qv__content *c, const char *text, size_t size) {
    return add_part(c, (qv_part){.kind = QV_PART_TEXT, .data = text, .size = size});
}

qv_status qv__content_add_text(qv__content *c, const json_t *value) {
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    return qv__text_is_url(text, size) ? qv__refuse_url(c->r, c->name, "A text of ")
                                       : qv__content_add_made(c, text, size);
}

/* ---- pictures and videos ---- */

static bool starts(const char *text, const char *head) {
    return strncasecmp(text, head, strlen(head)) == 0;
}

static qv_status decode(qv__content *c, const char *text, size_t size, bool bare, qv_part *part) {
    uint8_t *bytes = qv__arena_alloc(c->arena, qv__base64_decoded_max(size), 1);
    if (!bytes) return no_memory(c);
    size_t bad = 0;
    if (size && qv__base64_decode(text, size, bytes, &part->size, &bad) && part->size) return part->data = bytes, QV_OK;
    if (bare)
        return qv__refuse(c->r, QV_INVALID_ARGUMENT, c->name,
                          "%s: a picture or video must be a data: URL (data:image/png;base64,…) or base64.", c->name);
    return qv__refuse(c->r, QV_INVALID_ARGUMENT, c->name,
                      "%s: the base64 of a data: URL goes wrong at its character %zu.", c->name, bad);
}

/* "data:video/jpeg;base64,AAA,BBB": the frames of a video as pictures. */
static qv_status decode_frames(qv__content *c, const char *text, size_t size, qv_part *part) {
    size_t count = 1;
    for (size_t i = 0; i < size; i++) count += text[i] == ',';
    qv_part *frames = qv__arena_alloc(c->arena, count, sizeof *frames);
    if (!frames) return no_memory(c);
    for (size_t i = 0; i < count; i++) {
        const char *comma = memchr(text, ',', size);
        size_t n = comma ? (size_t)(comma - text) : size;
        frames[i] = (qv_part){.kind = QV_PART_IMAGE};
        qv_status status = decode(c, text, n, false, &frames[i]);
        if (status) return status;
        text += comma ? n + 1 : n;
        size -= comma ? n + 1 : n;
    }
    *part = (qv_part){.kind = QV_PART_VIDEO_FRAMES, .data = frames, .size = count};
    return QV_OK;
}

static qv_status decode_data_url(qv__content *c, const char *url, size_t size, qv_part *part) {
    const char *comma = memchr(url, ',', size);
    static const char mark[] = ";base64";
    size_t head = comma ? (size_t)(comma - url) : 0;
    if (head < sizeof mark - 1 || strncasecmp(comma - (sizeof mark - 1), mark, sizeof mark - 1))
        return qv__refuse(c->r, QV_UNSUPPORTED, c->name,
                          "%s: only base64 data: URLs are taken (data:image/png;base64,…).", c->name);
    const char *data = comma + 1;
    size_t rest = size - head - 1;
    if (part->kind == QV_PART_VIDEO && starts(url, "data:image/")) return decode_frames(c, data, rest, part);
    if (part->kind == QV_PART_VIDEO && starts(url, "data:video/jpeg")) return decode_frames(c, data, rest, part);
    return decode(c, data, rest, false, part);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* file:///path, file://localhost/path, with %XX: a path for media/ to open below its root. */
static qv_status take_file(qv__content *c, const char *url, size_t size, qv_part *part) {
    size_t at = strlen("file://"), n = 0;
    if (size - at >= 9 && !strncasecmp(url + at, "localhost", 9)) at += 9;
    char *path = qv__arena_alloc(c->arena, size + 1, 1);
    if (!path) return no_memory(c);
    for (; at < size; at++) {
        bool escaped = url[at] == '%' && at + 2 < size && hex_digit(url[at + 1]) >= 0 && hex_digit(url[at + 2]) >= 0;
        path[n++] = escaped ? (char)(hex_digit(url[at + 1]) << 4 | hex_digit(url[at + 2])) : url[at];
        if (escaped) at += 2;
        if (!path[n - 1]) break;
    }
    path[n] = 0;
    if (path[0] != '/' || strlen(path) != n)
        return qv__refuse(c->r, QV_MEDIA_SOURCE, c->name, "%s: a file URL has the form file:///folder/name.", c->name);
    bool video = part->kind == QV_PART_VIDEO;
    *part = (qv_part){.kind = video ? QV_PART_VIDEO_FILE : QV_PART_IMAGE_FILE, .data = path, .size = n};
    return QV_OK;
}

static qv_status load(qv__content *c, const char *source, size_t size, qv_part *part) {
    if (starts(source, "data:")) return decode_data_url(c, source, size, part);
    if (starts(source, "http://") || starts(source, "https://"))
        return qv__media_url_note(c->urls, source, size, c->name, part, c->r);
    if (starts(source, "file://") && c->local_media) return take_file(c, source, size, part);
    if (starts(source, "file://"))
        return qv__refuse(c->r, QV_MEDIA_SOURCE, c->name,
                          "%s: this server opens no local files; send the bytes as a data: URL.", c->name);
    return decode(c, source, size, true, part);
}

static qv_status add_loaded(qv__content *c, qv_part part) {
    bool image = part.kind == QV_PART_IMAGE || part.kind == QV_PART_IMAGE_FILE;
    int *count = image ? &c->images : &c->videos;
    int max = image ? c->max_images : c->max_videos;
    if (*count >= max)
        return qv__refuse(c->r, QV_INVALID_ARGUMENT, c->name, "At most %d %s(s) may be provided in one prompt.", max,
                          image ? "image" : "video");
    ++*count;
    return add_part(c, part);
}

/* A list of pictures is one video. */
static qv_status add_frames(qv__content *c, const json_t *list) {
    size_t count = json_array_size(list);
    qv_part *frames = qv__arena_alloc(c->arena, count, sizeof *frames);
    if (!frames) return no_memory(c);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_string(value))
            return qv__refuse_field(c->r, c->name, "%s: frame %zu of a video is %s; it must be a string.", c->name, i,
                                    qv__json_kind(value));
        frames[i] = (qv_part){.kind = QV_PART_IMAGE};
        qv_status status = load(c, json_string_value(value), json_string_length(value), &frames[i]);
        if (status) return status;
    }
    return add_loaded(c, (qv_part){.kind = QV_PART_VIDEO_FRAMES, .data = frames, .size = count});
}

qv_status qv__content_add_media(qv__content *c, const json_t *value, bool video) {
    if (json_is_object(value)) {
        const json_t *url = qv__field(value, "url");
        value = url ? url : qv__field(value, "bytes");
    }
    if (video && json_is_array(value) && json_array_size(value)) return add_frames(c, value);
    if (!json_is_string(value))
        return qv__refuse_field(c->r, c->name, "%s: a %s must be given as a string or {\"url\": string}, not as %s.",
                                c->name, video ? "video" : "picture", qv__json_kind(value));
    qv_part part = {.kind = video ? QV_PART_VIDEO : QV_PART_IMAGE};
    qv_status status = load(c, json_string_value(value), json_string_length(value), &part);
    return status ? status : add_loaded(c, part);
}

/* ---- parts ---- */

enum { TEXT, IMAGE, VIDEO };

static const struct {
    const char *type, *field;
    int kind;
} part_types[] = {
    {"text", "text", TEXT},
    {"input_text", "text", TEXT},
    {"output_text", "text", TEXT},
    {"image_url", "image_url", IMAGE},
    {"input_image", "image_url", IMAGE},
    {"image", "image", IMAGE},
    {"image_base64", "image_base64", IMAGE},
    {"video_url", "video_url", VIDEO},
    {"video", "video", VIDEO},
    {"video_base64", "video_base64", VIDEO},
};

enum { PART_TYPES = sizeof part_types / sizeof *part_types };

static qv_status add_known(qv__content *c, const json_t *object, size_t row) {
    const json_t *value = json_object_get(object, part_types[row].field);
    if (part_types[row].kind != TEXT) return qv__content_add_media(c, value, part_types[row].kind == VIDEO);
    if (!json_is_string(value))
        return qv__refuse_field(c->r, c->name, "%s: text must be a string, not %s.", c->name, qv__json_kind(value));
    return qv__content_add_text(c, value);
}

static qv_status add_part_object(qv__content *c, const json_t *object) {
    const json_t *type = qv__field(object, "type");
    for (size_t i = 0; i < PART_TYPES; i++) {
        if (type && json_is_string(type) && strcmp(json_string_value(type), part_types[i].type) == 0)
            return add_known(c, object, i);
        if (!type && qv__field(object, part_types[i].field)) return add_known(c, object, i);
    }
    if (!type) return qv__refuse(c->r, QV_INVALID_ARGUMENT, c->name, "Missing 'type' field in multimodal part.");
    return qv__refuse(c->r, QV_INVALID_ARGUMENT, "type",
                      "Unsupported chat content part type: '%.40s'. Supported types: text, image_url, video_url.",
                      json_is_string(type) ? json_string_value(type) : "?");
}

qv_status qv__content_add(qv__content *c, const json_t *value) {
    if (json_is_string(value)) return qv__content_add_text(c, value);
    if (json_is_object(value)) return add_part_object(c, value);
    if (!json_is_array(value))
        return qv__refuse_field(c->r, c->name, "%s: content must be a string or a list of parts, not %s.", c->name,
                                qv__json_kind(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *part = json_array_get(value, i);
        if (json_is_array(part)) return qv__refuse_field(c->r, c->name, "%s: part %zu is a list.", c->name, i);
        qv_status status = qv__content_add(c, part);
        if (status) return status;
    }
    return QV_OK;
}

/* ---- whole inputs ---- */

/* A field that holds one thing or a list of them; a list under `video` is the frames of one. */
static qv_status add_field(qv__content *c, const json_t *object, const char *name, int kind) {
    const json_t *value = qv__field(object, name);
    if (!value) return QV_OK;
    bool list = json_is_array(value) && kind != VIDEO;
    for (size_t i = 0; i < (list ? json_array_size(value) : 1); i++) {
        const json_t *one = list ? json_array_get(value, i) : value;
        if (kind == TEXT && !json_is_string(one))
            return qv__refuse_field(c->r, c->name, "%s: text must be a string or a list of strings, not %s.", c->name,
                                    qv__json_kind(one));
        qv_status status = kind == TEXT ? qv__content_add_text(c, one) : qv__content_add_media(c, one, kind == VIDEO);
        if (status) return status;
    }
    return QV_OK;
}

void qv__content_end(const qv__content *c, qv_input *input) {
    input->parts = c->parts;
    input->part_count = c->count;
}

int64_t qv__content_characters(const qv_input *input) {
    size_t count = 0;
    for (size_t i = 0; i < input->part_count; i++) {
        const qv_part *part = &input->parts[i];
        if (part->kind == QV_PART_TEXT) count += qv__utf8_count(part->data, part->size);
        if (part->kind == QV_PART_TOKENS) count += part->size;
    }
    return (int64_t)count;
}

qv_status qv__content_object(qv__content *c, const json_t *object, qv_input *input) {
    const json_t *content = qv__field(object, "content");
    qv_status status = content ? qv__content_add(c, content) : QV_OK;
    if (!status) status = qv__placeholders_settle(c, 0);
    if (!status && qv__field(object, "type") && !content)
        status = add_part_object(c, object);
    else {
        if (!status) status = add_field(c, object, "text", TEXT);
        if (!status) status = add_field(c, object, "image", IMAGE);
        if (!status) status = add_field(c, object, "image_url", IMAGE);
        if (!status) status = add_field(c, object, "video", VIDEO);
        if (!status) status = add_field(c, object, "video_url", VIDEO);
        /* beside other content they are somebody's notes on where it came from */
        bool alone = !c->count && !content;
        if (!status && alone) status = add_field(c, object, "url", IMAGE);
        if (!status && alone) status = add_field(c, object, "bytes", IMAGE);
    }
    if (!status) status = qv__field_text(object, "instruction", &input->instruction, c->r);
    if (!status) status = qv__content_limits(object, input, c->r);
    if (!status && !c->count && json_object_size(object) && !content)
        status = qv__refuse_field(c->r, c->name, "%s is an object without text, image, video, url, bytes or content.",
                                  c->name);
    qv__content_end(c, input);
    return status;
}

static qv_status read_limits(const json_t *o, qv_input *input, qv__refusal *r) {
    int64_t frames = input->max_frames;
    qv_status status = qv__field_int(o, "min_pixels", 1, INT32_MAX, &input->min_pixels, r);
    if (!status) status = qv__field_int(o, "max_pixels", 1, INT32_MAX, &input->max_pixels, r);
    if (!status) status = qv__field_bool(o, "apply_orientation", &input->apply_orientation, r);
    if (!status) status = qv__field_number(o, "fps", 0.001, 1000, &input->fps, r);
    if (!status) status = qv__field_int(o, "num_frames", 1, 100000, &frames, r);
    if (!status) status = qv__field_int(o, "max_frames", 1, 100000, &frames, r);
    input->max_frames = (int)frames;
    return status;
}

static qv_status child(const json_t *o, const char *name, const json_t **out, qv__refusal *r) {
    *out = qv__field(o, name);
    if (*out && !json_is_object(*out))
        return qv__refuse_field(r, name, "%s must be an object, not %s.", name, qv__json_kind(*out));
    return QV_OK;
}

qv_status qv__content_limits(const json_t *object, qv_input *input, qv__refusal *r) {
    const json_t *kwargs, *size = NULL, *io, *video = NULL;
    qv_status status = read_limits(object, input, r);
    if (!status) status = child(object, "mm_processor_kwargs", &kwargs, r);
    if (!status && kwargs) status = read_limits(kwargs, input, r);
    if (!status && kwargs) status = child(kwargs, "size", &size, r);
    if (!status && size) status = qv__field_int(size, "shortest_edge", 1, INT32_MAX, &input->min_pixels, r);
    if (!status && size) status = qv__field_int(size, "longest_edge", 1, INT32_MAX, &input->max_pixels, r);
    if (!status) status = child(object, "media_io_kwargs", &io, r);
    if (!status && io) status = child(io, "video", &video, r);
    if (!status && video) status = read_limits(video, input, r);
    return status;
}
