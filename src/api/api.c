/* Open, close, and what happens to every request whatever its route. See job.h for the way of a request. */
#include "api/api.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api/body.h"
#include "api/headers.h"
#include "api/job.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    DEFAULT_WORKERS = 4,
    MAX_WORKERS = 64,
    PLAIN_BODY = 4096,       /* bytes: parsing and tokenizing them takes about as long as handing them over */
    SHORT_BODY = 256 << 10,  /* bytes: what was made of them is quickly freed */
    SHORT_ANSWER = 4 * 4096, /* values: written in less than half a millisecond */
    DEFAULT_FETCHERS = 4,
    DEFAULT_MAX_MEDIA = 999,
};

static int media_limit(int wanted) {
    return wanted == 0 ? DEFAULT_MAX_MEDIA : wanted < 0 ? 0 : wanted;
}

static qv_status open_fetchers(qv__api *api, qv_error *err) {
    int threads = api->options.fetch_threads > 0 ? api->options.fetch_threads : DEFAULT_FETCHERS;
    api->fetchers =
        qv__pool_open(threads < MAX_WORKERS ? threads : MAX_WORKERS, (size_t)api->options.limits.waiting_requests);
    return api->fetchers ? QV_OK : qv__fail(err, QV_NO_MEMORY, "no memory for %d threads that fetch URLs", threads);
}

qv_status qv__api_open(const qv__api_options *options, qv__api **out, qv_error *err) {
    *out = NULL;
    qv__body_setup();
    qv__api *api = qv__calloc(1, sizeof *api);
    if (!api) return qv__fail(err, QV_NO_MEMORY, "no memory for the request handler");
    pthread_mutex_init(&api->lock, NULL);
    pthread_cond_init(&api->idle, NULL);
    qv__drain_open(&api->drain);
    qv__keys_open(&api->keys);
    api->options = *options;
    qv__metrics_init(&api->metrics);
    qv__limits_fill(&api->options.limits);
    api->options.max_images = media_limit(options->max_images);
    api->options.max_videos = media_limit(options->max_videos);
    if (api->options.workers <= 0) api->options.workers = DEFAULT_WORKERS;
    if (api->options.workers > MAX_WORKERS) api->options.workers = MAX_WORKERS;
    api->created = time(NULL);
    qv_model_get_facts(options->model, &api->model);
    qv_status status = options->served_name_count < 1
                           ? qv__fail(err, QV_INVALID_ARGUMENT, "the served model needs a name")
                           : qv__keys_set(&api->keys, options->api_keys, (size_t)options->api_key_count, err);
    if (!status && !(api->pool = qv__pool_open(api->options.workers, (size_t)api->options.limits.waiting_requests)))
        status = qv__fail(err, QV_NO_MEMORY, "no memory for %d request threads", api->options.workers);
    if (!status && options->fetcher) status = open_fetchers(api, err);
    if (status) return qv__api_close(&api), status;
    api->options.api_keys = NULL; /* the caller's again */
    *out = api;
    return QV_OK;
}

void qv__api_note_end(qv__api *api, const qv__ended *ended) {
    const qv__route *route = qv__route_find(ended->method, ended->path);
    qv__metrics_note_end(&api->metrics, ended, route && route->flags & QV__ROUTE_JSON);
}

void qv__api_note_connection(qv__api *api, int change) {
    qv__metrics_note_connection(&api->metrics, change);
}

void qv__api_leave(qv__api *api) {
    api->leaving = true;
}

void qv__api_drain(qv__api *api) {
    api->draining = true;
    api->options.model->stopping = true;
}

void qv__api_close(qv__api **handle) {
    qv__api *api = *handle;
    if (!api) return;
    api->draining = true;
    pthread_mutex_lock(&api->lock);
    while (api->in_flight) pthread_cond_wait(&api->idle, &api->lock);
    pthread_mutex_unlock(&api->lock);
    qv__pool_close(&api->fetchers);
    qv__pool_close(&api->pool);
    pthread_mutex_destroy(&api->lock);
    pthread_cond_destroy(&api->idle);
    qv__drain_close(&api->drain);
    qv__keys_close(&api->keys);
    qv__free(api);
    *handle = NULL;
}

