#include "cli/record.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "api/write.h"
#include "base/error.h"
#include "cli/console.h"

/* Names that were warned about already. */
enum { WARNED_MAX = 64, WARNED_BYTES = 48 };
static struct {
    pthread_mutex_t lock;
    char names[WARNED_MAX][WARNED_BYTES];
    size_t count;
} warned = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_listed(const char *const *names, const char *name, size_t size) {
    for (; *names; names++)
        if (strlen(*names) == size && !memcmp(*names, name, size)) return true;
    return false;
}

/* ---- a likely typing error, said once ---- */

static bool first_time(const char *name, size_t size) {
    bool first = size < WARNED_BYTES;
    pthread_mutex_lock(&warned.lock);
    for (size_t i = 0; i < warned.count && first; i++)
        first = strlen(warned.names[i]) != size || memcmp(warned.names[i], name, size);
    first = first && warned.count < WARNED_MAX;
    if (first) memcpy(warned.names[warned.count++], name, size); /* zeroed at start: NUL-terminated */
    pthread_mutex_unlock(&warned.lock);
    return first;
}

static void warn_of_typing(const qv__record *r, const char *name, size_t size, const char *const *fields) {
    for (; *fields; fields++) {
        if (qv__edit_distance(name, size, *fields, strlen(*fields), 1) != 1) continue;
        if (first_time(name, size))
            qv__warn("line %lld has a field \"%.*s\"; is \"%s\" meant? Unknown fields are carried to the answer",
                     (long long)r->line, (int)size, name, *fields);
        return;
    }
}

void qv__record_warn_parts(const qv__record *record, const json_t *object) {
    static const char *const fields[] = {"text", "image", "video", NULL};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) warn_of_typing(record, key, strlen(key), fields);
}

/* ---- splitting ---- */

typedef struct {
    qv__record *record;
    const qv__record_names *names;
    size_t capacity;
    qv_status status;
} splitter;

/* The key without quotes and escapes. *decoded is to be freed with json_decref. */
static qv__slice key_text(const qv__member *m, json_t **decoded) {
    *decoded = NULL;
    qv__slice inner = {m->key.text + 1, m->key.size - 2};
    if (!memchr(inner.text, '\\', inner.size)) return inner;
    *decoded = json_loadb(m->key.text, m->key.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!*decoded) return inner;
    return (qv__slice){json_string_value(*decoded), json_string_length(*decoded)};
}

static bool carry(splitter *s, const qv__member *m) {
    qv__record *r = s->record;
    if (r->carried_count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 8;
        qv__member *grown = qv__arena_alloc(&r->arena, capacity, sizeof *grown);
        if (!grown) return s->status = qv__fail(r->err, QV_NO_MEMORY, "out of memory for a line"), false;
        if (r->carried_count) memcpy(grown, r->carried, r->carried_count * sizeof *grown);
        r->carried = grown;
        s->capacity = capacity;
    }
    r->carried[r->carried_count++] = *m;
    return true;
}

static bool split_member(void *context, const qv__member *m) {
    splitter *s = context;
    json_t *decoded;
    qv__slice key = key_text(m, &decoded);
    bool ok = true;
    if (key.size == 2 && !memcmp(key.text, "id", 2)) {
        if (m->value.size != 4 || memcmp(m->value.text, "null", 4)) s->record->id = m->value;
    } else if (!is_listed(s->names->fields, key.text, key.size)) {
        warn_of_typing(s->record, key.text, key.size, s->names->fields);
        if (!is_listed(s->names->answers, key.text, key.size)) ok = carry(s, m);
    }
    json_decref(decoded);
    return ok;
}

qv_status qv__record_open(qv__record *record, const qv__line *line, const qv__record_names *names, qv_error *err) {
    *record = (qv__record){.text = line->text, .number = line->number, .line = line->line, .err = err};
    json_error_t e;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    splitter s = {.record = record, .names = names};
    bool split = qv__scan_members(line->text, line->size, split_member, &s);
    if (s.status) return s.status;
    record->root = json_loadb(line->text, line->size, flags, &e);
    if (!record->root) {
        record->carried_count = 0; /* of a broken line only the id is worth keeping, and only when it can be trusted */
        record->id = (qv__slice){0};
        if (json_error_code(&e) == json_error_out_of_memory) return qv__fail(err, QV_NO_MEMORY, "out of memory");
        return qv__fail(err, QV_INVALID_JSON, "line %lld, character %d: %s", (long long)line->line, e.column, e.text);
    }
    if (!split || !json_is_object(record->root))
        return qv__fail(err, QV_INVALID_JSON, "line %lld is not a JSON object", (long long)line->line);
    return QV_OK;
}

