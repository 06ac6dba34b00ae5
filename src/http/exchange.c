#include "http/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/access.h"
#include "http/client.h"
#include "http/framing.h"

enum { READING, HANDLING, SUSPENDED, COMPUTED, ANSWERED };
enum {
    REASON_MAX = 600,
    REQUEST_ID_MAX = 128,
    ID_BYTES = 16,
    SMALL_BODY = 256 << 10,
    SLOWEST_BYTES_PER_SECOND = 16 << 10
};

typedef struct {
    qv__server *server;
    struct MHD_Connection *connection;
    qv__peer *peer;
    int fd;
    atomic_int state;
    bool watched;
    int refused; /* status; the rest of the body is thrown away */
    char reason[REASON_MAX];
    qv__request request;
    const char *origin;
    char request_id[REQUEST_ID_MAX + 1];
    qv__buffer body;
    size_t counted; /* bytes of body that are in server->body_bytes */
    size_t received;
    /* the answer */
    struct MHD_Response *response;
    int status;
    int64_t began_ns, complete_ns, answered_ns; /* head read; body read; answer made */
    int64_t items, tokens, stage_ns[QV__STAGES];
} exchange;

static void set_deadline(exchange *x, int64_t seconds) {
    if (x->peer) x->peer->deadline_ns = seconds ? qv__now_ns() + seconds * 1000000000 : 0;
}

static const struct sockaddr *address_of(const exchange *x) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

/* ---- bodies ---- */

static void drop_body(exchange *x) {
    qv__buffer_clear(&x->body);
    atomic_fetch_sub(&x->server->body_bytes, (long long)x->counted);
    x->counted = 0;
}

__attribute__((format(printf, 3, 4))) static void refuse(exchange *x, int status, const char *format, ...) {
    if (x->refused) return;
    va_list args;
    va_start(args, format);
    vsnprintf(x->reason, sizeof x->reason, format, args);
    va_end(args);
    x->refused = status;
    drop_body(x);
}

static void refuse_size(exchange *x) {
    refuse(x, 413, "The body has more than %lld bytes, which is the most that is taken here (--max-body).",
           (long long)x->server->options.limits.body_bytes);
}

static void refuse_memory(exchange *x) {
    refuse(x, 429, "The bodies of requests take all %lld bytes that are set aside for them (--max-total-body).",
           (long long)x->server->options.limits.total_body_bytes);
}

static void take_body(exchange *x, const char *data, size_t size) {
    x->received += size;
    if (x->refused) return;
    if (x->server->closing) return refuse(x, 503, "The server is shutting down.");
    if (x->received > (size_t)x->server->options.limits.body_bytes) return refuse_size(x);
    if (!qv__buffer_append(&x->body, data, size)) return refuse(x, 503, "No memory for the body.");
    size_t more = x->body.capacity - x->counted;
    x->counted = x->body.capacity;
    if (atomic_fetch_add(&x->server->body_bytes, (long long)more) + (long long)more >
        x->server->options.limits.total_body_bytes)
        refuse_memory(x);
}

/* ---- answers ---- */

static const char *header(exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static void add_cors(exchange *x, struct MHD_Response *m) {
    const qv__cors *cors = &x->server->options.cors;
    char allowed[100];
    bool preflight = strcmp(x->request.method, "OPTIONS") == 0 && header(x, "Access-Control-Request-Method") &&
                     qv__api_allowed(x->server->api, x->request.path, allowed, sizeof allowed);
    if (preflight)
        qv__cors_add_preflight(cors, x->origin, allowed, header(x, "Access-Control-Request-Headers"), m);
    else
        qv__cors_add(cors, x->origin, m);
}

static struct MHD_Response *make_response(exchange *x, qv__response *r) {
    struct MHD_Response *m =
        r->body.size ? MHD_create_response_from_buffer_with_free_callback(r->body.size, r->body.data, qv__free)
                     : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (!r->body.size || !m) qv__free(r->body.data);
    if (!m) return NULL;
    if (r->content_type) MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, r->content_type);
    for (int i = 0; i < QV__RESPONSE_HEADERS; i++)
        if (r->header_name[i] && r->header_value[i]) MHD_add_response_header(m, r->header_name[i], r->header_value[i]);
    MHD_add_response_header(m, "X-Request-Id", x->request_id);
    if (x->server->options.cors.origin_count) add_cors(x, m);
    if (x->server->draining) MHD_add_response_header(m, MHD_HTTP_HEADER_CONNECTION, "close");
    return m;
}

static void set_answer(exchange *x, qv__response *r) {
    x->status = r->status;
    x->items = r->items;
    x->tokens = r->tokens;
    memcpy(x->stage_ns, r->stage_ns, sizeof x->stage_ns);
    x->answered_ns = qv__now_ns();
    x->response = make_response(x, r);
}

