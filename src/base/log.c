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

void qv__log(qv__log_level level, const char *format, ...) {
    qv__log_sink sink = current_sink;
    if (!sink || (int)level > current_level) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sink(level, line);
}
