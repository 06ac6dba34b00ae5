#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/console.h"
#include "cli/inputs.h"

#define AT(field) offsetof(qv__output_flags, field)

#define COMMON_ROWS                                                                                                    \
    QV__ROW("output", TEXT, AT(path), "FILE", "Where answers go. Default: stdout."),                                   \
        QV__ROW("resume", SWITCH, AT(resume), NULL,                                                                    \
                "Keep the answers that --output has already, skip their ids, cut a torn last line."),                  \
        QV__ROW("no-progress", SWITCH, AT(no_progress), NULL, "No progress line on a terminal.")

const qv__option qv__matrix_rows[QV__OUTPUT_ROWS] = {
    COMMON_ROWS,
    QV__ROW("format", CHOICE, AT(format), "FORMAT",
            "jsonl; json: one list; npy, bin: a float32 matrix, failed items as rows of NaN. Default: jsonl.",
            .choices = "jsonl|json|npy|bin"),
};

const qv__option qv__output_rows[QV__OUTPUT_ROWS] = {
    COMMON_ROWS,
    QV__ROW("format", CHOICE, AT(format), "FORMAT", "jsonl, or json: one list. Default: jsonl.",
            .choices = "jsonl|json"),
};

bool qv__output_flags_check(const qv__output_flags *flags) {
    if (flags->resume && !flags->path)
        qv__complain("--resume needs --output FILE");
    else if (flags->resume && strcmp(flags->format, "jsonl"))
        qv__complain("--resume needs --format jsonl");
    else
        return true;
    return false;
}

bool qv__answered_read(const qv__output_flags *flags, qv__id_set *answered) {
    qv_error err = {0};
    if (!flags->resume || !qv__id_set_read(answered, flags->path, &err)) return true;
    qv__complain("%s", err.message);
    return false;
}

/* What went wrong, in a line or two; each failed item also has a line of its own in the answers. */
static void report(const qv__stream_totals *totals) {
    if (!totals->failed) return;
    qv__complain("%lld of %lld items failed; the first, on line %lld: %s", (long long)totals->failed,
                 (long long)totals->answers, (long long)totals->first_line, totals->first_error.message);
}

/* Helpers may still wait for input and the engine may be in the middle of a batch: the system takes it all back. */
_Noreturn static void leave(int status) {
    fflush(stdout);
    _exit(status);
}

static _Noreturn void leave_early(qv_status status, qv__output *output, const qv__output_flags *flags,
                                  const qv__stream_totals *totals, qv_error *err) {
    qv_error ignored;
    if (status != QV_CANCELLED) {
        qv__complain("%s", err->message);
        leave(QV__EXIT_FAILED);
    }
    if (qv__output_close(output, &ignored)) qv__complain("%s", ignored.message);
    qv__complain("interrupted after %lld answers%s", (long long)totals->answers,
                 flags->path ? "; --resume goes on from there" : "");
    leave(QV__EXIT_INTERRUPTED);
}

int qv__run_items(qv__input_flags *inputs, const qv__output_flags *flags, int helpers, int64_t columns,
                  const qv__stream_steps *steps, const char *noun) {
    qv__lines lines;
    qv__output output = {.fd = -1};
    qv__progress progress;
    qv__stream_totals totals = {0};
    qv_error err = {0}, closing = {0};
    qv__format format = qv__format_parse(flags->format ? flags->format : "jsonl");
    qv_status status = qv__inputs_open(inputs, &lines, &err);
    if (!status) status = qv__output_open(&output, flags->path, format, columns, flags->resume, &err);
    bool opened = !status;
    qv__interrupts_note();
    qv__progress_start(&progress, !flags->no_progress);
    if (opened) status = qv__stream_run(&lines, helpers, steps, &output, &progress, &totals, &err);
    qv__progress_end(&progress, noun);
    if (opened && status && (status == QV_CANCELLED || !totals.input_failed))
        leave_early(status, &output, flags, &totals, &err);
    if (status) qv__complain("%s", err.message);
    if (qv__output_close(&output, &closing)) qv__complain("%s", closing.message), status = QV_IO;
    qv__lines_close(&lines);
    report(&totals);
    if (!opened) return QV__EXIT_USAGE;
    return status || totals.failed ? QV__EXIT_FAILED : QV__EXIT_DONE;
}
