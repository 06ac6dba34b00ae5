/* HTTP meaning without HTTP bytes: one table from (method, path) to handler. http/ brings complete requests,
 * tests bring them without a socket. */
#ifndef QVEC_API_API_H
#define QVEC_API_API_H

#include "base/memory.h"
#include "lib/session.h"

typedef struct qv__api qv__api;

typedef struct {
    qv_model *model;
    const char *const *served_names; /* first is answered; owned by the caller until close */
    int served_name_count;
    const char *const *api_keys;     /* none: open */
    int api_key_count;
    int64_t max_inputs;              /* per request; 0: 2048 */
    int64_t max_body_bytes;          /* told in errors; enforced by http/ */
    int workers;                     /* threads that parse and prepare; 0: default */
} qv__api_options;

typedef struct qv__request qv__request;
typedef struct qv__response qv__response;

/* A complete request. Strings live until `respond` returns. */
struct qv__request {
    const char *method, *path, *query;   /* path without query string */
    const char *content_type, *authorization, *request_id, *accept; /* NULL when absent */
    const char *body;
    size_t body_size;
    uint64_t client;                     /* fairness key */
    _Atomic bool gone;                   /* set by http/ when the client hangs up */
    /* Called exactly once, from any thread; takes what it needs from the response before it returns. */
    void (*respond)(qv__request *request, qv__response *response);
    void *user;
};

struct qv__response {
    int status;
    const char *content_type;            /* static string */
    const char *header_name[4], *header_value[4]; /* copied by respond; unused ones NULL */
    qv__buffer body;                     /* respond takes ownership of body.data */
};

qv_status qv__api_open(const qv__api_options *options, qv__api **out, qv_error *err);
/* Refuses new work (QV_SHUTTING_DOWN), waits for what is in flight. */
void qv__api_close(qv__api **api);

/* Handles on a worker thread; returns at once. Light routes (health, models) may respond before returning. */
void qv__api_handle(qv__api *api, qv__request *request);

/* Whether `path` exists and takes `method`: 200, 404 or 405; lets http/ answer before it reads a body. */
int qv__api_route_status(const qv__api *api, const char *method, const char *path);
#endif
