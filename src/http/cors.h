/* What pages of other origins may do. Off unless asked: then no answer carries a word of it, and browsers keep what
 * they got from such a page. */
#ifndef QVEC_HTTP_CORS_H
#define QVEC_HTTP_CORS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *const *origins; /* "https://example.org", exactly; "*": any */
    size_t origin_count;        /* 0: off */
    const char *methods;        /* of preflights, "GET, POST"; NULL: those of the path */
    const char *headers;        /* the same, "Authorization, Content-Type"; NULL: whatever is asked for */
    bool credentials;           /* cookies and the like are let through */
} qv__cors;

/* Adds the headers of an answer to a request from `origin` (NULL: not from another page). */
void qv__cors_add(const qv__cors *cors, const char *origin, struct MHD_Response *response);
/* The same of an answer to a preflight: an OPTIONS that asks for a method. path_methods: the Allow header; asked: the
 * headers that it asks for, or NULL. */
void qv__cors_add_preflight(const qv__cors *cors, const char *origin, const char *path_methods, const char *asked,
                            struct MHD_Response *response);
#endif
