#include "http/server.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "http/exchange.h"
#include "http/listen.h"

enum { MAX_THREADS = 64 };

/* libmicrohttpd's own messages; they hold no content of requests. */
static void log_line(void *context, const char *format, va_list args) {
    char line[400];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = 0;
    qv__log(QV__LOG_DEBUG, "http: %s", line);
}

static void fill_defaults(qv__server_options *o) {
    qv__limits *l = &o->limits;
    qv__limits_fill(l);
    if (l->total_body_bytes < l->body_bytes) l->total_body_bytes = l->body_bytes;
    if (o->threads <= 0) o->threads = 2;
    if (o->threads > MAX_THREADS) o->threads = MAX_THREADS;
    if (l->connections < o->threads) l->connections = o->threads;
}

static struct MHD_OptionItem text_option(enum MHD_OPTION option, const char *text) {
    return (struct MHD_OptionItem){option, 0, (void *)(uintptr_t)text};
}

static int tls_options(const qv__tls *tls, struct MHD_OptionItem *out) {
    int n = 0;
    out[n++] = text_option(MHD_OPTION_HTTPS_PRIORITIES, qv__tls_priorities());
    out[n++] = text_option(MHD_OPTION_HTTPS_MEM_CERT, qv__tls_chain());
    out[n++] = text_option(MHD_OPTION_HTTPS_MEM_KEY, qv__tls_key());
    out[n++] = text_option(MHD_OPTION_HTTPS_CERT_CALLBACK2, qv__tls_retrieve());
    if (qv__tls_client_ca(tls)) out[n++] = text_option(MHD_OPTION_HTTPS_MEM_TRUST, qv__tls_client_ca(tls));
    return n;
}

static struct MHD_Daemon *start_daemon(qv__server *s) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem more[8];
    int n = 0;
    /* a pool of one is no pool for libmicrohttpd */
    if (s->options.threads > 1)
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, s->options.threads, NULL};
    if (s->options.tls) {
        flags |= MHD_USE_TLS;
        n += tls_options(s->options.tls, more + n);
    }
    more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(flags, 0, NULL, NULL, qv__exchange_handle, s,                                     /**/
                            MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL,                                       /**/
                            MHD_OPTION_LISTEN_SOCKET, s->listener,                                            /**/
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->options.limits.connections,             /**/
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->options.limits.idle_seconds,          /**/
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)s->options.limits.head_bytes,         /**/
                            MHD_OPTION_STRICT_FOR_CLIENT, 1,                                                  /**/
                            MHD_OPTION_URI_LOG_CALLBACK, qv__exchange_first_line, s,                          /**/
                            MHD_OPTION_NOTIFY_COMPLETED, qv__exchange_completed, s,                           /**/
                            MHD_OPTION_NOTIFY_CONNECTION, qv__exchange_connection, s, MHD_OPTION_ARRAY, more, /**/
                            MHD_OPTION_END);
}

static qv_status open_listener(qv__server *s, qv_error *err) {
    const qv__server_options *o = &s->options;
    qv_status status = o->unix_path ? qv__listen_unix(o->unix_path, o->unix_mode, &s->listener, &s->socket_file, err)
                                    : qv__listen(o->host, o->port, &s->listener, err);
    s->listening = !status;
    if (s->listening && !o->unix_path) s->port = qv__listen_port(s->listener);
    return status;
}

/* Connections are refused from here on, and another server may take the address. The descriptor lives on as long as
 * libmicrohttpd, whose threads may touch it still. */
static void stop_listening(qv__server *s) {
    if (!s->listening) return;
    s->listening = false;
    if (s->options.unix_path) qv__listen_unix_remove(s->options.unix_path, &s->socket_file);
    shutdown(s->listener, SHUT_RDWR);
}

qv_status qv__server_open(qv__api *api, const qv__server_options *options, qv__server **out, qv_error *err) {
    *out = NULL;
    qv__server *s = qv__calloc(1, sizeof *s);
    if (!s) return qv__fail(err, QV_NO_MEMORY, "no memory for the server");
    s->api = api;
    s->options = *options;
    s->listener = -1;
    fill_defaults(&s->options);
    qv_status status = open_listener(s, err);
    if (!status && !(s->watch = qv__watch_open(qv__exchange_hung_up, qv__exchange_late)))
        status = qv__fail(err, QV_NO_MEMORY, "cannot start the server's watch thread");
    if (!status && !(s->daemon = start_daemon(s)))
        status = qv__fail(err, QV_IO, "cannot start the HTTP server: %s", strerror(errno));
    if (status) return qv__server_close(&s, 0), status;
    *out = s;
    return QV_OK;
}

int qv__server_port(const qv__server *server) {
    return server->port;
}

static void sleep_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Until nothing is in flight, twice in a row: a request may just be arriving on a connection that is open. */
static bool wait_idle(qv__server *s, int64_t until_ns) {
    for (int calm = 0;;) {
        calm = s->exchanges || s->handled ? 0 : calm + 1;
        if (calm == 5) return true;
        if (qv__now_ns() > until_ns) return false;
        sleep_ms(10);
    }
}

static void wait_delay(const qv__server *s, int64_t until_ns) {
    int64_t end = qv__now_ns() + (int64_t)s->options.drain_delay_s * 1000000000;
    while (qv__now_ns() < (end < until_ns ? end : until_ns)) sleep_ms(10);
}

void qv__server_close(qv__server **server, int drain_seconds) {
    qv__server *s = *server;
    if (!s) return;
    if (s->daemon) {
        int64_t until = qv__now_ns() + (int64_t)drain_seconds * 1000000000;
        s->draining = true;
        qv__api_leave(s->api);
        wait_delay(s, until);
        MHD_quiesce_daemon(s->daemon); /* gives the listener back */
        stop_listening(s);
        if (!wait_idle(s, until))
            qv__log(QV__LOG_WARN, "%lld requests were not done within %d seconds; cancelling them",
                    (long long)s->exchanges, drain_seconds);
        /* libmicrohttpd must not be stopped while a connection is suspended, and a client may have sent a request just
         * now: from here on nothing is handed to api/. */
        s->closing = true;
        for (; s->handled; sleep_ms(5)) {
            if (qv__now_ns() <= until) continue;
            qv__api_drain(s->api);
            qv__watch_hang_up_all(s->watch);
        }
        wait_idle(s, qv__now_ns() + 1000000000); /* for the answers to be sent */
        MHD_stop_daemon(s->daemon);
    }
    qv__watch_close(&s->watch);
    stop_listening(s);
    if (s->listener >= 0) close(s->listener);
    qv__free(s);
    *server = NULL;
}

void qv__server_keep_heap(void) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}
