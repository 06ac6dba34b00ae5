/* HTTP/1.1 answers, byte by byte as they come: what a benchmark needs of them, from servers of any make. The bytes are
 * not trusted: heads, chunks and bodies have limits. */
#ifndef QVEC_BENCH_ANSWER_H
#define QVEC_BENCH_ANSWER_H

#include "base/memory.h"
#include "qvec/qvec.h"

enum {
    QV__ANSWER_LINE_MAX = 64 * 1024, /* bytes of one line of the head */
    QV__ANSWER_HEADERS_MAX = 256,
    QV__ANSWER_BODY_MAX = 256 * 1024 * 1024,
};

typedef enum {
    QV__ANSWER_STATUS_LINE,
    QV__ANSWER_HEADER,
    QV__ANSWER_LENGTH, /* a body of `left` bytes */
    QV__ANSWER_CHUNK_SIZE,
    QV__ANSWER_CHUNK,
    QV__ANSWER_CHUNK_END, /* the line end behind a chunk */
    QV__ANSWER_TRAILER,
    QV__ANSWER_UNTIL_CLOSE,
    QV__ANSWER_DONE,
} qv__answer_state;

/* Zero-initialise, then qv__answer_start before each answer. */
typedef struct {
    qv__answer_state state;
    int status;
    char reason[64];
    bool keep_alive; /* the connection can take another request */
    bool binary;     /* application/octet-stream */
    qv__buffer body; /* keeps its memory between answers */

    qv__buffer line;
    int headers;
    bool chunked, has_length, http_1_0;
    uint64_t left; /* of the body or chunk */
    bool begun;    /* some byte of the answer is here */
} qv__answer;

void qv__answer_start(qv__answer *r);
/* Takes bytes; *used: how many belong to this answer. After a failure the connection is of no more use. QV_IO. */
qv_status qv__answer_feed(qv__answer *r, const char *data, size_t size, size_t *used, qv_error *err);
/* The server has closed the connection: the end of some answers, the failure of others. */
qv_status qv__answer_end(qv__answer *r, qv_error *err);
void qv__answer_clear(qv__answer *r);

/* Reads a JSON answer of any of the routes: *tokens is usage.prompt_tokens (usage.total_tokens where there is no such
 * field), -1 when the answer does not say. An answer that is not one whole JSON object or array is refused; what lies
 * inside it is skipped by its brackets and strings. */
qv_status qv__answer_tokens(const char *body, size_t size, int64_t *tokens, qv_error *err);
#endif
