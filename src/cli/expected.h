/* FOLDER/expected.json: answers that the reference gave over a checkpoint's own weights, stored beside them. A list of
 * cases: the members of a line of `qvec embed` or `qvec rerank`, and "ids" (the prompt's tokens; a list for each
 * document of a reranker) with "embedding" (of unit length) or "scores". Media are named relative to the folder. */
#ifndef QVEC_CLI_EXPECTED_H
#define QVEC_CLI_EXPECTED_H

#include "cli/record.h"

enum { QV__EXPECTED_MAX = 64 << 20 /* bytes of the file */ };

typedef struct {
    json_t *root;
    size_t count;
} qv__expected;

/* One case, read and checked. */
typedef struct {
    const char *name;
    qv_input input;      /* what is embedded, or the query */
    qv_input *documents; /* [document_count]; count 0: an embedding */
    size_t document_count;
    double *values; /* the vector [value_count], or the documents' scores */
    size_t value_count;
    int64_t *tokens;   /* of the input's or each document's prompt */
    qv__record record; /* owns what the others point to */
} qv__expected_case;

/* QV_NOT_FOUND: the folder has no such file. Close also after a failure. */
qv_status qv__expected_open(const char *folder, qv__expected *out, qv_error *err);
qv_status qv__expected_parse(const char *text, size_t size, qv__expected *out, qv_error *err);
void qv__expected_close(qv__expected *expected);

/* Clear also after a failure. */
qv_status qv__expected_read(const qv__expected *expected, size_t i, qv__expected_case *out, qv_error *err);
void qv__expected_clear(qv__expected_case *c);

/* How far the model's answers are from those stored. */
typedef struct {
    size_t cases;
    double distance;   /* the largest 1 - cosine, or difference of scores */
    const char *worst; /* the case's name, the expected's memory */
} qv__expected_result;

/* Runs all cases. The model must have been opened with the folder as its media_root. A prompt of another number of
 * tokens is a failure. */
qv_status qv__expected_compare(const qv__expected *expected, qv_model *model, qv__expected_result *out, qv_error *err);
#endif