qv_status qv__api_set_keys(qv__api *api, const char *const *keys, int count, qv_error *err) {
    return qv__keys_set(&api->keys, keys, (size_t)count, err);
}

int qv__api_key_status(qv__api *api, const char *method, const char *path, const char *authorization,
                       uint64_t *client) {
    const qv__route *route = qv__route_find(method, path);
    return route && route->flags & QV__ROUTE_KEY && !qv__keys_fit(&api->keys, authorization, client) ? 401 : 200;
}

void qv__api_error_response(qv__api *api, qv__response *response, const char *path, int status, const char *message) {
    qv__refusal r;
    qv__refuse(&r, QV_INTERNAL, NULL, "%s", message);
    qv__refusal_set_http(&r, status);
    qv__refusal_respond(&r, qv__route_errors(path), qv__room_retry_after(api, status), response);
}

/* ---- a request's common checks ---- */

static bool is_json(const char *content_type) {
    static const char json[] = "application/json";
    if (!content_type) return false;
    while (*content_type == ' ') content_type++;
    if (strncasecmp(content_type, json, sizeof json - 1)) return false;
    content_type += sizeof json - 1;
    while (*content_type == ' ') content_type++;
    return !*content_type || *content_type == ';';
}

static qv_status check(qv__api *api, const qv__request *q, const qv__route *route, qv__refusal *r) {
    if (!route) {
        int status = qv__api_route_status(api, q->method, q->path);
        if (status == 404) return qv__refuse(r, QV_NOT_FOUND, NULL, "There is no such path here.");
        qv__refuse(r, QV_INVALID_ARGUMENT, NULL, "This path does not take this method.");
        qv__refusal_set_http(r, status);
        return QV_INVALID_ARGUMENT;
    }
    uint64_t client; /* http/ has it */
    if (route->flags & QV__ROUTE_KEY && !qv__keys_fit(&api->keys, q->authorization, &client))
        return qv__refuse(r, QV_UNAUTHORIZED, NULL, "A valid API key is needed: \"Authorization: Bearer KEY\".");
    if (api->draining && !(route->flags & QV__ROUTE_LIGHT))
        return qv__refuse(r, QV_SHUTTING_DOWN, NULL, "The server is shutting down.");
    if (route->flags & QV__ROUTE_JSON && !is_json(q->content_type))
        return qv__refuse_field(r, NULL, "The header Content-Type must be application/json, not %.60s.",
                                q->content_type ? q->content_type : "absent");
    return QV_OK;
}

static const int64_t no_time[QV__STAGES]; /* of what is answered at once */

static void send(qv__api *api, qv__request *q, qv__errors errors, qv_status status, const qv__refusal *r,
                 qv__response *response, const int64_t stage_ns[QV__STAGES]) {
    if (!status && response->body.failed) {
        qv__refusal lack;
        qv__refuse(&lack, QV_NO_MEMORY, NULL, "No memory for the answer.");
        qv__refusal_respond(&lack, errors, qv__room_retry_after(api, lack.http), response);
    } else if (status) {
        qv__refusal_respond(r, errors, qv__room_retry_after(api, r->http), response);
    }
    memcpy(response->stage_ns, stage_ns, sizeof response->stage_ns);
    q->respond(q, response);
}

/* ---- a job's life ---- */

static void count_in(qv__api *api) {
    pthread_mutex_lock(&api->lock);
    api->in_flight++;
    pthread_mutex_unlock(&api->lock);
}

static void count_out(qv__api *api) {
    pthread_mutex_lock(&api->lock);
    if (--api->in_flight == 0) pthread_cond_broadcast(&api->idle);
    pthread_mutex_unlock(&api->lock);
}

