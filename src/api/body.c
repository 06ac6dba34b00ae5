#include "api/body.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* jansson needs about 40 bytes for the two of "0,": without a bound a body of 64 MiB of them would take 2 GB. A parse
 * may allocate (freed or not) 12 bytes per byte of body, which is enough for every list of token ids with more than two
 * digits (texts need 4), but no more than 6 per byte of the largest body; and all bodies that are alive together have a
 * bound too, which is that of their bytes. */
enum { BYTES_PER_BYTE = 12, MOST_PER_BYTE = 6 };
static const int64_t small_body = 4 << 20, least_total = 64 << 20, trim_above = 32 << 20;

static atomic_llong total;
/* of the parse under way on this thread */
static _Thread_local size_t room = SIZE_MAX;
static _Thread_local bool exhausted, out_of_memory;

static void *counted_malloc(size_t size) {
    if (room != SIZE_MAX) {
        size_t chunk = size < 24 ? 32 : size + 8; /* as malloc rounds up */
        if (chunk > room) return exhausted = true, NULL;
        room -= chunk;
    }
    void *block = qv__malloc(size);
    if (!block) out_of_memory = true;
    return block;
}

static void set_allocator(void) {
    json_set_alloc_funcs(counted_malloc, qv__free);
}

void qv__body_setup(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_allocator);
}

void qv__body_clear(qv__body *body) {
    json_decref(body->root);
    atomic_fetch_sub(&total, (long long)body->cost);
    if (body->cost > (size_t)trim_above)
        malloc_trim(0); /* else each worker's heap would keep its largest body for ever */
    *body = (qv__body){0};
}

typedef struct {
    int64_t body, total; /* bytes of memory that one parse may take, and all */
} budget;

static int64_t at_most(int64_t value, int64_t most) {
    return value < most ? value : most;
}

static budget budget_of(size_t size, const qv__limits *limits) {
    qv__limits initial;
    if (!limits) qv__limits_default(&initial);
    const qv__limits *l = limits ? limits : &initial;
    budget b = {.total = l->total_body_bytes > least_total ? l->total_body_bytes : least_total};
    int64_t most = l->body_bytes * MOST_PER_BYTE > small_body ? l->body_bytes * MOST_PER_BYTE : small_body;
    b.body = at_most(at_most((int64_t)size * BYTES_PER_BYTE + small_body, most), b.total);
    return b;
}

static qv_status refuse_parse(const json_error_t *error, const budget *b, qv__refusal *r) {
    if (exhausted)
        return qv__refuse(r, QV_TOO_LARGE, NULL,
                          "The body's JSON has too many values: it would take more than %lld MiB of memory, which is "
                          "%d times its size and 4 MiB, at most %d times --max-body.",
                          (long long)b->body >> 20, BYTES_PER_BYTE, MOST_PER_BYTE);
    if (out_of_memory) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    return qv__refuse_field(r, NULL, "The body is not valid JSON: line %d, column %d (byte %d): %s", error->line,
                            error->column, error->position, error->text);
}

qv_status qv__body_parse(const char *body, size_t size, const qv__limits *limits, qv__body *out, qv__refusal *r) {
    *out = (qv__body){0};
    size_t valid = qv__utf8_valid_prefix(body, size);
    if (valid < size) return qv__refuse_field(r, NULL, "The body is not valid UTF-8 at byte %zu.", valid);
    if (size == 0) return qv__refuse_field(r, NULL, "The body is empty; a JSON object is expected.");
    budget b = budget_of(size, limits);
    out->cost = (size_t)b.body;
    if (atomic_fetch_add(&total, b.body) + b.body > b.total) {
        qv__body_clear(out);
        return qv__refuse(r, QV_OVERLOADED, NULL,
                          "The JSON of requests takes all %lld bytes that are set aside for it (--max-total-body).",
                          (long long)b.total);
    }
    json_error_t error;
    room = (size_t)b.body;
    exhausted = out_of_memory = false;
    out->root = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    size_t unused = room;
    room = SIZE_MAX;
    if (!out->root || exhausted || out_of_memory) { /* jansson may drop a character it has no memory for, and go on */
        qv__body_clear(out);
        return refuse_parse(&error, &b, r);
    }
    out->cost -= unused;
    atomic_fetch_sub(&total, (long long)unused);
    if (json_is_object(out->root)) return QV_OK;
    qv__refuse_field(r, NULL, "The body must be a JSON object, not %s.", qv__json_kind(out->root));
    qv__body_clear(out);
    return QV_INVALID_ARGUMENT;
}

const char *qv__json_kind(const json_t *value) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

/* ---- members that nobody asked for ---- */

