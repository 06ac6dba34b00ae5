#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/console.h"
#include "cli/inputs.h"

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
