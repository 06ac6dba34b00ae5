/* Counters of requests since open, and how they are written for Prometheus. Counting is a few atomic additions. */
#ifndef QVEC_API_METRICS_H
#define QVEC_API_METRICS_H

#include <stdatomic.h>

#include "api/api.h"

enum { QV__BOUNDS_MAX = 24 };

typedef struct {
    const int64_t *bounds; /* upwards, in the unit of what is observed; QV__BOUNDS_MAX at most, a 0 behind the last */
    double unit;           /* what one of it is in the unit that is written */
    atomic_llong counts[QV__BOUNDS_MAX + 1], sum; /* counts[i]: above bounds[i - 1], not above bounds[i] */
} qv__histogram;

/* Why a request was not answered with 2xx. */
enum {
    QV__REFUSED_BAD_REQUEST,
    QV__REFUSED_UNAUTHORIZED,
    QV__REFUSED_NOT_FOUND,
    QV__REFUSED_TOO_LARGE,
    QV__REFUSED_OVERLOADED,
    QV__REFUSED_HUNG_UP,
    QV__REFUSED_DEADLINE,
    QV__REFUSED_SHUTTING_DOWN,
    QV__REFUSED_FAILED,
    QV__REFUSALS
};

typedef struct {
    atomic_llong ended[6]; /* by first digit of the status; 0: cut off before there was one */
    atomic_llong refused[QV__REFUSALS];
    atomic_llong connections, connections_opened;
    /* of inferences that succeeded */
    atomic_llong items;
    qv__histogram total, tokens, stages[QV__STAGES];
} qv__metrics;

void qv__metrics_init(qv__metrics *metrics);
void qv__metrics_note_end(qv__metrics *metrics, const qv__ended *ended, bool inference);
void qv__metrics_note_connection(qv__metrics *metrics, int change);

const char *qv__refusal_name(int refusal);

/* "name{labels}" lines of one histogram; labels without braces, `name="value"` each, none of them "le". */
void qv__histogram_write(const qv__histogram *h, const char *name, const char *labels, qv__buffer *b);
#endif