static void free_job(qv__job *job) {
    qv__api *api = job->api;
    for (size_t i = 0; i < job->count; i++) qv__item_free(job->items[i]);
    if (job->drop) job->drop(job->parsed);
    qv__media_urls_clear(&job->urls);
    qv__body_clear(&job->body);
    pthread_mutex_destroy(&job->lock);
    qv__free(job->items);
    qv__free(job->facts);
    qv__free(job);
    count_out(api);
}

static void answer(qv__job *job, qv_status status, const qv__refusal *r, qv__response *response) {
    int64_t stage_ns[QV__STAGES];
    qv__job_measure(job, qv__now_ns(), stage_ns);
    if (!status && job->count && job->errors == QV__ERRORS_TEI) qv__header_add_work(response, stage_ns);
    send(job->api, job->request, job->errors, status, r, response, stage_ns); /* the request is gone from here on */
    free_job(job);
}

/* A request that nobody waits for any more failed because of that. */
static qv_status prefer_unwanted(const qv__job *job, qv_status status, qv__refusal *r) {
    qv__refusal why;
    qv_status unwanted = status ? qv__job_check_wanted(job, &why) : QV_OK;
    if (!unwanted) return status;
    *r = why;
    return unwanted;
}

static void finish_work(qv__work *work) {
    qv__job *job = (qv__job *)work;
    pthread_mutex_lock(&job->lock); /* a canceller may still be inside */
    job->submitted = false;
    pthread_mutex_unlock(&job->lock);
    if (job->late) return free_job(job);
    qv__response response = {.status = 200, .content_type = "application/json"};
    qv__refusal r;
    qv_status status = QV_OK;
    for (size_t i = 0; i < job->count && !status; i++)
        if (job->items[i]->status) status = qv__refuse_error(&r, &job->items[i]->error, NULL, "");
    if (!status) status = job->finish(job, &response, &r);
    answer(job, prefer_unwanted(job, status, &r), &r, &response);
}

/* On the engine's thread, or on the canceller's. */
static void item_done(qv__item *item) {
    qv__job *job = item->user;
    if (item->status && !item->error.code) qv__fail(&item->error, item->status, "%s", qv_status_text(item->status));
    if (atomic_fetch_sub(&job->unfinished, 1) != 1) return;
    if (job->short_answer && !job->late)
        job->request->computed(job->request);
    else
        qv__pool_add_urgent(job->api->pool, &job->work);
}

void qv__api_finish(qv__api *api, qv__request *request) {
    qv__job *job = request->job;
    finish_work(&job->work);
}

static void refuse_submit(const qv__job *job, const qv_error *err, qv__refusal *r) {
    if (err->code != QV_TOO_LARGE && err->code != QV_OVERLOADED) return (void)qv__refuse_error(r, err, NULL, "");
    qv__refuse(r, err->code, NULL, "%s (--max-queued-items %lld, --max-queued-tokens %lld)", err->message,
               (long long)job->api->options.limits.queued_items, (long long)job->api->options.limits.queued_tokens);
}

static qv_status submit(qv__job *job, qv__refusal *r) {
    const qv__limits *l = &job->api->options.limits;
    int64_t tokens = qv__job_tokens(job);
    for (size_t i = 0; i < job->count; i++) {
        job->items[i]->done = item_done;
        job->items[i]->user = job;
        job->items[i]->client = job->request->client;
        job->items[i]->deadline_ns = job->request->deadline_ns;
        job->items[i]->unwanted = &job->unwanted;
    }
    job->unfinished = job->count;
    job->work.run = finish_work;
    job->short_answer = job->request->computed && job->request->body_size <= SHORT_BODY &&
                        job->count <= (size_t)SHORT_ANSWER / (size_t)job->api->model.embedding_size;
    job->submitted_ns = qv__now_ns();
    qv_error err = {0};
    pthread_mutex_lock(&job->lock); /* finish_work waits here until submit has returned */
    qv_status status = qv__job_check_wanted(job, r);
    if (!status && tokens <= l->queued_tokens && (int64_t)job->count <= l->queued_items)
        status = qv__room_check(job->api, job->request->client, (int64_t)job->count, tokens, r);
    if (!status) {
        status = qv__engine_submit(job->api->options.model->engine, job->items, job->count, &err);
        job->submitted = !status;
        if (status) refuse_submit(job, &err, r);
    }
    pthread_mutex_unlock(&job->lock);
    return status;
}

