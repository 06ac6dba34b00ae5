/* Pictures and videos behind http(s) URLs. What a server fetches for a stranger it fetches from inside, so:
 *  - only from hosts that were named when it was started, every redirect's too;
 *  - only from public addresses. libcurl asks for each socket, and the address that it would connect to is judged
 * there: a name that leads elsewhere a moment after it was looked up gains nothing;
 *  - with no proxy, password, cookie or header of ours;
 *  - within bounds of bytes and time, and nothing that came is repeated in an error.
 * api/ takes a table of functions, so that its tests need no network. */
#ifndef QVEC_FETCH_FETCH_H
#define QVEC_FETCH_FETCH_H

#include "qvec/qvec.h"

/* One URL, and what came of it. */
typedef struct {
    const char *url;
    void *bytes; /* for qv__free; NULL when it failed */
    size_t size;
    qv_error error; /* code QV_OK: it came */
} qv__fetch;

typedef struct {
    void *context;
    int max_urls; /* of one request */
    /* Whether a URL may be fetched, before anything is: QV_MEDIA_SOURCE and why not. */
    qv_status (*check)(void *context, const char *url, qv_error *err);
    /* Fetches all, several at once, and returns when each has bytes or an error: QV_MEDIA_SOURCE (refused, or not worth
     * another try), QV_MEDIA_LIMIT, QV_MEDIA_FETCH (another try may help), QV_CANCELLED, QV_NO_MEMORY. stop(user) is
     * asked often; once it says true the rest is given up. Any number of threads at a time. */
    void (*run)(void *context, qv__fetch *const *fetches, size_t count, bool (*stop)(void *user), void *user);
} qv__fetcher;

typedef struct {
    const char *const *hosts; /* HOST or HOST:PORT */
    size_t host_count;
    const char *const *private_hosts; /* these may have loopback, private and shared addresses */
    size_t private_host_count;
    int max_urls;              /* of one request; 0: 64 */
    int64_t max_bytes;         /* of one file; 0: 256 MiB */
    int64_t max_request_bytes; /* of all files of a request; 0: 64 MiB */
    double timeout_s;          /* for all URLs of a request; 0: 30 */
    int max_redirects;         /* of one URL; 0: none is followed */
    int max_url_bytes;         /* of one URL; 0: 8 KiB */
    int max_header_bytes;      /* of what hosts send for one URL, redirects included; 0: 64 KiB */
    double connect_s;          /* for reaching a host; 0: 5 */
    int min_rate;              /* bytes a second, over a third of timeout_s; 0: 1024 */
} qv__fetch_options;

qv_status qv__fetch_open(const qv__fetch_options *options, qv__fetcher **out, qv_error *err);
void qv__fetch_close(qv__fetcher **fetcher); /* no run may be under way */
#endif