/* The connection's thread goes on in this state, and is woken when it sleeps. */
static void go_on(exchange *x, int state) {
    struct MHD_Connection *connection = x->connection;
    int before = atomic_exchange(&x->state, state);
    if (before == SUSPENDED) MHD_resume_connection(connection);
}

/* qv__request.respond: any thread. */
static void respond(qv__request *request, qv__response *r) {
    exchange *x = request->user;
    qv__server *s = x->server;
    if (x->watched) qv__watch_remove(s->watch, x->fd);
    set_answer(x, r);
    drop_body(x);
    go_on(x, ANSWERED); /* the exchange may be gone from here on */
    atomic_fetch_sub(&s->handled, 1);
}

/* qv__request.computed: any thread. */
static void computed(qv__request *request) {
    exchange *x = request->user;
    qv__server *s = x->server;
    atomic_fetch_add(&s->handled, 1); /* the server must not close before this is over; the request may be sooner */
    go_on(x, COMPUTED);
    atomic_fetch_sub(&s->handled, 1);
}

static enum MHD_Result send_answer(exchange *x) {
    set_deadline(x, 0); /* a slow reader is the idle time-out's business */
    if (!x->response) return MHD_NO;
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)x->status, x->response);
    MHD_destroy_response(x->response);
    x->response = NULL;
    return result;
}

/* x->response becomes the refusal's. `body` (may be NULL) is a view of it. */
static void make_refusal(exchange *x, bool close, qv__buffer *body) {
    qv__response r = {0};
    char allowed[100];
    qv__api_error_response(x->server->api, &r, x->request.path, x->refused, x->reason);
    if (x->refused == 405 && qv__api_allowed(x->server->api, x->request.path, allowed, sizeof allowed)) {
        r.header_name[2] = MHD_HTTP_HEADER_ALLOW;
        r.header_value[2] = allowed;
    }
    if (close) {
        r.header_name[3] = MHD_HTTP_HEADER_CONNECTION;
        r.header_value[3] = "close";
    }
    if (body) *body = r.body;
    set_answer(x, &r);
}

static enum MHD_Result send_refusal(exchange *x, bool close) {
    make_refusal(x, close, NULL);
    return send_answer(x);
}

static enum MHD_Result send_options(exchange *x) {
    char allowed[100] = "";
    qv__api_allowed(x->server->api, x->request.path, allowed, sizeof allowed);
    qv__response r = {.status = 204, .header_name = {MHD_HTTP_HEADER_ALLOW}, .header_value = {allowed}};
    set_answer(x, &r);
    return send_answer(x);
}

static enum MHD_Result write_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    qv__buffer_printf(context, "%s: %s\r\n", name, value);
    return MHD_YES;
}

/* To the socket, or to the TLS session over it. What it does not take at once is lost: nobody waits here. */
static void write_past(const exchange *x, const qv__buffer *b) {
    if (!x->server->options.tls) {
        (void)!send(x->fd, b->data, b->size, MSG_NOSIGNAL | MSG_DONTWAIT);
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info && info->tls_session) qv__tls_write(info->tls_session, b->data, b->size);
}

/* A body is refused while it comes. libmicrohttpd takes no answer in the middle of a body, so it is written past it,
 * and the connection ends. */
static enum MHD_Result break_off(exchange *x) {
    qv__buffer body, b = {0};
    make_refusal(x, true, &body);
    if (x->response) {
        qv__buffer_printf(&b, "HTTP/1.1 %d %s\r\n", x->status, MHD_get_reason_phrase_for((unsigned)x->status));
        MHD_get_response_headers(x->response, write_header, &b);
        qv__buffer_printf(&b, "Content-Length: %zu\r\n\r\n", body.size);
        qv__buffer_append(&b, body.data, body.size);
        if (!b.failed) write_past(x, &b);
        qv__buffer_clear(&b);
    }
    qv__watch_linger(x->server->watch, x->fd);
    return MHD_NO;
}

/* ---- heads ---- */

/* ID_BYTES that nobody had before, from the system once for many. */
static const uint8_t *random_bytes(void) {
    static _Thread_local uint8_t pool[64 * ID_BYTES];
    static _Thread_local size_t left;
    if (!left && getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool) left = sizeof pool;
    if (left) left -= ID_BYTES;
    return pool + left;
}

