#include "fetch/transfer.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

enum { FIRST_BYTES = 64 << 10 }; /* a file's first allocation */

void qv__transfer_fail(qv__transfer *t, qv_status code, const char *reason) {
    qv__free(t->fetch->bytes);
    t->fetch->bytes = NULL;
    t->fetch->size = 0;
    if (!t->fetch->error.code) qv__fail(&t->fetch->error, code, "%s", reason);
}

/* ---- libcurl's questions ---- */

/* The only place where sockets are made. The address is the very one that will be connected to. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    qv__transfer *t = context;
    qv__address_class class = qv__address_classify(&address->addr);
    if (purpose != CURLSOCKTYPE_IPCXN || !qv__address_allowed(class, t->url.private_too)) {
        t->refused = class;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool grow(qv__transfer *t, size_t need) {
    if (need <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity * 2 : FIRST_BYTES;
    if (capacity < need) capacity = need;
    void *bytes = qv__realloc(t->fetch->bytes, capacity);
    if (!bytes) return false;
    t->fetch->bytes = bytes;
    t->capacity = capacity;
    return true;
}

static size_t stop(qv__transfer *t, int why) {
    t->stopped = why;
    return 0; /* fewer bytes than were offered: libcurl gives up */
}

static size_t take_body(char *data, size_t one, size_t size, void *context) {
    qv__transfer *t = context;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) return 0; /* a redirect's or an error's page: of no use to anybody */
    if ((int64_t)(t->fetch->size + size) > t->limits->max_bytes) return stop(t, QV__TRANSFER_FILE_LIMIT);
    if ((int64_t)size > *t->limits->bytes_left) return stop(t, QV__TRANSFER_REQUEST_LIMIT);
    if (!grow(t, t->fetch->size + size)) return stop(t, QV__TRANSFER_NO_MEMORY);
    memcpy((char *)t->fetch->bytes + t->fetch->size, data, size);
    t->fetch->size += size;
    *t->limits->bytes_left -= (int64_t)size;
    return size;
}

static size_t take_header(char *data, size_t one, size_t size, void *context) {
    qv__transfer *t = context;
    t->header_bytes += size;
    return t->header_bytes > (size_t)t->limits->max_header_bytes ? stop(t, QV__TRANSFER_HEADER_LIMIT) : size;
}

/* ---- a hop ---- */

static long milliseconds_left(const qv__transfer *t) {
    int64_t left = (t->limits->deadline_ns - qv__now_ns()) / 1000000;
    return left < 1 ? 1 : (long)left;
}

static bool set_times(qv__transfer *t) {
    long left = milliseconds_left(t), slow_s = (long)(t->limits->timeout_s / 3);
    long connect = (long)(t->limits->connect_s * 1e3);
    return !curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, left) &&
           !curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, left < connect ? left : connect) &&
           !curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, (long)t->limits->min_rate) &&
           !curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, slow_s < 1 ? 1L : slow_s);
}

/* Nothing of the environment, nothing of an earlier hop, nothing but HTTP. Certificates are checked by default. */
static bool set_walls(qv__transfer *t) {
    CURL *c = t->easy;
    bool ok = !curl_easy_setopt(c, CURLOPT_CURLU, t->url.parsed) &&
              !curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") &&
              !curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
              !curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) && !curl_easy_setopt(c, CURLOPT_PROXY, "") &&
              !curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
              !curl_easy_setopt(c, CURLOPT_USERAGENT, "qvec/" QVEC_VERSION) &&
              !curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->limits->max_bytes) &&
              !curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A look-up that hangs is left to itself when its time is over. */
    ok = ok && !curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
#endif
    return ok;
}

static bool set_callbacks(qv__transfer *t) {
    CURL *c = t->easy;
    return !curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t) && !curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) &&
           !curl_easy_setopt(c, CURLOPT_WRITEDATA, t) && !curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) &&
           !curl_easy_setopt(c, CURLOPT_HEADERDATA, t) && !curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->curl_error) &&
           !curl_easy_setopt(c, CURLOPT_PRIVATE, t);
}

/* A fresh handle for each hop: nothing of the last one can be left in it. */
static bool open_hop(qv__transfer *t, const char *url) {
    t->refused = QV__ADDRESS_PUBLIC;
    if (qv__url_check(t->limits->hosts, url, &t->url, &t->fetch->error)) return false;
    t->easy = curl_easy_init();
    if (t->easy && set_walls(t) && set_times(t) && set_callbacks(t)) return true;
    qv__transfer_fail(t, QV_NO_MEMORY, "no memory to fetch a URL");
    return false;
}

static void close_hop(qv__transfer *t) {
    curl_easy_cleanup(t->easy);
    qv__url_clear(&t->url);
    t->easy = NULL;
}

