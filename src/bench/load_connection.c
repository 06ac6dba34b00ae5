#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "bench/load_worker.h"

enum { ERROR_BYTES = 240 };

/* ---- results ---- */

static qv__load_result *result_of(const qv__load_worker *w, const qv__connection *c) {
    return &w->shared->results[c->request];
}

static bool is_limited(const qv__load_worker *w) {
    return w->open >= w->limit;
}

/* The request is under way no more. */
static void count_out(qv__load_worker *w, qv__load_result *r, int64_t now) {
    if (is_limited(w)) w->slot_free_ns = now;
    w->open--;
    w->shared->open--;
    r->done_ns = now;
}

static void note_failure(qv__load_worker *w, qv__load_result *r, const char *text) {
    char line[ERROR_BYTES];
    size_t n = 0;
    for (; text[n] && n < sizeof line - 1; n++) line[n] = (unsigned char)text[n] < 0x20 ? ' ' : text[n];
    line[n] = 0;
    r->state = QV__LOAD_FAILED;
    r->error = qv__strdup(line);
    w->shared->failed++;
    w->shared->done++;
}

/* ---- sockets ---- */

static void drop(qv__load_worker *w, qv__connection *c) {
    qv__wire_close(&c->wire);
    qv__answer_clear(&c->answer);
    w->all[c->slot] = w->all[--w->count];
    w->all[c->slot]->slot = c->slot;
    qv__free(c);
}

static qv__connection *add(qv__load_worker *w) {
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 64;
        qv__connection **all = qv__realloc(w->all, capacity * sizeof *all);
        if (!all) return NULL;
        w->all = all;
        w->capacity = capacity;
    }
    qv__connection *c = qv__calloc(1, sizeof *c);
    if (!c) return NULL;
    c->wire.fd = -1;
    c->slot = w->count;
    return w->all[w->count++] = c;
}

static qv__connection *take_idle(qv__load_worker *w) {
    while (w->idle) {
        qv__connection *c = w->idle;
        w->idle = c->next;
        if (c->phase == QV__CONNECTION_IDLE) return c;
        drop(w, c);
    }
    return NULL;
}

/* Begins to connect; 0 or an errno. */
static int open_socket(qv__load_worker *w, qv__connection *c) {
    const qv__target *target = w->shared->load->target;
    int one = 1;
    int fd = c->wire.fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    w->connections++;
    c->opened_ns = qv__load_now(w->shared);
    c->phase = QV__CONNECTION_CONNECTING;
    c->reused = c->closing = false;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event)) return errno;
    if (!connect(fd, (const struct sockaddr *)&target->address, target->address_size)) return 0;
    return errno == EINPROGRESS ? 0 : errno;
}

static void prepare(qv__connection *c) {
    c->written = 0;
    c->write_failure = 0;
    qv__answer_start(&c->answer);
}

/* The request ends here, with an error. */
static void fail(qv__load_worker *w, qv__connection *c, const char *text) {
    qv__load_result *r = result_of(w, c);
    count_out(w, r, qv__load_now(w->shared));
    note_failure(w, r, text);
    drop(w, c);
}

/* A server may close an idle connection at the moment a request is sent on it. That is nobody's failure: once more, on
 * a new connection. */
static void fail_or_send_again(qv__load_worker *w, qv__connection *c, const char *text) {
    if (!c->reused || c->answer.begun || c->again) {
        fail(w, c, text);
        return;
    }
    qv__wire_close(&c->wire);
    prepare(c);
    c->again = true;
    w->sent_again++;
    int failure = open_socket(w, c);
    if (failure) fail(w, c, strerror(failure));
}

/* ---- bytes ---- */

static void write_request(qv__load_worker *w, qv__connection *c) {
    const qv__message *m = &w->shared->load->messages[c->request];
    while (c->written < m->size && !c->write_failure) {
        ssize_t n = qv__wire_send(&c->wire, m->data + c->written, m->size - c->written);
        if (n >= 0)
            c->written += (size_t)n;
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            c->write_failure = errno;
    }
}

static void complete(qv__load_worker *w, qv__connection *c) {
    count_out(w, result_of(w, c), qv__load_now(w->shared));
    c->phase = QV__CONNECTION_COMPLETE;
    c->next = w->complete;
    w->complete = c;
}

/* Reads what there is. The connection may be gone afterwards. */
static void read_answer(qv__load_worker *w, qv__connection *c) {
    qv_error err = {0};
    for (;;) {
        size_t used = 0;
        ssize_t n = qv__wire_recv(&c->wire, w->buffer, QV__LOAD_READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && !c->write_failure) return;
        if (n < 0) {
            fail_or_send_again(w, c, qv__wire_reason(&c->wire, errno == EAGAIN ? c->write_failure : errno));
            return;
        }
        qv_status status =
            n ? qv__answer_feed(&c->answer, w->buffer, (size_t)n, &used, &err) : qv__answer_end(&c->answer, &err);
        if (status) {
            fail_or_send_again(w, c, err.message);
            return;
        }
        if (used < (size_t)n) c->answer.keep_alive = false; /* more than was asked for */
        if (c->answer.state != QV__ANSWER_DONE) continue;
        complete(w, c);
        return;
    }
}

static void send_request(qv__load_worker *w, qv__connection *c) {
    c->phase = QV__CONNECTION_BUSY;
    write_request(w, c);
    if (c->write_failure) read_answer(w, c);
}

static void go_on_shaking_hands(qv__load_worker *w, qv__connection *c) {
    if (!qv__secure_handshake(c->wire.secure))
        send_request(w, c);
    else if (errno != EAGAIN)
        fail(w, c, qv__wire_reason(&c->wire, errno));
}