enum { WATCHED_MAX = 256, NAME_MAX_TOLD = 40, NAMES_MAX_TOLD = 8 };

static _Thread_local struct {
    const json_t *object;
    const char *names[WATCHED_MAX]; /* literals of the readers */
    size_t count;
} watched;

void qv__fields_watch(const json_t *object) {
    watched.object = object;
    watched.count = 0;
}

static void note_asked(const char *name) {
    if (watched.count < WATCHED_MAX) watched.names[watched.count++] = name;
}

static bool was_asked(const char *name) {
    for (size_t i = 0; i < watched.count; i++)
        if (strcmp(watched.names[i], name) == 0) return true;
    return watched.count == WATCHED_MAX; /* more than was noted: rather say nothing */
}

static bool is_plain_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* ",name", the name cut and cleaned, if it fits. */
static size_t tell_name(char *out, size_t size, size_t used, const char *name) {
    size_t n = strlen(name), kept = n < NAME_MAX_TOLD ? n : NAME_MAX_TOLD;
    if (used + kept + 5 >= size) return used;
    if (used) out[used++] = ',';
    for (size_t i = 0; i < kept; i++) out[used++] = is_plain_character(name[i]) ? name[i] : '?';
    for (size_t i = 0; i < 3 && kept < n; i++) out[used++] = '.';
    out[used] = 0;
    return used;
}

size_t qv__fields_unread(char *out, size_t size) {
    size_t count = 0, used = 0;
    const char *name;
    json_t *value;
    out[0] = 0;
    json_object_foreach((json_t *)(uintptr_t)watched.object, name, value) {
        if (was_asked(name)) continue;
        if (count++ < NAMES_MAX_TOLD) used = tell_name(out, size, used, name);
    }
    qv__fields_watch(NULL);
    return count;
}

/* ---- */

const json_t *qv__field(const json_t *object, const char *name) {
    if (object && object == watched.object) note_asked(name);
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

qv_status qv__field_bool(const json_t *object, const char *name, bool *out, qv__refusal *r) {
    const json_t *value = qv__field(object, name);
    if (!value) return QV_OK;
    if (!json_is_boolean(value))
        return qv__refuse_field(r, name, "%s must be true or false, not %s.", name, qv__json_kind(value));
    *out = json_is_true(value);
    return QV_OK;
}

qv_status qv__field_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out,
                        qv__refusal *r) {
    const json_t *value = qv__field(object, name);
    if (!value) return QV_OK;
    if (!json_is_integer(value))
        return qv__refuse_field(r, name, "%s must be an integer, not %s.", name, qv__json_kind(value));
    int64_t number = json_integer_value(value);
    if (number < min || number > max)
        return qv__refuse_field(r, name, "%s is %lld; it must be from %lld to %lld.", name, (long long)number,
                                (long long)min, (long long)max);
    *out = number;
    return QV_OK;
}

/* Matryoshka training of these models went down to 64 dimensions. */
qv_status qv__field_dimensions(const json_t *object, const char *name, int64_t full, int *out, qv__refusal *r) {
    int64_t number = *out;
    qv_status status = qv__field_int(object, name, full < 64 ? full : 64, full, &number, r);
    *out = (int)number;
    return status;
}

qv_status qv__field_number(const json_t *object, const char *name, double min, double max, double *out,
                           qv__refusal *r) {
    const json_t *value = qv__field(object, name);
    if (!value) return QV_OK;
    if (!json_is_number(value))
        return qv__refuse_field(r, name, "%s must be a number, not %s.", name, qv__json_kind(value));
    double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return qv__refuse_field(r, name, "%s is %g; it must be from %g to %g.", name, number, min, max);
    *out = number;
    return QV_OK;
}

qv_status qv__field_text(const json_t *object, const char *name, const char **out, qv__refusal *r) {
    const json_t *value = qv__field(object, name);
    if (!value) return QV_OK;
    if (!json_is_string(value))
        return qv__refuse_field(r, name, "%s must be a string, not %s.", name, qv__json_kind(value));
    if (strlen(json_string_value(value)) != json_string_length(value))
        return qv__refuse_field(r, name, "%s must not contain the character U+0000.", name);
    *out = json_string_value(value);
    return QV_OK;
}

qv_status qv__field_choice(const json_t *object, const char *name, const char *const *choices, int *out,
                           qv__refusal *r) {
    const char *text = NULL;
    qv_status status = qv__field_text(object, name, &text, r);
    if (status || !text) return status;
    char known[400] = "";
    for (int i = 0; choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) return *out = i, QV_OK;
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s\"%s\"", i ? ", " : "", choices[i]);
    }
    return qv__refuse_field(r, name, "%s is \"%.40s\"; it must be one of %s.", name, text, known);
}
