/* What libmicrohttpd does not do, in one thread:
 *  - it does not look at a suspended connection, so nobody would notice that a client hung up while its request
 *    waits: watched sockets report that;
 *  - it closes a refused upload at once, and the reset that follows can overtake the answer: lingering sockets are read
 *    out for a while first;
 *  - its time-out starts again with every byte: peers have a deadline for a whole request head or body. */
#ifndef QVEC_HTTP_WATCH_H
#define QVEC_HTTP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct qv__watch qv__watch;

/* One connection; a list of all of them is kept for the deadlines. */
typedef struct qv__peer {
    struct qv__peer *next, *previous;
    int fd;
    _Atomic int64_t deadline_ns; /* the socket is shut down then; 0: never */
} qv__peer;

qv__watch *qv__watch_open(void (*hung_up)(void *user), void (*late)(void *user));
void qv__watch_close(qv__watch **watch);

/* Of a socket that is a peer. hung_up(user), and late(user) once due_ns (0: never) has passed, may be called between
 * these two, and never after the second has returned. A half-closed connection counts as hung up. */
bool qv__watch_add(qv__watch *watch, int fd, void *user, int64_t due_ns);
void qv__watch_remove(qv__watch *watch, int fd);

/* As if every watched client had hung up. */
void qv__watch_hang_up_all(qv__watch *watch);

/* Keeps a duplicate of the socket and reads it out for at most a few seconds. */
void qv__watch_linger(qv__watch *watch, int fd);

void qv__watch_peer_add(qv__watch *watch, qv__peer *peer);
void qv__watch_peer_remove(qv__watch *watch, qv__peer *peer);
#endif
