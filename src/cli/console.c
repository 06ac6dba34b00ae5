#include "cli/console.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

static const char *command;
static volatile sig_atomic_t interrupted, hung_up;
static sem_t interruption;
static atomic_bool line_drawn;

void qv__console_set_command(const char *name) {
    command = name;
}

void qv__console_set_line(bool drawn) {
    line_drawn = drawn;
}

/* One write for a line, so that lines of several threads do not mix. */
static void say(const char *head, const char *format, va_list args) {
    char line[2048];
    int n = qv__text_print(line, sizeof line, "%sqvec%s%s: %s", line_drawn ? "\r\033[K" : "", command ? " " : "",
                           command ? command : "", head);
    vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    strcat(line, "\n");
    fputs(line, stderr);
}

void qv__complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

void qv__warn(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("warning: ", format, args);
    va_end(args);
}

int qv__text_print(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, size, format, args);
    va_end(args);
    return n < 0 ? 0 : (size_t)n < size ? n : (int)size - 1;
}

static void note(int signal_number) {
    if (interrupted) _exit(QV__EXIT_INTERRUPTED);
    interrupted = 1;
    sem_post(&interruption);
}

void qv__interrupts_note(void) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sem_init(&interruption, 0, 0);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void note_hangup(int signal_number) {
    hung_up = 1;
    sem_post(&interruption);
}

void qv__hangups_note(void) {
    struct sigaction action = {.sa_handler = note_hangup, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
}

bool qv__hangups_take(void) {
    bool came = hung_up;
    hung_up = 0;
    return came;
}

bool qv__is_interrupted(void) {
    return interrupted;
}

bool qv__interrupts_wait(int64_t most_ns) {
    int64_t end = qv__now_ns() + most_ns;
    struct timespec at = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
    while (!interrupted && !hung_up && (!most_ns || qv__now_ns() < end)) { /* waiting ends early on other signals */
        if (most_ns)
            sem_clockwait(&interruption, CLOCK_MONOTONIC, &at);
        else
            sem_wait(&interruption);
    }
    return interrupted;
}

/* ---- the log ---- */

static const char *level_name(qv__log_level level) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return names[level];
}

static void print_time(char *out, size_t size) {
    struct timespec now;
    struct tm t;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &t);
    qv__text_print(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                   t.tm_hour, t.tm_min, t.tm_sec, now.tv_nsec / 1000000);
}

static void log_text(const qv__log_entry *entry) {
    char now[64], line[1200], out[1400];
    print_time(now, sizeof now);
    qv__log_text(entry, line, sizeof line);
    qv__text_print(out, sizeof out, "%s %s %s\n", now, level_name(entry->level), line);
    fputs(out, stderr);
}

/* Appends a JSON string, cut to what fits; gives the new length. */
static size_t put_string(char *out, size_t size, size_t n, const char *text) {
    out[n++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 8 < size; p++) {
        if (*p == '"' || *p == '\\')
            out[n++] = '\\', out[n++] = (char)*p;
        else if (*p < 0x20)
            n += (size_t)qv__text_print(out + n, size - n, "\\u%04x", *p);
        else
            out[n++] = (char)*p;
    }
    out[n++] = '"';
    return n;
}

static void log_json(const qv__log_entry *entry) {
    enum { FIELD_MAX = 200 /* bytes of a field's name and number, and what ends the line */ };
    char now[64], out[8 * 1024];
    print_time(now, sizeof now);
    size_t size = sizeof out - FIELD_MAX;
    size_t n = (size_t)qv__text_print(out, size, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", now,
                                      level_name(entry->level));
    n = put_string(out, size, n, entry->message);
    for (size_t i = 0; i < entry->field_count && n < size; i++) {
        const qv__log_field *f = &entry->fields[i];
        n += (size_t)qv__text_print(out + n, FIELD_MAX / 2, ",\"%s\":", f->name);
        if (f->text)
            n = put_string(out, sizeof out - 4, n, f->text);
        else
            n += (size_t)qv__text_print(out + n, FIELD_MAX / 2, "%.*f", f->decimals, f->number);
    }
    memcpy(out + n, "}\n", 3);
    fputs(out, stderr);
}

void qv__console_log(qv__log_level most_verbose, bool json) {
    qv__log_set_sink(json ? log_json : log_text, most_verbose);
}
