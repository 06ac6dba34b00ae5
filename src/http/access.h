/* The access log: one entry for each request, of numbers and names that we chose ourselves. Nothing of what the client
 * sent is in it but its request id, which is checked, and its address. */
#ifndef QVEC_HTTP_ACCESS_H
#define QVEC_HTTP_ACCESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "api/api.h"

typedef struct {
    const char *id;
    const struct sockaddr *client; /* NULL: not known */
    const char *method;            /* as sent */
    const char *path;              /* the route table's own; NULL: none of them */
    int status;
    int64_t items, tokens;
    int64_t read_ns, stage_ns[QV__STAGES], total_ns; /* read: from the head to the body's end */
    bool sent;
} qv__access;

void qv__access_log(const qv__access *access);
#endif
