/* The limits of a server, in one table: it makes the flags of `qvec serve`, what its --help says of them, and the part
 * "limits" of /info. Every one of them is enforced where its name is used, and told by the error that it leads to. */
#ifndef QVEC_API_LIMITS_H
#define QVEC_API_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct {
    /* http/ */
    int64_t body_bytes, total_body_bytes, head_bytes, headers, connections;
    int64_t idle_seconds, head_seconds, body_seconds, request_seconds;
    /* api/ */
    int64_t inputs, documents, parts, echo_tokens, waiting_requests;
    /* fetch/ */
    int64_t media_urls, media_url_bytes, fetched_bytes, fetch_header_bytes;
    int64_t fetch_seconds, connect_seconds, fetch_rate, fetch_redirects;
    /* engine/ */
    int64_t queued_items, queued_tokens;
    /* media/ */
    int64_t media_bytes, image_pixels, image_side, video_frames, decoded_bytes;
    double decode_seconds;
} qv__limits;

typedef enum { QV__LIMITS_REQUESTS, QV__LIMITS_MEDIA } qv__limit_group;

typedef struct {
    const char *flag; /* "max-body" */
    const char *unit; /* "BYTES", "SECONDS", "N" */
    const char *help; /* without the default */
    qv__limit_group group;
    size_t offset;             /* in qv__limits */
    int64_t initial, min, max; /* the default, and the range */
    bool fraction;             /* a double, else an int64_t */
} qv__limit;

enum { QV__LIMITS = 30 };
extern const qv__limit qv__limit_table[QV__LIMITS];

void qv__limits_default(qv__limits *limits);
/* Only those that are 0 and must not be. */
void qv__limits_fill(qv__limits *limits);
/* {"max-body":67108864,…}, without the braces. */
void qv__limits_write(const qv__limits *limits, qv__buffer *b);
#endif