/* From the fields to the items, and to the engine. `status` is what became of the job before. */
static void go_on(qv__job *job, qv_status status, qv__refusal *r, qv__response *response) {
    if (!status && job->prepare) status = job->prepare(job, response, r);
    qv__media_urls_clear(&job->urls); /* items hold pixels, not files */
    if (!status && job->finish) {
        status = submit(job, r);
        if (!status) return; /* the job may be answered and freed by now */
    }
    answer(job, prefer_unwanted(job, status, r), r, response);
}

static bool is_unwanted(void *user) {
    qv__refusal why;
    return qv__job_check_wanted(user, &why);
}

/* On a thread of the fetchers, which may wait for other hosts. */
static void fetch_work(qv__work *work) {
    qv__job *job = (qv__job *)work;
    const qv__fetcher *f = job->api->options.fetcher;
    qv__response response = {.status = 200, .content_type = "application/json"};
    qv__refusal r;
    if (!is_unwanted(job)) f->run(f->context, job->urls.list, job->urls.count, is_unwanted, job);
    go_on(job, qv__job_check_wanted(job, &r), &r, &response);
}

static qv_status parse(qv__job *job, qv__refusal *r) {
    if (!(job->route->flags & QV__ROUTE_JSON)) return QV_OK;
    return qv__body_parse(job->request->body, job->request->body_size, &job->api->options.limits, &job->body, r);
}

/* The names alone, and made harmless: what clients send is not repeated. */
static void log_ignored(const qv__job *job) {
    char names[400];
    size_t count = qv__fields_unread(names, sizeof names);
    const char *id = job->request->request_id;
    const qv__log_field fields[] = {{.name = "id", .text = id ? id : "-"},
                                    {.name = "path", .text = job->route->path},
                                    {.name = "count", .number = (double)count},
                                    {.name = "fields", .text = names}};
    if (count) qv__log_fields(QV__LOG_INFO, "ignored", fields, sizeof fields / sizeof *fields);
}

static qv_status start_route(qv__job *job, qv__response *response, qv__refusal *r) {
    if (qv__log_wants(QV__LOG_INFO)) qv__fields_watch(job->body.root);
    qv_status status = job->route->start(job, response, r);
    if (!status) log_ignored(job);
    qv__fields_watch(NULL);
    return status;
}

/* Behind parse. */
static void start(qv__job *job, qv_status status, qv__refusal *r) {
    qv__response response = {.status = 200, .content_type = "application/json"};
    if (!status) status = start_route(job, &response, r);
    if (!status && job->urls.count) {
        job->work.run = fetch_work;
        if (qv__pool_add(job->api->fetchers, &job->work)) return;
        status = qv__refuse(
            r, QV_OVERLOADED, NULL,
            "Too many requests wait for URLs: %lld may (--max-waiting-requests), the last eighth for other clients.",
            (long long)job->api->options.limits.waiting_requests);
    }
    go_on(job, status, r, &response);
}

static void start_parsed(qv__work *work) {
    qv__job *job = (qv__job *)work;
    qv__refusal r;
    job->opened_ns = qv__now_ns();
    start(job, qv__job_check_wanted(job, &r), &r);
}

static void start_work(qv__work *work) {
    qv__job *job = (qv__job *)work;
    qv__refusal r;
    job->opened_ns = qv__now_ns();
    qv_status status = qv__job_check_wanted(job, &r);
    start(job, status ? status : parse(job, &r), &r);
}

