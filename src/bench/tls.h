/* TLS 1.2 and 1.3 as a client, over non-blocking sockets, and wires: sockets with TLS over them or without.
 *
 * Sending and receiving go like send and recv: -1 with errno EAGAIN where a socket would block, 0 where the server has
 * closed. Bytes are read until a socket would block, so edge-triggered epoll works on it. */
#ifndef QVEC_BENCH_TLS_H
#define QVEC_BENCH_TLS_H

#include <sys/socket.h>

#include "qvec/qvec.h"

/* Whom to believe, and how to go on with an earlier session: shared by all connections to a host, of any thread. */
typedef struct qv__trust qv__trust;

/* host: the name or address that the server's certificate must bear. ca_file: PEM of the roots that are trusted; NULL:
 * the system's. insecure: any certificate is taken. QV_INVALID_ARGUMENT, QV_UNSUPPORTED. */
qv_status qv__trust_open(const char *host, const char *ca_file, bool insecure, qv__trust **out, qv_error *err);
void qv__trust_close(qv__trust **trust); /* after all its connections */

/* One connection's session. */
typedef struct qv__secure qv__secure;

/* fd: connected, non-blocking; stays the caller's. trust must outlive it. */
qv_status qv__secure_open(qv__trust *trust, int fd, qv__secure **out, qv_error *err);
/* Goes on with the handshake: 0 done; -1 with errno EAGAIN, or EPROTO: failed. */
int qv__secure_handshake(qv__secure *s);
bool qv__secure_wants_to_write(const qv__secure *s); /* what the last EAGAIN waits for; else to read */
ssize_t qv__secure_send(qv__secure *s, const void *data, size_t size); /* after EAGAIN with the same bytes again */
ssize_t qv__secure_recv(qv__secure *s, void *data, size_t size);
const char *qv__secure_reason(const qv__secure *s); /* of EPROTO, on one line */
void qv__secure_close(qv__secure **s);              /* says goodbye if that does not block */

typedef struct {
    int fd;             /* -1: closed */
    qv__secure *secure; /* NULL: plain */
} qv__wire;

static inline ssize_t qv__wire_send(const qv__wire *w, const void *data, size_t size) {
    return w->secure ? qv__secure_send(w->secure, data, size) : send(w->fd, data, size, MSG_NOSIGNAL);
}

static inline ssize_t qv__wire_recv(const qv__wire *w, void *data, size_t size) {
    return w->secure ? qv__secure_recv(w->secure, data, size) : recv(w->fd, data, size, 0);
}

const char *qv__wire_reason(const qv__wire *w, int failure); /* what a failure's errno means */
void qv__wire_close(qv__wire *w);
#endif
