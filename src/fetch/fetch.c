#include "fetch/fetch.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "fetch/transfer.h"

enum {
    AT_ONCE = 8, /* transfers of one request */
    POLL_MS = 50,
    DEFAULT_URLS = 64,
    DEFAULT_TIMEOUT_S = 30,
    DEFAULT_CONNECT_S = 5,
    DEFAULT_HEADER_BYTES = 64 << 10,
    DEFAULT_MIN_RATE = 1024,
};

typedef struct {
    qv__fetcher fetcher; /* first: what callers hold is both */
    qv__url_hosts hosts;
    int max_redirects, max_header_bytes, min_rate;
    int64_t max_bytes, max_request_bytes;
    double timeout_s, connect_s;
} state;

/* The URLs of one request. */
typedef struct {
    const qv__transfer_limits *limits;
    qv__fetch *const *fetches;
    size_t count, next; /* the first that is not begun */
    CURLM *multi;
    qv__transfer *slots[AT_ONCE]; /* NULL: free */
} batch;

/* ---- one request ---- */

static void end(batch *b, size_t slot) {
    qv__transfer_close(b->slots[slot]);
    qv__free(b->slots[slot]);
    b->slots[slot] = NULL;
}

/* Begins the next URL in a free slot, which stays free when it failed at once. */
static void begin_next(batch *b, qv__transfer **slot) {
    qv__fetch *fetch = b->fetches[b->next++];
    qv__transfer *t = qv__calloc(1, sizeof *t);
    bool ok = t && qv__transfer_open(t, b->limits, fetch) && !curl_multi_add_handle(b->multi, t->easy);
    if (ok) {
        *slot = t;
        return;
    }
    if (!fetch->error.code) qv__fail(&fetch->error, QV_NO_MEMORY, "no memory to fetch a URL");
    if (t) qv__transfer_close(t);
    qv__free(t);
}

static void begin(batch *b) {
    for (size_t i = 0; i < AT_ONCE; i++)
        while (!b->slots[i] && b->next < b->count) begin_next(b, &b->slots[i]);
}

static size_t slot_of(const batch *b, CURL *easy) {
    size_t i = 0;
    while (i < AT_ONCE && (!b->slots[i] || b->slots[i]->easy != easy)) i++;
    return i;
}

static void collect(batch *b) {
    int waiting;
    for (CURLMsg *m; (m = curl_multi_info_read(b->multi, &waiting));) {
        if (m->msg != CURLMSG_DONE) continue;
        CURL *easy = m->easy_handle;
        CURLcode code = m->data.result;
        size_t slot = slot_of(b, easy);
        curl_multi_remove_handle(b->multi, easy); /* m is gone from here on */
        if (slot == AT_ONCE) continue;
        qv__transfer *t = b->slots[slot];
        if (qv__transfer_ended(t, code)) {
            if (!curl_multi_add_handle(b->multi, t->easy)) continue;
            qv__transfer_fail(t, QV_NO_MEMORY, "no memory to follow a redirect");
        }
        end(b, slot);
    }
}

static bool busy(const batch *b) {
    for (size_t i = 0; i < AT_ONCE; i++)
        if (b->slots[i]) return true;
    return b->next < b->count;
}

static void give_up(batch *b, qv_status code, const char *reason) {
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (!b->slots[i]) continue;
        curl_multi_remove_handle(b->multi, b->slots[i]->easy);
        qv__transfer_fail(b->slots[i], code, reason);
        end(b, i);
    }
    for (; b->next < b->count; b->next++) qv__fail(&b->fetches[b->next]->error, code, "%s", reason);
}

static void drive(batch *b, bool (*stop)(void *user), void *user) {
    for (begin(b); busy(b); begin(b)) {
        int running;
        if (stop(user)) return give_up(b, QV_CANCELLED, "the client closed the connection");
        /* Transfers end by their own time-outs, a little earlier; this is for those that were not begun. */
        if (qv__now_ns() > b->limits->deadline_ns + 1000000000LL)
            return give_up(b, QV_MEDIA_FETCH, "the time for the URLs of the request was over");
        if (curl_multi_perform(b->multi, &running)) return give_up(b, QV_NO_MEMORY, "no memory to fetch URLs");
        collect(b);
        if (running) curl_multi_poll(b->multi, NULL, 0, POLL_MS, NULL);
    }
}

