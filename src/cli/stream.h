/* Items through the program with bounded memory: lines are read and prepared on helper threads, computed wherever the
 * command sends them, and written by the calling thread in the lines' order, as soon as they are finished.
 *
 *   helper: read a line -> prepare (parse, decode, tokenise, submit)      engine: compute -> release
 *   caller:                                                               write, drop, in order
 *
 * At most QV__STREAM_WINDOW entries are under way, and no new line is read while those hold more than
 * QV__STREAM_BYTES: a line is never refused for that, only later. */
#ifndef QVEC_CLI_STREAM_H
#define QVEC_CLI_STREAM_H

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record.h"

enum { QV__STREAM_WINDOW = 1024, QV__STREAM_BYTES = 256 << 20 };

typedef struct qv__stream qv__stream;

/* One line on its way. It belongs to the helper that prepares it, then to whoever holds it, then to the writer. */
typedef struct {
    qv__stream *stream;
    qv__line line;
    qv__record record;
    qv_status status; /* not OK: the item failed, and error says why */
    qv_error error;
    bool skip;      /* no answer is written */
    void *data;     /* the command's, made by prepare and freed by drop */
    int64_t tokens; /* for the progress line; set by write */
    bool partial;   /* a part of it failed; set by write */
    size_t bytes;   /* counted against QV__STREAM_BYTES: the line, and what prepare adds */
    size_t holds;   /* the stream's own, under its lock */
} qv__entry;

typedef struct {
    qv__record_names names;
    /* On a helper: from entry->record, which is open, to data. On failure data may be there too. */
    qv_status (*prepare)(void *user, qv__entry *entry, qv_error *err);
    /* On the caller's thread, in order, for finished and failed entries: adds the answer to the output. */
    qv_status (*write)(void *user, qv__entry *entry, qv__output *output, qv_error *err);
    void (*drop)(qv__entry *entry); /* frees data; NULL: nothing to free */
    void *user;
} qv__stream_steps;

typedef struct {
    int64_t answers, failed, skipped;
    qv_error first_error; /* of the first failed item, and its line */
    int64_t first_line;
    bool input_failed; /* reading ended with the status that run returned; all before it was answered */
} qv__stream_totals;

/* Runs until the input ends. Else returns early, with what was finished written: QV_CANCELLED when the program is
 * interrupted, or the output's failure. Then the program must leave without tidying: helpers may still wait for input.
 * helpers >= 1. */
qv_status qv__stream_run(qv__lines *lines, int helpers, const qv__stream_steps *steps, qv__output *output,
                         qv__progress *progress, qv__stream_totals *totals, qv_error *err);

/* An entry is written when nobody holds it: `count` more holds, to be released one by one from any thread. */
void qv__entry_hold(qv__entry *entry, size_t count);
void qv__entry_release(qv__entry *entry);
bool qv__entry_is_stopping(qv__entry *entry); /* the stream returns early: give up waiting */
#endif
