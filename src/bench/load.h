/* A load generator: sends requests when they are due and writes down when they were sent and answered.
 *
 * Open loop: a request is due whatever the server does, and its latency counts from when it was due, so that a server
 * that stalls cannot hide it (no coordinated omission). Without a rate (`due` NULL) requests follow each other as fast
 * as max_concurrency lets them, and a latency counts from when the request could have gone.
 *
 * Each thread has an epoll of its own and keeps its connections; all take requests from one list. A request that meets
 * a connection which the server has just closed is sent once more on a new one. */
#ifndef QVEC_BENCH_LOAD_H
#define QVEC_BENCH_LOAD_H

#include "bench/target.h"

typedef struct {
    const char *data; /* head and body */
    size_t size;
} qv__message;

typedef struct {
    const qv__target *target; /* resolved */
    const qv__message *messages;
    size_t count;
    const double *due;       /* [count] seconds from the start, ascending; NULL: all at once */
    int64_t max_concurrency; /* 0: no limit */
    int threads;
    double timeout_s; /* of one request; 0: none */
    /* Called about every 50 ms on the calling thread, with what is done so far. True: stop, and leave what is under
     * way. NULL: none. */
    bool (*watch)(void *user, int64_t done, int64_t failed, int64_t tokens);
    void *user;
} qv__load;

typedef enum { QV__LOAD_UNSENT, QV__LOAD_UNDER_WAY, QV__LOAD_DONE, QV__LOAD_FAILED } qv__load_state;

typedef struct {
    qv__load_state state;
    int http; /* 0: no answer */
    /* Nanoseconds from the start. from: when it was due, or could have gone; ready: the same, but not before the limit
     * of concurrency let it go; sent - ready is the generator's own lag. */
    int64_t from_ns, ready_ns, sent_ns, done_ns;
    int64_t tokens; /* as the answer says; -1: it does not */
    char *error;    /* malloc'd; of failed ones */
} qv__load_result;

typedef struct {
    double seconds;      /* from the start to the last answer */
    double cpu_seconds;  /* of the sending threads */
    double busiest;      /* share of its time that the busiest thread computed, 0 to 1 */
    int64_t peak_open;   /* most requests under way at a time */
    int64_t connections; /* opened in all */
    int64_t sent_again;  /* requests that met a closing connection */
    int64_t file_limit;  /* requests under way at a time that the limit of open files allows; 0: it did not matter */
    bool stopped;
} qv__load_totals;

/* results[count] are zeroed first; free them with qv__load_clear also after a failure. Failed requests are no failure
 * of the run. */
qv_status qv__load_run(const qv__load *load, qv__load_result *results, qv__load_totals *totals, qv_error *err);
void qv__load_clear(qv__load_result *results, size_t count);
#endif