bool qv__transfer_open(qv__transfer *t, const qv__transfer_limits *limits, qv__fetch *fetch) {
    t->limits = limits;
    t->fetch = fetch;
    return open_hop(t, fetch->url);
}

void qv__transfer_close(qv__transfer *t) {
    close_hop(t);
}

/* ---- the end of a hop ---- */

static bool redirect(qv__transfer *t, const char *location) {
    char *url = qv__strdup(location); /* libcurl's text dies with the handle */
    bool was_https = t->url.https;
    close_hop(t);
    if (!url) return qv__transfer_fail(t, QV_NO_MEMORY, "no memory to follow a redirect"), false;
    bool ok = open_hop(t, url);
    qv__free(url);
    if (ok && was_https && !t->url.https)
        qv__transfer_fail(t, QV_MEDIA_SOURCE, "a redirect leads from https to http");
    else if (ok)
        return true;
    else
        qv__fail_in(&t->fetch->error, QV_MEDIA_SOURCE, "redirect %d", t->redirects);
    return false;
}

static bool follow(qv__transfer *t) {
    char *location = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    if (!location) return qv__transfer_fail(t, QV_MEDIA_SOURCE, "the host sent a redirect to nowhere"), false;
    if (t->redirects < t->limits->max_redirects) return t->redirects++, redirect(t, location);
    if (t->limits->max_redirects)
        qv__fail(&t->fetch->error, QV_MEDIA_SOURCE, "more than %d redirects", t->limits->max_redirects);
    else
        qv__transfer_fail(t, QV_MEDIA_SOURCE, "the host sent a redirect, and this server follows none");
    return false;
}

/* 408, 425, 429 and 5xx pass by themselves; the others do not. */
static void fail_by_status(qv__transfer *t, long status) {
    bool again = status >= 500 || status == 408 || status == 425 || status == 429;
    qv__fail(&t->fetch->error, again ? QV_MEDIA_FETCH : QV_MEDIA_SOURCE, "the host %s answered with status %ld",
             t->url.host, status);
}

static void fail_by_limit(qv__transfer *t) {
    const qv__transfer_limits *l = t->limits;
    qv_error *err = &t->fetch->error;
    switch (t->stopped) {
    case QV__TRANSFER_REQUEST_LIMIT:
        qv__fail(err, QV_MEDIA_LIMIT, "the URLs of one request may bring %lld bytes together",
                 (long long)l->max_request_bytes);
        break;
    case QV__TRANSFER_HEADER_LIMIT:
        qv__fail(err, QV_MEDIA_SOURCE, "the host %s sent more than %d bytes of headers", t->url.host,
                 t->limits->max_header_bytes);
        break;
    case QV__TRANSFER_NO_MEMORY: qv__fail(err, QV_NO_MEMORY, "no memory for what a URL brought"); break;
    default:
        qv__fail(err, QV_MEDIA_LIMIT, "the file behind the URL is over the limit of %lld bytes",
                 (long long)l->max_bytes);
    }
}

static void fail_by_code(qv__transfer *t, CURLcode code) {
    qv_error *err = &t->fetch->error;
    switch (code) {
    case CURLE_OUT_OF_MEMORY: qv__fail(err, QV_NO_MEMORY, "no memory to fetch a URL"); break;
    case CURLE_FILESIZE_EXCEEDED: fail_by_limit(t); break;
    case CURLE_OPERATION_TIMEDOUT:
        qv__fail(err, QV_MEDIA_FETCH,
                 "the host %s was too slow: %g seconds are given, %g of them to reach it, and %d bytes a second must "
                 "come",
                 t->url.host, t->limits->timeout_s, t->limits->connect_s, t->limits->min_rate);
        break;
    case CURLE_COULDNT_RESOLVE_HOST: qv__fail(err, QV_MEDIA_FETCH, "the host %s has no address", t->url.host); break;
    case CURLE_COULDNT_CONNECT: qv__fail(err, QV_MEDIA_FETCH, "the host %s cannot be reached", t->url.host); break;
    default:
        /* libcurl's own words for the code; its detailed text could hold what the host sent */
        qv__fail(err, QV_MEDIA_FETCH, "fetching from the host %s failed: %s", t->url.host, curl_easy_strerror(code));
    }
}

bool qv__transfer_ended(qv__transfer *t, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    bool answered = code == CURLE_OK || code == CURLE_WRITE_ERROR, there = status >= 300 && status < 400;
    if (t->refused && code != CURLE_OK)
        qv__fail(&t->fetch->error, QV_MEDIA_SOURCE, "the host %s leads to a %s address, and only public ones are asked",
                 t->url.host, qv__address_class_name(t->refused));
    else if (t->stopped)
        fail_by_limit(t);
    else if (answered && there)
        return follow(t);
    else if (answered && status != 200)
        fail_by_status(t, status);
    else if (code)
        fail_by_code(t, code);
    if (t->fetch->error.code) qv__transfer_fail(t, t->fetch->error.code, "");
    return false;
}
