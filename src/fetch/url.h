/* Which URLs may be fetched at all. Text is taken apart by libcurl's own parser, and its result, not the text, is what
 * is fetched: there is no second reading that could come to another host. */
#ifndef QVEC_FETCH_URL_H
#define QVEC_FETCH_URL_H

#include <curl/curl.h>

#include "qvec/qvec.h"

/* Zero-initialise. */
typedef struct {
    struct qv__url_host {
        char *name; /* as libcurl spells hosts, lower case; IPv6 in brackets; owned */
        int port;   /* 0: those of http and https */
        bool private_too;
    } * hosts;
    size_t count;
    int max_url_bytes; /* 0: 8 KiB */
} qv__url_hosts;

/* Adds HOST or HOST:PORT. Refuses schemes, paths, patterns and what is not ASCII. */
qv_status qv__url_hosts_add(qv__url_hosts *hosts, const char *entry, bool private_too, qv_error *err);
void qv__url_hosts_clear(qv__url_hosts *hosts);

typedef struct {
    CURLU *parsed;    /* owned: curl_url_cleanup */
    bool private_too; /* the host was added so */
    bool https;
    char host[256]; /* for messages */
} qv__url;

/* Takes a URL apart and checks it: http or https, a listed host at its port, no user name or password, no zone.
 * QV_MEDIA_SOURCE with the reason, or QV_NO_MEMORY. */
qv_status qv__url_check(const qv__url_hosts *hosts, const char *text, qv__url *out, qv_error *err);
void qv__url_clear(qv__url *url);
#endif
