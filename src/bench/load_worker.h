/* The inside of the load generator: a thread, its connections, and what threads share. */
#ifndef QVEC_BENCH_LOAD_WORKER_H
#define QVEC_BENCH_LOAD_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/answer.h"
#include "bench/load.h"

typedef struct {
    const qv__load *load;
    qv__load_result *results;
    int64_t start_ns;
    atomic_size_t next; /* the first request that nobody has taken */
    _Atomic int64_t done, failed, tokens, open, peak;
    atomic_bool stop;
} qv__load_shared;

typedef enum {
    QV__CONNECTION_CONNECTING,
    QV__CONNECTION_HANDSHAKE, /* of TLS */
    QV__CONNECTION_BUSY,
    QV__CONNECTION_COMPLETE, /* the answer is here and not yet looked at */
    QV__CONNECTION_IDLE,
    QV__CONNECTION_DEAD, /* closed while idle; freed when it comes up */
} qv__connection_phase;

typedef struct qv__connection {
    struct qv__connection *next; /* in the idle or the complete list */
    size_t slot;                 /* in the worker's list of all */
    qv__wire wire;
    int64_t opened_ns; /* from the start */
    qv__connection_phase phase;
    bool reused;       /* has carried a request before */
    bool again;        /* this request met a closing connection before */
    bool closing;      /* the server will send no more */
    int write_failure; /* errno of a send; the answer may be there all the same */
    size_t request, written;
    qv__answer answer;
} qv__connection;

enum {
    QV__LOAD_READ_BYTES = 256 * 1024,
    QV__LOAD_HANDSHAKE_S = 60, /* for a handshake: thousands at once take a server their time */
};

typedef struct {
    qv__load_shared *shared;
    pthread_t thread;
    int epoll, timer;
    qv__connection **all;
    size_t count, capacity;
    qv__connection *idle, *complete;
    int64_t open, limit;  /* requests under way; most of them */
    int64_t slot_free_ns; /* when the limit last let a request go, from the start; 0: never reached */
    int64_t armed_ns;     /* what the timer is set to */
    int64_t connections, sent_again, cpu_ns, wall_ns;
    char *buffer; /* [QV__LOAD_READ_BYTES] */
    qv_status status;
    qv_error err;
} qv__load_worker;

int64_t qv__load_now(const qv__load_shared *shared); /* from the start */

/* Sends request i. What goes wrong becomes the request's result. */
void qv__connection_start(qv__load_worker *w, size_t i);
/* What epoll says about a connection. */
void qv__connection_event(qv__load_worker *w, qv__connection *c, uint32_t events);
/* Looks at the answers that came in, in time measured already. */
void qv__connection_settle(qv__load_worker *w);
/* Requests that take longer than the load's timeout fail, and those whose handshake takes too long. */
void qv__connection_expire(qv__load_worker *w);
/* Closes all, whatever they do. */
void qv__connection_close_all(qv__load_worker *w);
#endif
