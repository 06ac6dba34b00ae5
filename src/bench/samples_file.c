/* Inputs from a file: JSON Lines or one JSON array, in the forms that benchmarks' data sets have. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/error.h"
#include "bench/samples.h"
#include "media/media.h"

typedef struct {
    const char *what, *folder;
    size_t record; /* counted from 1, for messages */
    qv__samples *out;
    qv_error *err;
} reader;

static qv_status refuse(const reader *r, const char *reason) {
    return qv__fail(r->err, QV_INVALID_ARGUMENT, "%s, record %zu: %s", r->what, r->record, reason);
}

static qv_status no_memory(const reader *r) {
    return qv__fail(r->err, QV_NO_MEMORY, "out of memory for %s", r->what);
}

static char *copy(const reader *r, const char *text) {
    return qv__arena_strndup(&r->out->arena, text, strlen(text));
}

/* ---- pictures and videos ---- */

/* The media type by the first bytes; NULL: none that servers know. */
static const char *type_of(const unsigned char *bytes, size_t size) {
    if (size > 3 && !memcmp(bytes, "\xFF\xD8\xFF", 3)) return "image/jpeg";
    if (size > 8 && !memcmp(bytes, "\x89PNG\r\n\x1A\n", 8)) return "image/png";
    if (size > 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4)) return "image/webp";
    if (size > 6 && !memcmp(bytes, "GIF8", 4)) return "image/gif";
    if (size > 4 && (!memcmp(bytes, "II*\0", 4) || !memcmp(bytes, "MM\0*", 4))) return "image/tiff";
    if (size > 12 && !memcmp(bytes + 4, "ftyp", 4)) return "video/mp4";
    if (size > 4 && !memcmp(bytes, "\x1A\x45\xDF\xA3", 4)) return "video/webm";
    if (size > 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "AVI ", 4)) return "video/x-msvideo";
    return size > 2 && !memcmp(bytes, "BM", 2) ? "image/bmp" : NULL;
}

static qv_status read_file_url(const reader *r, const char *path, const char **url) {
    void *bytes;
    size_t size;
    if (!r->folder) return refuse(r, "files beside it are not read here");
    qv_status status = qv__media_load(path, r->folder, NULL, NULL, &bytes, &size, r->err);
    if (status) return qv__fail_in(r->err, status, "%s, record %zu", r->what, r->record);
    const char *type = type_of(bytes, size);
    size_t encoded = qv__base64_encoded_size(size), head = type ? strlen("data:;base64,") + strlen(type) : 0;
    char *text = type && encoded != SIZE_MAX ? qv__arena_alloc(&r->out->arena, head + encoded + 1, 1) : NULL;
    if (text) {
        snprintf(text, head + 1, "data:%s;base64,", type);
        qv__base64_encode(bytes, size, text + head);
        text[head + encoded] = 0;
    }
    qv__free(bytes);
    *url = text;
    return text ? QV_OK : type ? no_memory(r) : refuse(r, "the picture or video is of no known format");
}

static qv_status read_medium(const reader *r, const json_t *value, const char **url) {
    if (json_is_object(value)) value = json_object_get(value, "path"); /* as Hugging Face's exports have it */
    const char *text = json_string_value(value);
    if (!text || !*text) return refuse(r, "a picture or video is not a path or URL");
    bool is_url =
        !strncasecmp(text, "data:", 5) || !strncasecmp(text, "http://", 7) || !strncasecmp(text, "https://", 8);
    if (!is_url) return read_file_url(r, text, url);
    *url = copy(r, text);
    return *url ? QV_OK : no_memory(r);
}

/* How many media a field holds: one, or a list. */
static size_t count_media(const json_t *value) {
    return json_is_array(value) ? json_array_size(value) : value && !json_is_null(value);
}

static qv_status add_media(const reader *r, const json_t *value, bool video, qv__sample *sample) {
    qv_status status = QV_OK;
    size_t count = count_media(value);
    for (size_t i = 0; i < count && !status; i++) {
        qv__medium *medium = &sample->media[sample->media_count];
        medium->video = video;
        status = read_medium(r, json_is_array(value) ? json_array_get(value, i) : value, &medium->url);
        if (!status) sample->media_count++;
    }
    return status;
}

static const json_t *either(const json_t *record, const char *one, const char *other) {
    const json_t *value = json_object_get(record, one);
    return value ? value : json_object_get(record, other);
}

