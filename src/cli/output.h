/* Where answers go: stdout or a file, in one of four forms. What is written ends with a whole answer at every flush. */
#ifndef QVEC_CLI_OUTPUT_H
#define QVEC_CLI_OUTPUT_H

#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"

typedef enum {
    QV__FORMAT_JSONL,
    QV__FORMAT_JSON, /* one list */
    QV__FORMAT_NPY,  /* float32 matrix; a failed item is a row of NaN */
    QV__FORMAT_BIN,  /* the same without a header, little-endian */
} qv__format;

typedef struct {
    int fd;
    bool owned;
    const char *name; /* "stdout" or the path */
    qv__format format;
    int64_t answers;
    int64_t columns; /* of npy and bin */
    FILE *spool;     /* npy into a pipe: rows wait here for their number */
    qv__buffer pending;
} qv__output;

qv__format qv__format_parse(const char *name); /* one of "jsonl", "json", "npy", "bin" */

/* path NULL: stdout. resume: keep a file's whole lines, cut a torn last one, and go on behind them. */
qv_status qv__output_open(qv__output *output, const char *path, qv__format format, int64_t columns, bool resume,
                          qv_error *err);
/* One JSON text without its newline. */
qv_status qv__output_json(qv__output *output, const char *text, size_t size, qv_error *err);
/* values[columns]; NULL: a row of NaN. */
qv_status qv__output_row(qv__output *output, const float *values, qv_error *err);
qv_status qv__output_flush(qv__output *output, qv_error *err);
/* Writes what is left, the end of a list, the number of rows; closes. Safe after a failure. */
qv_status qv__output_close(qv__output *output, qv_error *err);

/* ---- resuming ---- */

/* The ids of a file of answers, as digests: 16 bytes each. */
typedef struct {
    uint64_t (*slots)[2]; /* [capacity], {0, 0}: free */
    size_t count, capacity;
} qv__id_set;
qv_status qv__id_set_read(qv__id_set *set, const char *path, qv_error *err); /* an absent file: none */
bool qv__id_set_has(const qv__id_set *set, const char *id, size_t size);     /* id: as written in JSON */
void qv__id_set_clear(qv__id_set *set);
#endif