void qv__record_clear(qv__record *record) {
    json_decref(record->root);
    qv__arena_clear(&record->arena);
    *record = (qv__record){0};
}

/* ---- answers ---- */

bool qv__record_is_in(const qv__record *record, const qv__id_set *set) {
    char number[32];
    if (record->id.size) return qv__id_set_has(set, record->id.text, record->id.size);
    return qv__id_set_has(set, number,
                          (size_t)qv__text_print(number, sizeof number, "%lld", (long long)record->number));
}

void qv__record_write_head(const qv__record *record, qv__buffer *out) {
    qv__buffer_puts(out, "{\"id\":");
    if (record->id.size)
        qv__buffer_append(out, record->id.text, record->id.size);
    else
        qv__buffer_printf(out, "%lld", (long long)record->number);
    for (size_t i = 0; i < record->carried_count; i++) {
        const qv__member *m = &record->carried[i];
        qv__buffer_puts(out, ", ");
        qv__buffer_append(out, m->key.text, m->key.size);
        qv__buffer_puts(out, ":");
        qv__buffer_append(out, m->value.text, m->value.size);
    }
}

void qv__write_error(const qv_error *error, qv__buffer *out) {
    qv__buffer_printf(out, "{\"code\":\"%s\", \"message\":", qv_status_name(error->code));
    qv__write_string(out, error->message, strlen(error->message)); /* jansson quotes lines, cut anywhere */
    qv__buffer_puts(out, "}");
}

void qv__record_write_error(const qv__record *record, const qv_error *error, qv__buffer *out) {
    qv__record_write_head(record, out);
    qv__buffer_puts(out, ", \"error\":");
    qv__write_error(error, out);
    qv__buffer_puts(out, "}");
}

/* ---- members ---- */

static const char *kind_of(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    default: return "a number";
    }
}

/* NULL when absent or null. */
static const json_t *member(const qv__record *r, const char *name) {
    const json_t *value = json_object_get(r->root, name);
    return json_is_null(value) ? NULL : value;
}

static qv_status wrong_kind(const qv__record *r, const char *name, const char *wanted, const json_t *value) {
    return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"%s\" must be %s, not %s", name, wanted, kind_of(value));
}

qv_status qv__record_number(const qv__record *r, const char *name, double min, double max, double *out) {
    const json_t *value = member(r, name);
    if (!value) return QV_OK;
    if (!json_is_number(value)) return wrong_kind(r, name, "a number", value);
    double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"%s\" is %.17g; it must be within %.17g and %.17g", name, number,
                        min, max);
    *out = number;
    return QV_OK;
}

qv_status qv__record_int(const qv__record *r, const char *name, int64_t min, int64_t max, int64_t *out) {
    double number = (double)*out;
    qv_status status = qv__record_number(r, name, (double)min, (double)max, &number);
    if (status) return status;
    if (number != floor(number))
        return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"%s\" is %.17g; it must be a whole number", name, number);
    if (member(r, name)) *out = (int64_t)number;
    return QV_OK;
}

qv_status qv__record_bool(const qv__record *r, const char *name, bool *out) {
    const json_t *value = member(r, name);
    if (!value) return QV_OK;
    if (!json_is_boolean(value)) return wrong_kind(r, name, "true or false", value);
    *out = json_is_true(value);
    return QV_OK;
}

static qv_status check_no_nul(const qv__record *r, const char *name, const json_t *value) {
    if (strlen(json_string_value(value)) == json_string_length(value)) return QV_OK;
    return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"%s\" holds a NUL character", name);
}

qv_status qv__record_text(const qv__record *r, const char *name, const char **out) {
    const json_t *value = member(r, name);
    if (!value) return QV_OK;
    if (!json_is_string(value)) return wrong_kind(r, name, "a string", value);
    *out = json_string_value(value);
    return check_no_nul(r, name, value);
}

qv_status qv__record_prompt(const qv__record *r, qv_prompt *out) {
    const char *name = NULL;
    qv_status status = qv__record_text(r, "prompt", &name);
    if (status || !name) return status;
    if (!strcmp(name, "official"))
        *out = QV_PROMPT_OFFICIAL;
    else if (!strcmp(name, "raw"))
        *out = QV_PROMPT_RAW;
    else
        return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"prompt\" is \"%.40s\"; it must be official or raw", name);
    return QV_OK;
}

