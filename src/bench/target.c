#include "bench/target.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/number.h"
#include "bench/answer.h"

enum { CONNECT_MS = 5000 };

/* ---- the URL ---- */

/* Host and port of "host:port", "[::1]:port", "host". */
static qv_status parse_authority(const char *text, size_t size, qv__target *out, qv_error *err) {
    bool bracket = size && text[0] == '[';
    const char *end = bracket ? memchr(text, ']', size) : memchr(text, ':', size);
    const char *host = bracket ? text + 1 : text;
    size_t length = end ? (size_t)(end - host) : size - (bracket ? 1 : 0);
    if ((bracket && !end) || !length || length >= sizeof out->host)
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.*s\" is not a host", (int)(size < 80 ? size : 80), text);
    memcpy(out->host, host, length);
    out->host[length] = 0;
    const char *colon = bracket ? end + 1 : end;
    size_t rest = colon ? size - (size_t)(colon - text) : 0;
    if (!rest) return QV_OK;
    char digits[8] = "";
    int64_t port;
    if (colon[0] != ':' || rest - 1 >= sizeof digits)
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.*s\" is not a port", (int)(rest < 80 ? rest : 80), colon);
    memcpy(digits, colon + 1, rest - 1);
    qv_status status = qv__parse_int(digits, 1, 65535, &port, err);
    if (!status) out->port = (int)port;
    return status;
}

qv_status qv__target_parse(const char *url, qv__target *out, qv_error *err) {
    bool https = !strncasecmp(url, "https://", 8);
    *out = (qv__target){.port = https ? 443 : 80, .https = https};
    if (!https && strncasecmp(url, "http://", 7))
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.80s\" does not begin with http:// or https://", url);
    const char *authority = url + (https ? 8 : 7);
    size_t size = strcspn(authority, "/?#"), prefix = strcspn(authority + size, "?#");
    qv_status status = parse_authority(authority, size, out, err);
    if (status) return status;
    while (prefix && authority[size + prefix - 1] == '/') prefix--;
    for (size_t i = 0; i < prefix; i++)
        if ((unsigned char)authority[size + i] <= 0x20 || (unsigned char)authority[size + i] >= 0x7F)
            return qv__fail(err, QV_INVALID_ARGUMENT, "a character of the URL's path needs to be written as %%XX");
    if (prefix >= sizeof out->prefix)
        return qv__fail(err, QV_INVALID_ARGUMENT, "the URL's path has %zu bytes; at most %zu", prefix,
                        sizeof out->prefix - 1);
    memcpy(out->prefix, authority + size, prefix);
    return QV_OK;
}

/* ---- the address ---- */

/* A connected socket, or -1 with errno set. */
static int dial(const struct sockaddr *address, socklen_t size) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failure = 0;
    socklen_t length = sizeof failure;
    if (fd < 0) return -1;
    if (connect(fd, address, size)) {
        failure = errno;
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (failure == EINPROGRESS) {
            int ready = poll(&wait, 1, CONNECT_MS);
            failure = ready == 0 ? ETIMEDOUT : 0;
            if (ready) getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length);
        }
    }
    if (!failure) return fd;
    close(fd);
    errno = failure;
    return -1;
}

static int left_ms(int64_t end_ns) {
    int64_t left = (end_ns - qv__now_ns()) / 1000000;
    return left > 0 ? (int)left : 0;
}

static qv_status shake_hands(const qv__wire *wire, qv_error *err) {
    int64_t end = qv__now_ns() + CONNECT_MS * 1000000LL;
    while (qv__secure_handshake(wire->secure)) {
        if (errno != EAGAIN) return qv__fail(err, QV_IO, "%s", qv__wire_reason(wire, errno));
        short event = qv__secure_wants_to_write(wire->secure) ? POLLOUT : POLLIN;
        struct pollfd wait = {.fd = wire->fd, .events = event};
        if (poll(&wait, 1, left_ms(end)) == 0)
            return qv__fail(err, QV_IO, "no TLS handshake within %d ms; is it http://?", CONNECT_MS);
    }
    return QV_OK;
}

/* Puts TLS over a connected socket where the target wants it. After a failure the wire is still the caller's to close.
 */
static qv_status secure(const qv__target *target, qv__wire *wire, qv_error *err) {
    if (!target->https) return QV_OK;
    qv_status status = qv__secure_open(target->trust, wire->fd, &wire->secure, err);
    if (!status) status = shake_hands(wire, err);
    return status ? qv__fail_in(err, status, "%s port %d", target->host, target->port) : QV_OK;
}

