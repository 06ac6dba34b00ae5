/* What the program says beside its results, on stderr, and how it is interrupted. */
#ifndef QVEC_CLI_CONSOLE_H
#define QVEC_CLI_CONSOLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

/* Exit statuses. */
enum { QV__EXIT_DONE = 0, QV__EXIT_FAILED = 1, QV__EXIT_USAGE = 2, QV__EXIT_MODEL = 3, QV__EXIT_INTERRUPTED = 130 };

/* The command's name for the head of every line; set once, before threads. */
void qv__console_set_command(const char *name);

/* One line "qvec embed: ..." on stderr. */
__attribute__((format(printf, 1, 2))) void qv__complain(const char *format, ...);
/* The same with "warning: ". */
__attribute__((format(printf, 1, 2))) void qv__warn(const char *format, ...);

/* Whether a progress line stands on the terminal: messages take its place, and it is drawn again below them. */
void qv__console_set_line(bool drawn);

/* snprintf, but gives what was written, not what would have been. */
__attribute__((format(printf, 3, 4))) int qv__text_print(char *out, size_t size, const char *format, ...);

/* SIGINT and SIGTERM are noted from here on; the second one ends the program at once, with status 130. */
void qv__interrupts_note(void);
bool qv__is_interrupted(void);
/* Until the first one, or a hang-up, but not longer than this (0: for ever); whether it came. */
bool qv__interrupts_wait(int64_t most_ns);
/* SIGHUP is noted from here on, instead of ending the program; whether one came since the last call. */
void qv__hangups_note(void);
bool qv__hangups_take(void);

/* Log lines of the library go to stderr, as text or as one JSON object a line. */
void qv__console_log(qv__log_level most_verbose, bool json);
#endif
