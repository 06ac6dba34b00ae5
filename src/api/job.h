/* One request on its way: parsed and prepared on a pool thread, computed by the engine, answered on a pool thread.
 *
 *   handle -> [pool] JSON -> route's start: read fields -> route's prepare: items -> engine submit ... last item done
 *          -> [pool] route's finish: build the answer -> respond, everything freed
 *
 * With URLs to be fetched it goes to a pool of its own between start and prepare, so that nobody waits for them who did
 * not send any. A job belongs to one thread at a time, except for `lock`, under which a hang-up cancels the submitted
 * items. */
#ifndef QVEC_API_JOB_H
#define QVEC_API_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "api/body.h"
#include "api/drain.h"
#include "api/key.h"
#include "api/media_url.h"
#include "api/metrics.h"
#include "api/pool.h"
#include "api/refusal.h"

typedef struct qv__job qv__job;
typedef struct qv__route qv__route;

typedef qv_status (*qv__step)(qv__job *job, qv__response *response, qv__refusal *r);

enum { QV__ROUTE_KEY = 1, QV__ROUTE_JSON = 2, QV__ROUTE_LIGHT = 4, QV__ROUTE_BYTES = 8, QV__ROUTE_QUEUED = 16 };

struct qv__route {
    const char *method, *path;
    int flags;      /* KEY: needs an API key; JSON: takes a JSON body; LIGHT: answered on the caller's thread;
                       BYTES: may answer with bytes; QUEUED: computes */
    qv__step start; /* fills the response, or sets job->prepare and finish */
    qv__errors errors;
    const char *summary;       /* of /openapi.json and /docs, like the two schemas' names; NULL: in neither */
    const char *takes, *gives; /* the JSON of request and answer; NULL: none */
};

struct qv__job {
    qv__work work;
    qv__api *api;
    qv__request *request;
    const qv__route *route;
    qv__errors errors;                            /* the route's, until the body shows another dialect */
    int64_t received_ns, opened_ns, submitted_ns; /* taken over from http/, taken up by a thread, given to the engine */
    qv__body body;                                /* of a JSON route; a start may take it over */

    void *parsed; /* the route's own, freed by drop after the answer */
    void (*drop)(void *parsed);
    qv__step prepare; /* called when all URLs have come or failed; adds items, or fills the response */
    qv__step finish;  /* called when all items are done and none failed; NULL: prepare has answered */

    qv__media_urls urls; /* what the request names by URL */

    qv__item **items;    /* [count] */
    qv__prepared *facts; /* [count] */
    size_t count;
    atomic_size_t unfinished;

    bool short_answer;    /* made on the thread that sends it, when there is one */
    atomic_bool unwanted; /* nobody waits for the items any more: what the device computes of them is given up */
    qv__work late_work;   /* answers while the device is still busy with an item: deadline passed, server closing */
    bool late;            /* that has been decided: the request is no longer the job's, its result is dropped. Written
                             by whoever holds a unit of `unfinished`, read by whoever takes the last one */
    pthread_mutex_t lock; /* submitted; held while cancelling. Lock order: http's, this, the engine's */
    bool submitted;
};

struct qv__api {
    qv__api_options options;
    qv_model_facts model;
    qv__keys keys;
    qv__pool *pool;
    qv__drain drain;
    qv__pool *fetchers; /* its threads wait for other hosts; NULL: no URL is fetched */
    atomic_bool leaving, draining;
    int64_t created; /* unix seconds of open, told by /v1/models */

    pthread_mutex_t lock; /* in_flight */
    pthread_cond_t idle;
    size_t in_flight;

    qv__metrics metrics;
};

/* Room for `count` items; at most once per job. */
qv_status qv__job_reserve(qv__job *job, size_t count, qv__refusal *r);
/* Prepares an input as the next item. `name` ("input[3]") stands before the error's text when it fails. */
qv_status qv__job_prepare(qv__job *job, const qv_input *input, const char *name, qv__refusal *r);
/* The same for a document and its query, whose media are decoded once. The error's text names the query itself. */
qv_status qv__job_open_query(qv__job *job, const qv_input *query, qv__query **out, qv__refusal *r);
qv_status qv__job_prepare_document(qv__job *job, qv__query *query, const qv_input *document, const char *name,
                                   qv__refusal *r);
/* Whether the request is still worth working on: its client is there, its deadline ahead. */
qv_status qv__job_check_wanted(const qv__job *job, qv__refusal *r);
int64_t qv__job_tokens(const qv__job *job);
/* The recipe of its items: "official", "raw", or "mixed" (texts and objects side by side). */
const char *qv__job_prompt(const qv__job *job);
/* Where the time went, of a job whose answer is ready now. */
void qv__job_measure(const qv__job *job, int64_t now, int64_t stage_ns[QV__STAGES]);

/* Prompts that an answer repeats when asked to: of at most max-echo-tokens together, so that a small request cannot ask
 * for a giant answer. The check comes before anything is computed. */
qv_status qv__job_check_echo(const qv__job *job, qv__refusal *r);
/* {"tokens":41,"text":"<|im_start|>system\n…"}: item i's prompt as the model reads it, every pad in it. */
void qv__job_write_prompt(const qv__job *job, size_t i, qv__buffer *b);

/* Refuses when `model` is given and is not served. NULL, "" are fine. */
qv_status qv__job_check_model(const qv__job *job, const char *model, qv__refusal *r);
const char *qv__job_model(const qv__job *job);
/* "embd-<request id>" and so on, as a JSON string. */
void qv__job_write_id(const qv__job *job, const char *prefix, qv__buffer *b);

size_t qv__api_in_flight(qv__api *api); /* requests that are being worked on */

/* room.c */
/* Refuses what would make the queue longer than it may be. Clients of whom more than an eighth of it waits may not fill
 * the last eighth. Client 0 is nobody in particular, and may. */
qv_status qv__room_check(qv__api *api, uint64_t client, int64_t items, int64_t tokens, qv__refusal *r);
/* Seconds for the header Retry-After of an answer with this status, from 1 to 60: of 429, until what waits to be read,
 * fetched and computed now will have been; 0: no such header. */
int qv__room_retry_after(qv__api *api, int http);

/* plain.c */
/* Whether reading the request, and making items of it, is sure to be short work: nothing but texts, few of them. */
bool qv__body_is_plain(const json_t *root);

/* route.c */
const qv__route *qv__route_find(const char *method, const char *path);
const qv__route *qv__route_at(size_t i); /* NULL behind the last */
qv__errors qv__route_errors(const char *path);

/* page.c: whether an Accept header (NULL: none) asks for HTML rather than JSON */
bool qv__accepts_page(const char *accept);

/* the routes' handlers */
qv_status qv__start_embeddings(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_pooling(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_multimodal(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_cohere(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_tei(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_similarity(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_llama(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_bare_embeddings(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_embed_all(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_embed_sparse(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_default(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_invocations(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_rerank(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_score(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_models(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_health(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_ready(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_version(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_load(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_metrics(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_info(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_asset(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_home(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_openapi(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_docs(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_tokenize(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_detokenize(qv__job *job, qv__response *response, qv__refusal *r);
qv_status qv__start_decode(qv__job *job, qv__response *response, qv__refusal *r);
#endif
