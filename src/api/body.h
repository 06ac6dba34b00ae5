/* JSON coming in. jansson parses; around it: strict UTF-8, no key twice, a bound on the memory that a small body
 * can blow up to, and readers for fields that name the field and what it may be. */
#ifndef QVEC_API_BODY_H
#define QVEC_API_BODY_H

#include <jansson.h>

#include "api/limits.h"
#include "api/refusal.h"

/* Lets jansson allocate through base/memory.h and count against the parse under way. Once per process. */
void qv__body_setup(void);

typedef struct {
    json_t *root;
    size_t cost; /* bytes of memory, given back by qv__body_clear */
} qv__body;

/* Parses a body whose root must be an object. Refusals say at which byte. limits NULL: the defaults. */
qv_status qv__body_parse(const char *body, size_t size, const qv__limits *limits, qv__body *out, qv__refusal *r);
void qv__body_clear(qv__body *body);

/* Fields: absent and null leave *out as it is. A wrong type or value is refused with the field's name. */
qv_status qv__field_bool(const json_t *object, const char *name, bool *out, qv__refusal *r);
qv_status qv__field_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out, qv__refusal *r);
qv_status qv__field_number(const json_t *object, const char *name, double min, double max, double *out, qv__refusal *r);
/* Text without NUL; *out points into the object. */
qv_status qv__field_text(const json_t *object, const char *name, const char **out, qv__refusal *r);
/* How many values of a vector of `full` are wanted. */
qv_status qv__field_dimensions(const json_t *object, const char *name, int64_t full, int *out, qv__refusal *r);
/* One of `choices` (NULL at the end): its index. */
qv_status qv__field_choice(const json_t *object, const char *name, const char *const *choices, int *out,
                           qv__refusal *r);

/* Members that no reader asked for are ignored, but not in silence: on this thread, between watch and unread (or
 * another watch), the readers note what they ask `object` for. NULL: nothing is noted. */
void qv__fields_watch(const json_t *object);
/* Ends the watch. The other members' names as "a,b", fit for a log: of a few, each cut short and without any but plain
 * characters. Gives their number. */
size_t qv__fields_unread(char *out, size_t size);

/* json_object_get, NULL for null too. */
const json_t *qv__field(const json_t *object, const char *name);
/* "a string", "a list", … for messages. */
const char *qv__json_kind(const json_t *value);
#endif
