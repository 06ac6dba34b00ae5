#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic(qv__log_sink) current_sink;
static _Atomic int current_level;

void qv__log_set_sink(qv__log_sink sink, qv__log_level most_verbose) {
    current_level = (int)most_verbose;
    current_sink = sink;
}

bool qv__log_wants(qv__log_level level) {
    return current_sink && (int)level <= current_level;
}

void qv__log(qv__log_level level, const char *format, ...) {
    if (!qv__log_wants(level)) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    qv__log_fields(level, line, NULL, 0);
}

void qv__log_fields(qv__log_level level, const char *message, const qv__log_field *fields, size_t count) {
    qv__log_sink sink = current_sink;
    if (sink && (int)level <= current_level)
        sink(&(qv__log_entry){.level = level, .message = message, .fields = fields, .field_count = count});
}

/* ---- as text ---- */

static size_t append(char *out, size_t size, size_t used, const char *text) {
    for (; *text && used + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;
        out[used++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    out[used] = 0;
    return used;
}

size_t qv__log_text(const qv__log_entry *entry, char *out, size_t size) {
    size_t used = append(out, size, 0, entry->message);
    for (size_t i = 0; i < entry->field_count; i++) {
        const qv__log_field *f = &entry->fields[i];
        char number[40];
        if (!f->text) snprintf(number, sizeof number, "%.*f", f->decimals, f->number);
        used = append(out, size, used, " ");
        if (!f->bare) used = append(out, size, append(out, size, used, f->name), "=");
        used = append(out, size, used, f->text ? f->text : number);
    }
    return used;
}
