/* HTTP meaning without HTTP bytes: one table from (method, path) to handler. http/ brings complete requests,
 * tests bring them without a socket. */
#ifndef QVEC_API_API_H
#define QVEC_API_API_H

#include "api/limits.h"
#include "base/memory.h"
#include "fetch/fetch.h"
#include "lib/session.h"

typedef struct qv__api qv__api;

typedef struct {
    qv_model *model;
    const char *const *served_names; /* first is answered; owned by the caller until close */
    int served_name_count;
    const char *const *api_keys; /* none: open */
    int api_key_count;
    qv__limits limits;          /* those of http/ and of the model are only told; 0: the default */
    int max_images, max_videos; /* per input; 0: 999, as in vLLM; negative: none */
    qv_input defaults; /* min_pixels, max_pixels, apply_orientation, fps, max_frames of inputs that do not say them */
    bool local_media;  /* file:// URLs are read, below the model's media_root */
    const qv__fetcher *fetcher; /* for http(s) URLs; NULL: none is fetched. Owned by the caller until close */
    int fetch_threads;          /* requests that wait for URLs at a time; 0: default */
    int workers;                /* threads that parse and prepare; 0: default */
} qv__api_options;

typedef struct qv__request qv__request;
typedef struct qv__response qv__response;

/* A complete request. Strings live until `respond` returns. */
struct qv__request {
    const char *method, *path, *query;                              /* path without query string */
    const char *content_type, *authorization, *request_id, *accept; /* NULL when absent */
    const char *body;
    size_t body_size;
    uint64_t client;     /* who takes turns with others: by key, else by address; 0: nobody in particular */
    int64_t deadline_ns; /* of the answer, by qv__now_ns; 0: none. From then on qv__api_late may be called */
    _Atomic bool gone;   /* the client hung up; set by qv__api_gone */
    /* Called exactly once, from any thread; takes what it needs from the response before it returns. */
    void (*respond)(qv__request *request, qv__response *response);
    /* NULL, or called at most once, from any thread: all is computed and the answer is a short one; the caller is to
     * call qv__api_finish on the thread that sends, which spares a change of threads. Must not block. */
    void (*computed)(qv__request *request);
    void *user;
    _Atomic(void *) job; /* the api's own */
};

enum { QV__RESPONSE_HEADERS = 12 };

/* Where a request's time goes from its last byte on; together they are all of it. http/ adds the sending to the last.
 */
enum {
    QV__STAGE_WAIT,    /* nobody worked on it: it waited for a thread, then for the device */
    QV__STAGE_DECODE,  /* JSON, pictures and their way from other hosts, tokens */
    QV__STAGE_COMPUTE, /* from its first input's start on the device to its last one's end */
    QV__STAGE_WRITE,   /* the answer */
    QV__STAGES
};

struct qv__response {
    int status;
    const char *content_type; /* static string; NULL: no body */
    const char *header_name[QV__RESPONSE_HEADERS], *header_value[QV__RESPONSE_HEADERS]; /* copied by respond */
    char header_number[QV__RESPONSE_HEADERS][24]; /* values made for the occasion; see headers.h */
    char retry_after[12];                         /* the same for that header */
    qv__buffer body;                              /* respond takes ownership of body.data */
    /* for the access log and the counters */
    int64_t items, tokens;
    int64_t stage_ns[QV__STAGES];
    int64_t characters; /* of the texts, for the header that TEI has for it */
};

/* A request that has ended, as /metrics counts it. */
typedef struct {
    const char *method, *path; /* as sent */
    int status;
    int64_t items, tokens;
    int64_t stage_ns[QV__STAGES], total_ns; /* total: from the head of the request to the end of the answer */
} qv__ended;

qv_status qv__api_open(const qv__api_options *options, qv__api **out, qv_error *err);
/* Other keys from now on, while requests come in; after a failure those of before. */
qv_status qv__api_set_keys(qv__api *api, const char *const *keys, int count, qv_error *err);
/* Refuses new work (QV_SHUTTING_DOWN), waits for what is in flight. */
void qv__api_close(qv__api **api);
/* From here on /readyz says that new work should go elsewhere; it is still taken. */
void qv__api_leave(qv__api *api);
/* From here on new work is refused and /health says so, and media that are being decoded are given up. What is in
 * flight goes on until its request is gone (qv__api_gone), which then is answered with 503 at once. */
void qv__api_drain(qv__api *api);

/* Handles on a worker thread; returns at once. Light routes (health, models) respond before it returns; small requests
 * of plain texts are parsed and submitted before it returns. */
void qv__api_handle(qv__api *api, qv__request *request);
/* Behind `computed`: responds before it returns. */
void qv__api_finish(qv__api *api, qv__request *request);

/* The client of a request that is being handled hung up: items that wait are cancelled, and a batch in which nobody
 * else has an item is given up at its next block. The caller makes sure that `respond` does not return before this
 * does. */
void qv__api_gone(qv__api *api, qv__request *request);
/* The deadline of a request that is being handled has passed: answered with 504 at once if nothing is missing but the
 * device's answer, which is given up or dropped; else at the next step of its reading. The same holds for respond. */
void qv__api_late(qv__api *api, qv__request *request);

/* 200, or 429 and `why` when a request to this path would find the queue full, whatever is in it. Lets http/ answer
 * before it reads a body. */
int qv__api_room_status(qv__api *api, const char *method, const char *path, uint64_t client, char *why, size_t size);

/* For /metrics: a request of any kind has ended, refused ones included; a connection was opened (1) or closed (-1). */
void qv__api_note_end(qv__api *api, const qv__ended *ended);
void qv__api_note_connection(qv__api *api, int change);

/* Whether `path` exists and takes `method`: 200, 404 or 405; lets http/ answer before it reads a body.
 * HEAD counts as GET; OPTIONS is taken everywhere. */
int qv__api_route_status(const qv__api *api, const char *method, const char *path);
/* "POST, OPTIONS" into out, for the Allow header; false when there is no such path. */
bool qv__api_allowed(const qv__api *api, const char *path, char *out, size_t size);
/* The table's own spelling of a known path, NULL for others: safe to log. */
const char *qv__api_route_path(const qv__api *api, const char *path);
/* 200, or the status of a missing or wrong key on a route that needs one. *client: becomes that of the key. */
int qv__api_key_status(qv__api *api, const char *method, const char *path, const char *authorization, uint64_t *client);
/* Fills a response with an error body as the clients of `path` (may be unknown or NULL) read it; for errors that http/
 * finds. */
void qv__api_error_response(qv__api *api, qv__response *response, const char *path, int status, const char *message);
#endif
