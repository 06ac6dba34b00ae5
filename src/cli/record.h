/* One line of JSON Lines as an object: the members that the program knows, read and checked, and all the others,
 * carried to the answer as they were written. */
#ifndef QVEC_CLI_RECORD_H
#define QVEC_CLI_RECORD_H

#include <jansson.h>

#include "base/memory.h"
#include "cli/lines.h"
#include "cli/output.h"

/* A piece of the line's text. */
typedef struct {
    const char *text;
    size_t size;
} qv__slice;

typedef struct {
    qv__slice key, value; /* key with its quotes */
} qv__member;

typedef struct {
    const char *text; /* the line; outlives the record */
    int64_t number, line;
    json_t *root;
    qv__slice id;        /* as written; empty: none, the answer gets the item's number */
    qv__member *carried; /* [carried_count], in the line's order */
    size_t carried_count;
    qv__arena arena; /* owns the lists below a record */
    qv_error *err;   /* where failures go */
} qv__record;

/* What a command knows: names of members, and names of its answers' members (which win over carried ones). */
typedef struct {
    const char *const *fields;  /* NULL-terminated */
    const char *const *answers; /* NULL-terminated */
} qv__record_names;

/* Parses and splits a line. Clear the record also after a failure. */
qv_status qv__record_open(qv__record *record, const qv__line *line, const qv__record_names *names, qv_error *err);
void qv__record_clear(qv__record *record);

/* `{"id":…, carried…` of an answer; the caller adds `, "name":…` and the closing brace. */
void qv__record_write_head(const qv__record *record, qv__buffer *out);
/* A whole answer of a failed item. */
void qv__record_write_error(const qv__record *record, const qv_error *error, qv__buffer *out);
/* {"code":"…","message":"…"} */
void qv__write_error(const qv_error *error, qv__buffer *out);

/* Whether the record's id (or number, when it has none) is in the set. */
bool qv__record_is_in(const qv__record *record, const qv__id_set *set);
/* Warns, once, of members of a query or document that look like a typing error. */
void qv__record_warn_parts(const qv__record *record, const json_t *object);

/* Members; absent or null: *out stays. The error names the member. Numbers may be written as 3 or 3.0. */
qv_status qv__record_int(const qv__record *r, const char *name, int64_t min, int64_t max, int64_t *out);
qv_status qv__record_number(const qv__record *r, const char *name, double min, double max, double *out);
qv_status qv__record_bool(const qv__record *r, const char *name, bool *out);
qv_status qv__record_text(const qv__record *r, const char *name, const char **out);
qv_status qv__record_prompt(const qv__record *r, qv_prompt *out);

/* text, image and video of an object (the line's own or one below it) as the parts of `input`, videos first, then
 * pictures, then texts, as the reference orders them. `name` stands in messages. */
qv_status qv__record_parts(qv__record *r, const json_t *object, const char *name, qv_input *input);
/* A query or document: a string, or an object with parts. */
qv_status qv__record_side(qv__record *r, const json_t *value, const char *name, qv_input *input);
/* instruction, min_pixels, max_pixels, apply_orientation, fps, max_frames, max_length. */
qv_status qv__record_wishes(const qv__record *r, qv_input *input);

/* Walks the members of the object in text[0..size), which may be anything: false when it is not an object in form.
 * `each` gives false to stop; then so does this. */
bool qv__scan_members(const char *text, size_t size, bool (*each)(void *context, const qv__member *member),
                      void *context);
#endif
