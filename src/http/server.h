/* Bytes on the wire: libmicrohttpd, limits on sizes and times, suspended connections while api/ works. */
#ifndef QVEC_HTTP_SERVER_H
#define QVEC_HTTP_SERVER_H

#include "api/api.h"
#include "http/cors.h"
#include "http/tls.h"

typedef struct qv__server qv__server;

typedef struct {
    const char *host;      /* NULL: all addresses */
    int port;              /* 0: any free one, see qv__server_port */
    const char *unix_path; /* a socket in the file system instead of those two; NULL: none */
    int unix_mode;         /* of it, 0660 */
    qv__tls *tls;          /* NULL: plain HTTP; the caller's to close, after the server */
    qv__cors cors;
    qv__limits limits; /* 0: the default */
    int threads;       /* 0: 2 */
    int drain_delay_s; /* of closing: how long new connections are still taken */
    bool no_access_log;
} qv__server_options;

qv_status qv__server_open(qv__api *api, const qv__server_options *options, qv__server **out, qv_error *err);
int qv__server_port(const qv__server *server);
/* Asks clients to leave (/readyz, "Connection: close"), stops accepting after drain_delay_s, gives the requests in
 * flight what is left of drain_seconds, then answers those that are left with 503, whatever is being done for them, and
 * closes. What the engine computes of them is given up at its next block: the api's closing waits for that. */
void qv__server_close(qv__server **server, int drain_seconds);
/* For main, before other threads are there: the heap keeps what requests free, where it would otherwise give a page or
 * two back to the system and fetch them again for each. These are the thresholds that glibc arrives at by itself once a
 * block of 32 MiB has been freed. */
void qv__server_keep_heap(void);
#endif