/* On the caller's thread, which moves the bytes of others too: true when the job was started or answered. */
static bool start_plain(qv__job *job) {
    qv__refusal r;
    if (!(job->route->flags & QV__ROUTE_JSON) || job->request->body_size > PLAIN_BODY) return false;
    job->opened_ns = qv__now_ns();
    qv_status status = parse(job, &r);
    job->work.run = start_parsed;
    if (!status && !qv__body_is_plain(job->body.root)) return false;
    start(job, status, &r);
    return true;
}

void qv__api_handle(qv__api *api, qv__request *q) {
    qv__response response = {.status = 200, .content_type = "application/json"};
    qv__refusal r;
    const qv__route *route = qv__route_find(q->method, q->path);
    qv__errors errors = route ? route->errors : QV__ERRORS_VLLM;
    q->job = NULL;
    qv_status status = check(api, q, route, &r);
    if (!status && route->flags & QV__ROUTE_LIGHT) {
        qv__job job = {.api = api, .request = q, .route = route};
        status = route->start(&job, &response, &r);
        send(api, q, errors, status, &r, &response, no_time);
        return;
    }
    qv__job *job = status ? NULL : qv__calloc(1, sizeof *job);
    if (!status && !job) status = qv__refuse(&r, QV_NO_MEMORY, NULL, "No memory for the request.");
    if (!status) {
        *job = (qv__job){.work = {.run = start_work, .client = q->client},
                         .api = api,
                         .request = q,
                         .route = route,
                         .errors = errors,
                         .urls.fetcher = api->options.fetcher,
                         .received_ns = qv__now_ns()};
        pthread_mutex_init(&job->lock, NULL);
        q->job = job;
        count_in(api);
        if (start_plain(job) || qv__pool_add(api->pool, &job->work)) return;
        status = qv__refuse(
            &r, QV_OVERLOADED, NULL,
            "Too many requests wait to be read: %lld may (--max-waiting-requests), the last eighth for other clients.",
            (long long)api->options.limits.waiting_requests);
        answer(job, status, &r, &response);
        return;
    }
    send(api, q, errors, status, &r, &response, no_time);
}

/* ---- nobody waits any more ---- */

static void answer_early(qv__work *work) {
    qv__job *job = (qv__job *)(void *)((char *)work - offsetof(qv__job, late_work));
    qv__response response = {0};
    qv__refusal r = {0};
    qv_status status = qv__job_check_wanted(job, &r);
    /* the device may be writing into the items' clocks */
    const int64_t stage_ns[QV__STAGES] = {[QV__STAGE_WAIT] = job->opened_ns - job->received_ns,
                                          [QV__STAGE_DECODE] = job->submitted_ns - job->opened_ns,
                                          [QV__STAGE_COMPUTE] = qv__now_ns() - job->submitted_ns};
    send(job->api, job->request, job->errors, status, &r, &response, stage_ns);
    if (atomic_fetch_sub(&job->unfinished, 1) == 1) free_job(job);
}

/* One more to wait for, so that the last item cannot finish the job meanwhile. False: it has. */
static bool hold(qv__job *job) {
    size_t n = job->unfinished;
    while (n && !atomic_compare_exchange_weak(&job->unfinished, &n, n + 1)) {
    }
    return n > 0;
}

/* Takes what waits off the queue and lets the device give up what it computes; `early`: answers before it has. */
static void give_up(qv__job *job, bool early) {
    pthread_mutex_lock(&job->lock);
    if (job->submitted) {
        early = early && !job->late && hold(job);
        job->unwanted = true;
        for (size_t i = 0; i < job->count; i++) qv__engine_cancel(job->api->options.model->engine, job->items[i]);
        if (early) {
            job->late = true;
            job->late_work.run = answer_early;
            qv__pool_add_urgent(job->api->pool, &job->late_work);
        }
    }
    pthread_mutex_unlock(&job->lock);
}

void qv__api_gone(qv__api *api, qv__request *q) {
    q->gone = true;
    if (q->job) give_up(q->job, api->draining);
}

void qv__api_late(qv__api *api, qv__request *q) {
    if (q->job) give_up(q->job, true);
}