static void run(void *context, qv__fetch *const *fetches, size_t count, bool (*stop)(void *user), void *user) {
    const state *s = context;
    int64_t bytes_left = s->max_request_bytes;
    qv__transfer_limits limits = {.hosts = &s->hosts,
                                  .max_redirects = s->max_redirects,
                                  .max_bytes = s->max_bytes,
                                  .bytes_left = &bytes_left,
                                  .max_request_bytes = s->max_request_bytes,
                                  .deadline_ns = qv__now_ns() + (int64_t)(s->timeout_s * 1e9),
                                  .timeout_s = s->timeout_s,
                                  .connect_s = s->connect_s,
                                  .max_header_bytes = s->max_header_bytes,
                                  .min_rate = s->min_rate};
    batch b = {.limits = &limits, .fetches = fetches, .count = count, .multi = curl_multi_init()};
    if (b.multi)
        drive(&b, stop, user);
    else
        give_up(&b, QV_NO_MEMORY, "no memory to fetch URLs");
    curl_multi_cleanup(b.multi);
}

static qv_status check(void *context, const char *text, qv_error *err) {
    const state *s = context;
    qv__url url;
    qv_status status = qv__url_check(&s->hosts, text, &url, err);
    qv__url_clear(&url);
    return status;
}

/* ---- open and close ---- */

static CURLcode started = CURLE_FAILED_INIT;

static void start_libcurl(void) {
    started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static qv_status add_hosts(state *s, const qv__fetch_options *o, qv_error *err) {
    qv_status status = QV_OK;
    for (size_t i = 0; i < o->private_host_count && !status; i++) /* first: the first that fits counts */
        status = qv__url_hosts_add(&s->hosts, o->private_hosts[i], true, err);
    for (size_t i = 0; i < o->host_count && !status; i++)
        status = qv__url_hosts_add(&s->hosts, o->hosts[i], false, err);
    return status;
}

qv_status qv__fetch_open(const qv__fetch_options *o, qv__fetcher **out, qv_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, start_libcurl);
    if (started) return qv__fail(err, QV_INTERNAL, "libcurl cannot be started: %s", curl_easy_strerror(started));
    state *s = qv__calloc(1, sizeof *s);
    if (!s) return qv__fail(err, QV_NO_MEMORY, "out of memory for fetching URLs");
    *s = (state){
        .fetcher = {.context = s, .check = check, .run = run, .max_urls = o->max_urls ? o->max_urls : DEFAULT_URLS},
        .max_redirects = o->max_redirects,
        .max_bytes = o->max_bytes ? o->max_bytes : (int64_t)256 << 20,
        .max_request_bytes = o->max_request_bytes ? o->max_request_bytes : (int64_t)64 << 20,
        .timeout_s = o->timeout_s > 0 ? o->timeout_s : DEFAULT_TIMEOUT_S,
        .connect_s = o->connect_s > 0 ? o->connect_s : DEFAULT_CONNECT_S,
        .max_header_bytes = o->max_header_bytes ? o->max_header_bytes : DEFAULT_HEADER_BYTES,
        .min_rate = o->min_rate ? o->min_rate : DEFAULT_MIN_RATE,
        .hosts.max_url_bytes = o->max_url_bytes};
    *out = &s->fetcher;
    qv_status status = add_hosts(s, o, err);
    if (status) qv__fetch_close(out);
    return status;
}

void qv__fetch_close(qv__fetcher **fetcher) {
    if (!*fetcher) return;
    state *s = (*fetcher)->context;
    qv__url_hosts_clear(&s->hosts);
    qv__free(s);
    *fetcher = NULL;
}
