/* An embedding or rerank server of any make, spoken to over HTTP: what `qvec verify --against` compares with. */
#ifndef QVEC_CLI_REMOTE_H
#define QVEC_CLI_REMOTE_H

#include <curl/curl.h>
#include <jansson.h>

#include "qvec/qvec.h"

typedef struct {
    const char *url;     /* "http://host:8000", ".../v1", or the whole address of the route */
    const char *model;   /* what to ask for; NULL: the first that /v1/models names, or nothing */
    const char *api_key; /* NULL: none */
    long timeout_s;      /* of one request */
    const char *ca_file; /* https: PEM of the roots that are trusted; NULL: the system's */
    bool insecure;       /* https: any certificate is taken */
} qv__remote_options;

typedef struct {
    CURL *easy;
    struct curl_slist *headers;
    char *base;                    /* up to and with "/v1"; owned */
    char *route;                   /* the whole address that requests go to; owned */
    char *model;                   /* NULL: not said; owned */
    long code;                     /* the last answer's HTTP status; 0: none came */
    bool texts;                    /* rerank: the server wants TEI's form of requests */
    char failure[CURL_ERROR_SIZE]; /* libcurl writes here, so an open remote stays where it is */
} qv__remote;

/* Rows of numbers in the inputs' order: by the answer's own index, or as they came where it tells none. */
typedef struct {
    float *values; /* [rows][columns], owned */
    size_t rows, columns;
} qv__matrix;
void qv__matrix_clear(qv__matrix *m);

/* kind: "embeddings" or "rerank", the end of the route. Asks for the models' names, which may fail without harm.
 * Close the remote also after a failure. */
qv_status qv__remote_open(const qv__remote_options *options, const char *kind, qv__remote *out, qv_error *err);
void qv__remote_close(qv__remote *remote);

/* Sends {"model": …, **body} and reads the "data": vectors of one size. Steals body. Errors are told as the server told
 * them: QV_IO for no answer or a status other than 200, QV_INVALID_JSON for an answer that is not what it should be. */
qv_status qv__remote_embed(qv__remote *remote, json_t *body, qv__matrix *out, qv_error *err);
/* Scores in the documents' order. A server that refuses "documents" is asked once more in the form of TEI: "texts", to
 * /rerank where /v1/rerank is not found; what it takes is kept for the requests that follow. */
qv_status qv__remote_rerank(qv__remote *remote, const char *query, const char *const *documents, size_t count,
                            double *scores, qv_error *err);

/* Reads an answer's vectors or scores; pure, for tests and the fuzzer. text[size] need not end in a NUL. */
qv_status qv__remote_read_vectors(const char *text, size_t size, qv__matrix *out, qv_error *err);
qv_status qv__remote_read_scores(const char *text, size_t size, size_t count, double *scores, qv_error *err);
#endif
