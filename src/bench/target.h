/* The server that is measured: its URL taken apart, its address, and the bytes of requests to it. */
#ifndef QVEC_BENCH_TARGET_H
#define QVEC_BENCH_TARGET_H

#include <sys/socket.h>

#include "base/memory.h"
#include "bench/tls.h"
#include "qvec/qvec.h"

typedef struct {
    char host[256]; /* without brackets */
    int port;
    bool https;
    char prefix[512]; /* path in front of every endpoint, without a slash at its end */
    struct sockaddr_storage address;
    socklen_t address_size;
    qv__trust *trust; /* https: must be set before the target is used; not owned */
} qv__target;

/* "http://host:port/prefix" or "https://…". QV_INVALID_ARGUMENT. */
qv_status qv__target_parse(const char *url, qv__target *out, qv_error *err);
/* Finds the address and connects once, with the handshake of https, to see that the right one listens; of several
 * addresses the first where somebody does. QV_IO. */
qv_status qv__target_resolve(qv__target *target, qv_error *err);

typedef struct {
    const char *method;         /* "POST" */
    const char *path;           /* behind the prefix */
    const char *const *headers; /* whole lines "Name: value" */
    size_t header_count;
} qv__head;

/* Appends a request's head; body_size < 0: no body. */
void qv__target_write_head(const qv__target *target, const qv__head *head, int64_t body_size, qv__buffer *out);

/* One GET, waited for on the calling thread. *body: malloc'd and NUL-terminated. QV_IO, also for answers other than
 * 200 (whose status is in *http, which is 0 when there was no answer). */
qv_status qv__target_get(const qv__target *target, const qv__head *head, double timeout_s, char **body, size_t *size,
                         int *http, qv_error *err);
#endif