static void choose_request_id(exchange *x) {
    const char *given = header(x, "X-Request-Id");
    size_t n = given ? strlen(given) : 0;
    bool fine = n > 0 && n <= REQUEST_ID_MAX;
    for (size_t i = 0; i < n && fine; i++)
        fine = given[i] > ' ' && given[i] < 0x7F && given[i] != '"' && given[i] != '\\';
    if (fine) {
        memcpy(x->request_id, given, n + 1);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    const uint8_t *random = random_bytes();
    for (int i = 0; i < ID_BYTES; i++) {
        x->request_id[2 * i] = digits[random[i] >> 4];
        x->request_id[2 * i + 1] = digits[random[i] & 15];
    }
}

/* Where clients must show a certificate. libmicrohttpd asks for one and leaves the judgement to us. */
static bool client_fits(const exchange *x) {
    const qv__tls *tls = x->server->options.tls;
    if (!tls || !qv__tls_client_ca(tls)) return true;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info && info->tls_session && qv__tls_client_fits(info->tls_session);
}

/* Decides by the head alone. *length: that of the body as declared, -1 for chunks. */
static void judge_head(exchange *x, int64_t *length) {
    const qv__server *s = x->server;
    const qv__limits *l = &s->options.limits;
    qv__request *q = &x->request;
    qv__framing f;
    qv__framing_read(x->connection, &f);
    *length = f.length;
    if (f.wrong) return refuse(x, 400, "%s", f.wrong);
    if (f.headers > l->headers)
        return refuse(x, 431, "The request has %d headers; %lld are the most that are taken here (--max-headers).",
                      f.headers, (long long)l->headers);
    if (!client_fits(x)) return refuse(x, 403, "A certificate that this server trusts is needed.");
    int status = qv__api_route_status(s->api, q->method, q->path);
    if (status == 404) return refuse(x, 404, "There is no such path here.");
    if (status == 405) return refuse(x, 405, "This path does not take this method.");
    if (qv__api_key_status(s->api, q->method, q->path, q->authorization, &q->client) != 200)
        return refuse(x, 401, "A valid API key is needed: \"Authorization: Bearer KEY\".");
    if (f.length > l->body_bytes) return refuse_size(x);
    if (strcmp(q->method, "POST") == 0 && !f.declared)
        return refuse(x, 411, "A POST needs Content-Length or Transfer-Encoding: chunked.");
    if (f.length > l->total_body_bytes - s->body_bytes) return refuse_memory(x);
    char why[REASON_MAX];
    if (qv__api_room_status(s->api, q->method, q->path, q->client, why, sizeof why) != 200) refuse(x, 429, "%s", why);
}

static exchange *begin(qv__server *s, struct MHD_Connection *connection, const char *url, const char *method) {
    exchange *x = qv__calloc(1, sizeof *x);
    if (!x) return NULL;
    atomic_fetch_add(&s->exchanges, 1);
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *context = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    x->server = s;
    x->connection = connection;
    x->fd = fd ? fd->connect_fd : -1;
    x->peer = context ? context->socket_context : NULL;
    x->began_ns = qv__now_ns();
    choose_request_id(x);
    x->request.method = method;
    x->request.path = url;
    x->request.content_type = header(x, MHD_HTTP_HEADER_CONTENT_TYPE);
    x->request.authorization = header(x, MHD_HTTP_HEADER_AUTHORIZATION);
    x->request.accept = header(x, MHD_HTTP_HEADER_ACCEPT);
    x->request.request_id = x->request_id;
    x->origin = header(x, MHD_HTTP_HEADER_ORIGIN);
    x->request.client = qv__client_number(address_of(x));
    x->request.respond = respond;
    x->request.computed = computed;
    x->request.user = x;
    return x;
}

/* The head is complete; nothing of the body has been read. */
static enum MHD_Result handle_head(exchange *x) {
    int64_t length;
    judge_head(x, &length);
    if (x->refused) {
        bool expects = header(x, MHD_HTTP_HEADER_EXPECT) != NULL;
        if (length == 0 && x->refused != 400 && x->refused != 411)
            return MHD_YES; /* answered when the request is complete */
        /* A short body is read and thrown away, so that the connection can be used again. */
        if (length > 0 && length <= SMALL_BODY && !expects && x->refused != 400) return MHD_YES;
        qv__watch_linger(x->server->watch, x->fd);
        return send_refusal(x, true);
    }
    int64_t most = length < 0 ? x->server->options.limits.body_bytes : length;
    set_deadline(x, x->server->options.limits.body_seconds + most / SLOWEST_BYTES_PER_SECOND);
    return MHD_YES;
}

static enum MHD_Result handle_complete(exchange *x) {
    x->complete_ns = qv__now_ns();
    if (x->refused) return send_refusal(x, false);
    if (strcmp(x->request.method, "OPTIONS") == 0) return send_options(x);
    qv__server *s = x->server;
    set_deadline(x, 0);
    atomic_fetch_add(&s->handled, 1); /* before closing is looked at: the closer sets that before it looks at this */
    if (s->closing) {
        atomic_fetch_sub(&s->handled, 1);
        refuse(x, 503, "The server is shutting down.");
        return send_refusal(x, false);
    }
    x->request.body = x->body.data ? x->body.data : "";
    x->request.body_size = x->body.size;
    x->state = HANDLING;
    int64_t seconds = s->options.limits.request_seconds;
    x->request.deadline_ns = seconds ? x->complete_ns + seconds * 1000000000 : 0;
    /* light answers (GET) are back before anybody could hang up */
    x->watched = strcmp(x->request.method, "POST") == 0 && qv__watch_add(s->watch, x->fd, x, x->request.deadline_ns);
    qv__api_handle(s->api, &x->request);
    if (x->state == COMPUTED) qv__api_finish(s->api, &x->request);
    if (x->state == ANSWERED) return send_answer(x);
    MHD_suspend_connection(x->connection);
    int expected = HANDLING;
    if (!atomic_compare_exchange_strong(&x->state, &expected, SUSPENDED)) MHD_resume_connection(x->connection);
    return MHD_YES;
}

enum MHD_Result qv__exchange_handle(void *server, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *upload, size_t *upload_size,
                                    void **state) {
    exchange *x = *state;
    if (!x) {
        x = begin(server, connection, url, method);
        *state = x;
        return x ? handle_head(x) : MHD_NO;
    }
    if (*upload_size) {
        bool before = x->refused;
        take_body(x, upload, *upload_size);
        *upload_size = 0;
        bool ends = x->refused == 413 || x->server->closing;
        return ends && !before ? break_off(x) : MHD_YES;
    }
    if (x->state == COMPUTED) qv__api_finish(x->server->api, &x->request);
    return x->state == ANSWERED ? send_answer(x) : handle_complete(x);
}

void qv__exchange_late(void *user) {
    exchange *x = user;
    qv__api_late(x->server->api, &x->request);
}

void qv__exchange_hung_up(void *user) {
    exchange *x = user;
    qv__api_gone(x->server->api, &x->request);
}

/* In the log and in the counters. */
static void note_end(const exchange *x, bool sent) {
    int64_t now = qv__now_ns();
    qv__access access = {.id = x->request_id,
                         .client = address_of(x),
                         .method = x->request.method,
                         .path = qv__api_route_path(x->server->api, x->request.path),
                         .status = x->status,
                         .items = x->items,
                         .tokens = x->tokens,
                         .total_ns = now - x->began_ns,
                         .read_ns = (x->complete_ns ? x->complete_ns : now) - x->began_ns,
                         .sent = sent};
    memcpy(access.stage_ns, x->stage_ns, sizeof access.stage_ns);
    if (x->answered_ns) access.stage_ns[QV__STAGE_WRITE] += now - x->answered_ns;
    if (!x->server->options.no_access_log) qv__access_log(&access);
    qv__ended ended = {.method = x->request.method,
                       .path = x->request.path,
                       .status = x->status,
                       .items = x->items,
                       .tokens = x->tokens,
                       .total_ns = access.total_ns};
    memcpy(ended.stage_ns, access.stage_ns, sizeof ended.stage_ns);
    qv__api_note_end(x->server->api, &ended);
}

void *qv__exchange_first_line(void *server, const char *url, struct MHD_Connection *connection) {
    const qv__server *s = server;
    const union MHD_ConnectionInfo *context = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    qv__peer *peer = context ? context->socket_context : NULL;
    if (peer) peer->deadline_ns = qv__now_ns() + s->options.limits.head_seconds * 1000000000;
    return NULL; /* no exchange yet */
}

void qv__exchange_completed(void *server, struct MHD_Connection *connection, void **state,
                            enum MHD_RequestTerminationCode code) {
    exchange *x = *state;
    if (!x) return;
    *state = NULL;
    if (x->state == COMPUTED) qv__api_finish(x->server->api, &x->request); /* the client left; the request must end */
    note_end(x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    set_deadline(x, x->server->options.limits.idle_seconds);
    drop_body(x);
    if (x->response) MHD_destroy_response(x->response);
    atomic_fetch_sub(&x->server->exchanges, 1);
    qv__free(x);
}

void qv__exchange_connection(void *server, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code) {
    qv__server *s = server;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        qv__peer *peer = qv__calloc(1, sizeof *peer);
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = peer;
        qv__api_note_connection(s->api, 1);
        if (!peer) return;
        peer->fd = fd ? fd->connect_fd : -1;
        peer->deadline_ns = qv__now_ns() + (int64_t)s->options.limits.idle_seconds * 1000000000;
        qv__watch_peer_add(s->watch, peer);
        return;
    }
    qv__api_note_connection(s->api, -1);
    if (*context) {
        qv__watch_peer_remove(s->watch, *context);
        qv__free(*context);
        *context = NULL;
    }
}
