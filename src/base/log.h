/* Log lines go to a sink that the program installs; the library itself prints nothing. Thread-safe. */
#ifndef QVEC_BASE_LOG_H
#define QVEC_BASE_LOG_H

typedef enum { QV__LOG_ERROR, QV__LOG_WARN, QV__LOG_INFO, QV__LOG_DEBUG } qv__log_level;

typedef void (*qv__log_sink)(qv__log_level level, const char *line); /* one line, no newline; any thread */

void qv__log_set_sink(qv__log_sink sink, qv__log_level most_verbose); /* NULL: silent (the default) */
__attribute__((format(printf, 2, 3))) void qv__log(qv__log_level level, const char *format, ...);
#endif