static qv_status read_media(const reader *r, const json_t *record, qv__sample *sample) {
    const json_t *images = either(record, "image", "images"), *videos = either(record, "video", "videos");
    size_t count = count_media(images) + count_media(videos);
    if (!count) return QV_OK;
    sample->media = qv__arena_alloc(&r->out->arena, count, sizeof *sample->media);
    if (!sample->media) return no_memory(r);
    qv_status status = add_media(r, images, false, sample);
    return status ? status : add_media(r, videos, true, sample);
}

/* ---- texts ---- */

static qv_status add_text(const reader *r, const json_t *value, qv__sample *sample) {
    if (json_is_object(value)) value = json_object_get(value, "text");
    const char *text = json_string_value(value);
    if (!text) return refuse(r, "a text is not a string");
    char *copied = copy(r, text);
    if (!copied) return no_memory(r);
    sample->texts[sample->text_count++] = copied;
    return QV_OK;
}

/* A string, or a list of strings, behind `first` (NULL: none). */
static qv_status read_texts(const reader *r, const json_t *first, const json_t *value, qv__sample *sample) {
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    sample->texts = qv__arena_alloc(&r->out->arena, count + 1, sizeof(char *));
    if (!sample->texts) return no_memory(r);
    qv_status status = first ? add_text(r, first, sample) : QV_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = add_text(r, json_is_array(value) ? json_array_get(value, i) : value, sample);
    sample->inputs = (int64_t)count;
    return !status && !count ? refuse(r, "the list of texts is empty") : status;
}

static qv_status read_record(const reader *r, const json_t *record, qv__sample *sample) {
    static const char *const names[] = {"prompt", "text", "input", "question", "sentence"};
    *sample = (qv__sample){0};
    if (!json_is_object(record)) return refuse(r, "it is not an object");
    const json_t *query = json_object_get(record, "query"), *documents = json_object_get(record, "documents");
    const json_t *conversation = json_object_get(record, "conversations"), *value = NULL;
    qv_status status;
    for (size_t i = 0; i < sizeof names / sizeof *names && !value; i++) value = json_object_get(record, names[i]);
    if (query && documents)
        status = read_texts(r, query, documents, sample);
    else if (!value && json_array_size(conversation))
        status = read_texts(r, NULL, json_object_get(json_array_get(conversation, 0), "value"), sample);
    else if (value || query)
        status = read_texts(r, NULL, value ? value : query, sample);
    else
        return refuse(r,
                      "it has no \"prompt\", \"text\", \"input\", \"query\" and \"documents\", or \"conversations\"");
    return status ? status : read_media(r, record, sample);
}

/* ---- the file ---- */

static qv_status add_record(reader *r, const json_t *record, size_t requests) {
    r->record++;
    if (r->out->count >= requests) return QV_OK;
    qv_status status = read_record(r, record, &r->out->items[r->out->count]);
    if (!status) r->out->count++;
    return status;
}

static qv_status read_json(reader *r, const char *text, size_t size, size_t requests) {
    json_error_t e;
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY, &e);
    if (!root)
        return qv__fail(r->err, QV_INVALID_JSON, "%s, record %zu: line %d: %s", r->what, r->record + 1, e.line, e.text);
    qv_status status = QV_OK;
    if (json_is_array(root))
        for (size_t i = 0; i < json_array_size(root) && !status; i++)
            status = add_record(r, json_array_get(root, i), requests);
    else
        status = add_record(r, root, requests);
    json_decref(root);
    return status;
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", text[i]) || !text[i]) return false;
    return true;
}

static qv_status read_lines(reader *r, const char *text, size_t size, size_t requests) {
    qv_status status = QV_OK;
    while (size && !status && r->out->count < requests) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size, taken = end ? line + 1 : line;
        if (!is_blank(text, line)) status = read_json(r, text, line, requests);
        text += taken;
        size -= taken;
    }
    return status;
}

qv_status qv__samples_parse(const char *text, size_t size, const char *what, const char *folder, size_t requests,
                            qv__samples *out, qv_error *err) {
    reader r = {.what = what, .folder = folder, .out = out, .err = err};
    size_t start = 0;
    *out = (qv__samples){0};
    out->items = qv__arena_alloc(&out->arena, requests, sizeof *out->items);
    if (!out->items) return no_memory(&r);
    while (start < size && text[start] && strchr(" \t\r\n", text[start])) start++;
    bool array = start < size && text[start] == '[';
    qv_status status = array ? read_json(&r, text, size, requests) : read_lines(&r, text, size, requests);
    if (status) return status;
    if (!out->count) return qv__fail(err, QV_INVALID_ARGUMENT, "%s holds no records", what);
    for (size_t have = out->count; out->count < requests; out->count++)
        out->items[out->count] = out->items[out->count % have];
    return QV_OK;
}
