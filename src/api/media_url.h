/* Pictures and videos that a request names by an http(s) URL. While the request is read they are only noted: nothing is
 * fetched for one that is refused anyway. A part stands for each until its bytes have come. */
#ifndef QVEC_API_MEDIA_URL_H
#define QVEC_API_MEDIA_URL_H

#include "api/refusal.h"
#include "fetch/fetch.h"

/* Of one request. Zero-initialise but for the fetcher. */
typedef struct {
    const qv__fetcher *fetcher; /* NULL: no URL is taken */
    qv__fetch **list;           /* [count], each URL once; owned */
    size_t count, capacity;
} qv__media_urls;

/* Kinds of a qv_part beyond the public ones: data is its qv__fetch. */
enum { QV__PART_IMAGE_URL = 64, QV__PART_VIDEO_URL };

/* Checks `url`, of `size` bytes with a NUL behind them, notes it, and makes *part (IMAGE or VIDEO) stand for it. name:
 * of the input, for messages. */
qv_status qv__media_url_note(qv__media_urls *urls, const char *url, size_t size, const char *name, qv_part *part,
                             qv__refusal *r);
/* Puts what came in the place of an input's noted parts, or refuses with the reason why it did not. */
qv_status qv__media_url_settle(const qv_input *input, const char *name, qv__refusal *r);
/* Frees what came. */
void qv__media_urls_clear(qv__media_urls *urls);
#endif