qv_status qv__target_resolve(qv__target *target, qv_error *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int failure = getaddrinfo(target->host, NULL, &hints, &list), reason = 0;
    qv__wire wire = {.fd = -1};
    if (failure) return qv__fail(err, QV_IO, "%s: %s", target->host, gai_strerror(failure));
    for (struct addrinfo *a = list; a && wire.fd < 0; a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
        memcpy(&target->address, a->ai_addr, a->ai_addrlen);
        target->address_size = a->ai_addrlen;
        if (a->ai_family == AF_INET)
            ((struct sockaddr_in *)&target->address)->sin_port = htons((uint16_t)target->port);
        else
            ((struct sockaddr_in6 *)&target->address)->sin6_port = htons((uint16_t)target->port);
        wire.fd = dial((const struct sockaddr *)&target->address, target->address_size);
        if (wire.fd < 0) reason = errno;
    }
    freeaddrinfo(list);
    if (wire.fd < 0)
        return qv__fail(err, QV_IO, "no server answers at %s port %d: %s", target->host, target->port,
                        strerror(reason));
    qv_status status = secure(target, &wire, err);
    qv__wire_close(&wire);
    return status;
}

/* ---- requests ---- */

void qv__target_write_head(const qv__target *target, const qv__head *head, int64_t body_size, qv__buffer *out) {
    bool v6 = strchr(target->host, ':') != NULL;
    qv__buffer_printf(out, "%s %s%s HTTP/1.1\r\nHost: %s%s%s:%d\r\n", head->method, target->prefix, head->path,
                      v6 ? "[" : "", target->host, v6 ? "]" : "", target->port);
    for (size_t i = 0; i < head->header_count; i++) qv__buffer_printf(out, "%s\r\n", head->headers[i]);
    if (body_size >= 0)
        qv__buffer_printf(out, "Content-Type: application/json\r\nContent-Length: %lld\r\n", (long long)body_size);
    qv__buffer_puts(out, "\r\n");
}

static qv_status send_all(const qv__wire *wire, const qv__buffer *request, qv_error *err) {
    size_t sent = 0;
    while (sent < request->size) {
        ssize_t n = qv__wire_send(wire, request->data + sent, request->size - sent);
        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = wire->fd, .events = POLLOUT}, 1, CONNECT_MS);
        else if (n < 0)
            return qv__fail(err, QV_IO, "the request cannot be sent: %s", qv__wire_reason(wire, errno));
        else
            sent += (size_t)n;
    }
    return QV_OK;
}

static qv_status receive(const qv__wire *wire, int timeout_ms, qv__answer *r, qv_error *err) {
    char data[16 * 1024];
    size_t used;
    while (r->state != QV__ANSWER_DONE) {
        ssize_t n = qv__wire_recv(wire, data, sizeof data);
        if (n < 0 && errno == EAGAIN) {
            if (poll(&(struct pollfd){.fd = wire->fd, .events = POLLIN}, 1, timeout_ms) <= 0)
                return qv__fail(err, QV_IO, "no answer within %d ms", timeout_ms);
            continue;
        }
        if (n < 0) return qv__fail(err, QV_IO, "%s", qv__wire_reason(wire, errno));
        qv_status status = n ? qv__answer_feed(r, data, (size_t)n, &used, err) : qv__answer_end(r, err);
        if (status) return status;
    }
    return QV_OK;
}

static qv_status open_wire(const qv__target *target, qv__wire *wire, qv_error *err) {
    wire->fd = dial((const struct sockaddr *)&target->address, target->address_size);
    if (wire->fd < 0) return qv__fail(err, QV_IO, "%s port %d: %s", target->host, target->port, strerror(errno));
    return secure(target, wire, err);
}

qv_status qv__target_get(const qv__target *target, const qv__head *head, double timeout_s, char **body, size_t *size,
                         int *http, qv_error *err) {
    qv__buffer request = {0};
    qv__answer r = {0};
    qv__wire wire = {.fd = -1};
    *body = NULL;
    *http = 0;
    qv__target_write_head(target, head, -1, &request);
    qv__answer_start(&r);
    qv_status status = request.failed ? qv__fail(err, QV_NO_MEMORY, "out of memory") : open_wire(target, &wire, err);
    if (!status) status = send_all(&wire, &request, err);
    if (!status) status = receive(&wire, (int)(timeout_s * 1000), &r, err);
    if (!status) *http = r.status;
    if (!status && r.status != 200) status = qv__fail(err, QV_IO, "GET %s: %d %s", head->path, r.status, r.reason);
    if (!status && !(*body = qv__strndup(r.body.data ? r.body.data : "", r.body.size)))
        status = qv__fail(err, QV_NO_MEMORY, "out of memory");
    *size = r.body.size;
    qv__wire_close(&wire);
    qv__answer_clear(&r);
    qv__buffer_clear(&request);
    return status;
}
