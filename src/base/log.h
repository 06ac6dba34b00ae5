/* Log lines go to a sink that the program installs; the library itself prints nothing. Thread-safe.
 *
 * A line is a message, or a message with fields: as text "message name=value ...", as JSON one member for each. */
#ifndef QVEC_BASE_LOG_H
#define QVEC_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { QV__LOG_ERROR, QV__LOG_WARN, QV__LOG_INFO, QV__LOG_DEBUG } qv__log_level;

typedef struct {
    const char *name;
    const char *text; /* NULL: the number */
    double number;
    int decimals;
    bool bare; /* as text, without its name */
} qv__log_field;

typedef struct {
    qv__log_level level;
    const char *message; /* one line, no newline */
    const qv__log_field *fields;
    size_t field_count;
} qv__log_entry;

typedef void (*qv__log_sink)(const qv__log_entry *entry); /* any thread */

void qv__log_set_sink(qv__log_sink sink, qv__log_level most_verbose); /* NULL: silent (the default) */
bool qv__log_wants(qv__log_level level);
__attribute__((format(printf, 2, 3))) void qv__log(qv__log_level level, const char *format, ...);
void qv__log_fields(qv__log_level level, const char *message, const qv__log_field *fields, size_t count);

/* The entry as text, cut to `size`; control characters are shown as '?'. Gives the length. */
size_t qv__log_text(const qv__log_entry *entry, char *out, size_t size);
#endif
