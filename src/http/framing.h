/* How long the body of a request is, by its head. Heads whose two lengths a proxy could read differently are refused:
 * they are how requests are smuggled. */
#ifndef QVEC_HTTP_FRAMING_H
#define QVEC_HTTP_FRAMING_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *wrong; /* NULL, or why the head is not taken */
    int64_t length;    /* -1: chunks, 0: no body; INT64_MAX: more digits than we count */
    bool declared;     /* the head says it */
    int headers;       /* how many there are */
} qv__framing;

void qv__framing_read(struct MHD_Connection *connection, qv__framing *out);
#endif