static void begin_handshake(qv__load_worker *w, qv__connection *c) {
    qv_error err = {0};
    c->phase = QV__CONNECTION_HANDSHAKE;
    if (qv__secure_open(w->shared->load->target->trust, c->wire.fd, &c->wire.secure, &err))
        fail(w, c, err.message);
    else
        go_on_shaking_hands(w, c);
}

static void finish_connect(qv__load_worker *w, qv__connection *c) {
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(c->wire.fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure) {
        fail(w, c, strerror(failure));
        return;
    }
    if (w->shared->load->target->https)
        begin_handshake(w, c);
    else
        send_request(w, c);
}

/* An event of an idle connection: bytes that were read with the last answer, or the server closes it or speaks unasked.
 */
static void watch_idle(qv__connection *c) {
    char byte;
    if (!c->closing && qv__wire_recv(&c->wire, &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR)) return;
    qv__wire_close(&c->wire);
    c->phase = QV__CONNECTION_DEAD;
}

void qv__connection_event(qv__load_worker *w, qv__connection *c, uint32_t events) {
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->closing = true;
    if (c->phase == QV__CONNECTION_IDLE) {
        watch_idle(c);
        return;
    }
    if (c->phase == QV__CONNECTION_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) finish_connect(w, c);
        return; /* nothing can have come before the request was sent */
    }
    if (c->phase == QV__CONNECTION_HANDSHAKE) {
        go_on_shaking_hands(w, c);
        return;
    }
    if (c->phase != QV__CONNECTION_BUSY) return;
    if (events & EPOLLOUT) write_request(w, c);
    if ((events & ~(uint32_t)EPOLLOUT) || c->write_failure) read_answer(w, c);
}

/* ---- requests ---- */

void qv__connection_start(qv__load_worker *w, size_t i) {
    qv__load_shared *s = w->shared;
    qv__load_result *r = &s->results[i];
    r->state = QV__LOAD_UNDER_WAY;
    r->from_ns = s->load->due ? (int64_t)(s->load->due[i] * 1e9) : w->slot_free_ns;
    r->ready_ns = r->from_ns > w->slot_free_ns ? r->from_ns : w->slot_free_ns;
    r->tokens = -1;
    int64_t open = ++s->open, peak = s->peak;
    while (open > peak && !atomic_compare_exchange_weak(&s->peak, &peak, open)) {
    }
    w->open++;
    qv__connection *c = take_idle(w);
    bool fresh = !c;
    if (fresh) c = add(w);
    r->sent_ns = qv__load_now(s);
    if (!c) {
        count_out(w, r, r->sent_ns);
        note_failure(w, r, "out of memory for a connection");
        return;
    }
    c->request = i;
    c->again = false;
    prepare(c);
    if (fresh) {
        int failure = open_socket(w, c);
        if (failure) fail(w, c, strerror(failure));
        return;
    }
    c->reused = true;
    send_request(w, c);
}

static void read_result(qv__load_worker *w, qv__connection *c) {
    qv__load_result *r = result_of(w, c);
    const qv__answer *answer = &c->answer;
    qv_error err = {0};
    r->http = answer->status;
    if (answer->status != 200) {
        char text[ERROR_BYTES];
        snprintf(text, sizeof text, "%d %s: %.*s", answer->status, answer->reason,
                 answer->body.size < 160 ? (int)answer->body.size : 160, answer->body.size ? answer->body.data : "");
        note_failure(w, r, text);
    } else if (!answer->binary && qv__answer_tokens(answer->body.data, answer->body.size, &r->tokens, &err))
        note_failure(w, r, err.message);
    else {
        r->state = QV__LOAD_DONE;
        if (r->tokens > 0) w->shared->tokens += r->tokens;
        w->shared->done++;
    }
}

void qv__connection_settle(qv__load_worker *w) {
    while (w->complete) {
        qv__connection *c = w->complete;
        w->complete = c->next;
        read_result(w, c);
        bool whole = c->written == w->shared->load->messages[c->request].size;
        bool wanted = w->shared->next < w->shared->load->count;
        if (!whole || !wanted || c->closing || !c->answer.keep_alive) {
            drop(w, c);
            continue;
        }
        c->phase = QV__CONNECTION_IDLE;
        c->next = w->idle;
        w->idle = c;
    }
}

void qv__connection_expire(qv__load_worker *w) {
    double limit = w->shared->load->timeout_s;
    int64_t now = qv__load_now(w->shared), oldest = now - (int64_t)(limit * 1e9);
    int64_t oldest_handshake = now - QV__LOAD_HANDSHAKE_S * 1000000000LL;
    char text[64];
    for (size_t i = w->count; i-- > 0;) { /* backwards: a failed one is replaced by the last */
        qv__connection *c = w->all[i];
        bool shakes = c->phase == QV__CONNECTION_HANDSHAKE;
        bool waits = shakes || c->phase == QV__CONNECTION_BUSY || c->phase == QV__CONNECTION_CONNECTING;
        bool expired = limit > 0 && waits && result_of(w, c)->sent_ns < oldest;
        bool shook_too_long = shakes && c->opened_ns < oldest_handshake;
        if (!expired && !shook_too_long) continue;
        snprintf(text, sizeof text, "no %s within %g s", shakes ? "TLS handshake" : "answer",
                 expired ? limit : QV__LOAD_HANDSHAKE_S);
        fail(w, c, text);
    }
}

void qv__connection_close_all(qv__load_worker *w) {
    while (w->count) drop(w, w->all[w->count - 1]);
    w->idle = w->complete = NULL;
    qv__free(w->all);
    w->all = NULL;
}
