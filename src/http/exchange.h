/* One request and its answer on a connection.
 *
 *   READING -> HANDLING: the body is complete and api/ has the request
 *   HANDLING -> SUSPENDED: the connection sleeps while api/ works (or HANDLING -> ANSWERED when it was quick)
 *   SUSPENDED -> ANSWERED: respond, from any thread, wakes the connection, which then sends
 *   SUSPENDED -> COMPUTED: the same, but for the connection's thread to make the answer itself, then ANSWERED
 *
 * A request that is refused before or during its body (no such path, too large, no key) never reaches HANDLING. */
#ifndef QVEC_HTTP_EXCHANGE_H
#define QVEC_HTTP_EXCHANGE_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "http/server.h"
#include "http/watch.h"

struct qv__server {
    qv__server_options options;
    qv__api *api;
    struct MHD_Daemon *daemon;
    qv__watch *watch;
    int listener, port;
    bool listening;
    struct stat socket_file; /* of unix_path */
    atomic_bool draining;    /* answers say "Connection: close" */
    atomic_bool closing;     /* nothing more is handed to api/ */
    atomic_llong exchanges;  /* from the request's head until its answer is sent */
    atomic_llong handled;    /* those of them that api/ works on */
    atomic_llong body_bytes; /* held by bodies, all requests together */
};

/* libmicrohttpd's callbacks */
enum MHD_Result qv__exchange_handle(void *server, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *upload, size_t *upload_size,
                                    void **state);
/* The first line of a head is there; the rest has header-timeout to come. */
void *qv__exchange_first_line(void *server, const char *url, struct MHD_Connection *connection);
void qv__exchange_completed(void *server, struct MHD_Connection *connection, void **state,
                            enum MHD_RequestTerminationCode code);
void qv__exchange_connection(void *server, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code);
/* The watch's: the client hung up. */
void qv__exchange_hung_up(void *exchange);
void qv__exchange_late(void *exchange);
#endif
