/* One URL on its way through libcurl, redirects by hand. */
#ifndef QVEC_FETCH_TRANSFER_H
#define QVEC_FETCH_TRANSFER_H

#include "fetch/address.h"
#include "fetch/fetch.h"
#include "fetch/url.h"

typedef struct {
    const qv__url_hosts *hosts;
    int max_redirects;
    int64_t max_bytes;         /* of one file */
    int64_t *bytes_left;       /* of the request; all its transfers are on one thread */
    int64_t max_request_bytes; /* what bytes_left began with */
    int64_t deadline_ns;
    double timeout_s; /* what deadline_ns began with */
    double connect_s;
    int max_header_bytes; /* of all hops together */
    int min_rate;         /* bytes a second; slower for a third of timeout_s is too slow */
} qv__transfer_limits;

typedef struct {
    const qv__transfer_limits *limits;
    qv__fetch *fetch;
    CURL *easy;
    qv__url url;
    int redirects;
    size_t capacity;     /* of fetch->bytes */
    size_t header_bytes; /* of all answers */
    enum {
        QV__TRANSFER_WHOLE,
        QV__TRANSFER_FILE_LIMIT,
        QV__TRANSFER_REQUEST_LIMIT,
        QV__TRANSFER_HEADER_LIMIT,
        QV__TRANSFER_NO_MEMORY
    } stopped;
    qv__address_class refused; /* PUBLIC: no address was */
    char curl_error[CURL_ERROR_SIZE];
} qv__transfer;

/* Checks the URL and makes a handle for it; t is zero. On failure fetch->error tells why. Close it in any case. */
bool qv__transfer_open(qv__transfer *t, const qv__transfer_limits *limits, qv__fetch *fetch);
/* The handle has ended with `code` and belongs to no multi handle any more. True: another hop is set up and the handle
 * must run again. False: fetch holds bytes or an error. */
bool qv__transfer_ended(qv__transfer *t, CURLcode code);
/* Gives up with an error when there is none yet. */
void qv__transfer_fail(qv__transfer *t, qv_status code, const char *reason);
void qv__transfer_close(qv__transfer *t);
#endif