qv_status qv__record_wishes(const qv__record *r, qv_input *input) {
    int64_t frames = input->max_frames;
    qv_status status = qv__record_text(r, "instruction", &input->instruction);
    if (!status) status = qv__record_int(r, "min_pixels", 1, INT32_MAX, &input->min_pixels);
    if (!status) status = qv__record_int(r, "max_pixels", 1, INT32_MAX, &input->max_pixels);
    if (!status) status = qv__record_bool(r, "apply_orientation", &input->apply_orientation);
    if (!status) status = qv__record_number(r, "fps", 0.001, 1000, &input->fps);
    if (!status) status = qv__record_int(r, "max_frames", 1, 100000, &frames);
    if (!status) status = qv__record_int(r, "max_length", 1, 1 << 30, &input->max_length);
    input->max_frames = (int)frames;
    return status;
}

/* ---- parts ---- */

typedef struct {
    qv__record *record;
    const char *name;
    qv_part *parts;
    size_t count;
} part_list;

static qv_status string_part(const part_list *l, const json_t *value, qv_part_kind kind, qv_part *out) {
    if (!json_is_string(value)) return wrong_kind(l->record, l->name, "a string or a list of strings", value);
    *out = (qv_part){.kind = kind, .data = json_string_value(value), .size = json_string_length(value)};
    return kind == QV_PART_TEXT ? QV_OK : check_no_nul(l->record, l->name, value);
}

static qv_status frames_part(const part_list *l, const json_t *list, qv_part *out) {
    size_t count = json_array_size(list);
    qv_part *frames = qv__arena_alloc(&l->record->arena, count, sizeof *frames);
    if (!frames) return qv__fail(l->record->err, QV_NO_MEMORY, "out of memory for %zu frames", count);
    for (size_t i = 0; i < count; i++) {
        qv_status status = string_part(l, json_array_get(list, i), QV_PART_IMAGE_FILE, &frames[i]);
        if (status) return status;
    }
    *out = (qv_part){.kind = QV_PART_VIDEO_FRAMES, .data = frames, .size = count};
    return QV_OK;
}

static size_t length_of(const json_t *value) {
    return json_is_array(value) ? json_array_size(value) : value && !json_is_null(value);
}

/* A list of strings under "video" is one video; a list that begins with a list is several. */
static bool is_one_video(const json_t *value) {
    return json_is_array(value) && json_is_string(json_array_get(value, 0));
}

static qv_status add_videos(part_list *l, const json_t *value) {
    size_t n = is_one_video(value) ? 1 : length_of(value);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(value) && !is_one_video(value) ? json_array_get(value, i) : value;
        qv_part *part = &l->parts[l->count++];
        qv_status status =
            json_is_array(one) ? frames_part(l, one, part) : string_part(l, one, QV_PART_VIDEO_FILE, part);
        if (status) return status;
    }
    return QV_OK;
}

static qv_status add_strings(part_list *l, const json_t *value, qv_part_kind kind) {
    for (size_t i = 0, n = length_of(value); i < n; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        qv_status status = string_part(l, one, kind, &l->parts[l->count++]);
        if (status) return status;
    }
    return QV_OK;
}

qv_status qv__record_parts(qv__record *r, const json_t *object, const char *name, qv_input *input) {
    const json_t *text = json_object_get(object, "text"), *image = json_object_get(object, "image"),
                 *video = json_object_get(object, "video");
    size_t most = length_of(text) + length_of(image) + length_of(video);
    part_list l = {.record = r, .parts = qv__arena_alloc(&r->arena, most ? most : 1, sizeof(qv_part))};
    if (!l.parts) return qv__fail(r->err, QV_NO_MEMORY, "out of memory for %zu parts", most);
    l.name = "video";
    qv_status status = add_videos(&l, video);
    l.name = "image";
    if (!status) status = add_strings(&l, image, QV_PART_IMAGE_FILE);
    l.name = "text";
    if (!status) status = add_strings(&l, text, QV_PART_TEXT);
    if (status && *name) qv__fail_in(r->err, status, "%s", name);
    input->parts = l.parts;
    input->part_count = l.count;
    return status;
}

qv_status qv__record_side(qv__record *r, const json_t *value, const char *name, qv_input *input) {
    if (json_is_object(value)) {
        qv__record_warn_parts(r, value);
        return qv__record_parts(r, value, name, input);
    }
    if (!json_is_string(value))
        return qv__fail(r->err, QV_INVALID_ARGUMENT, "%s must be a string or an object with text, image or video",
                        name);
    qv_part *part = qv__arena_alloc(&r->arena, 1, sizeof *part);
    if (!part) return qv__fail(r->err, QV_NO_MEMORY, "out of memory for %s", name);
    *part = (qv_part){.kind = QV_PART_TEXT, .data = json_string_value(value), .size = json_string_length(value)};
    input->parts = part;
    input->part_count = 1;
    return QV_OK;
}
