#include "api/drain.h"

#include "base/clock.h"

enum { LONGEST_SECONDS = 60 };
static const int64_t look_ns = 250000000; /* between two looks at the rate */

void qv__drain_open(qv__drain *drain) {
    pthread_mutex_init(&drain->lock, NULL);
}

void qv__drain_close(qv__drain *drain) {
    pthread_mutex_destroy(&drain->lock);
}

/* Half of the new rate, half of the old one: a server that just turned to longer inputs is believed soon. */
static double measure(qv__drain *d, const qv__engine_stats *s) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&d->lock);
    int64_t tokens = s->finished_tokens - d->tokens, busy = s->busy_ns - d->busy_ns;
    if (tokens > 0 && busy > 0 && (!d->at_ns || now - d->at_ns >= look_ns)) {
        double rate = (double)busy / (double)tokens;
        d->ns_per_token = d->ns_per_token > 0 ? (d->ns_per_token + rate) / 2 : rate;
        d->at_ns = now;
        d->tokens = s->finished_tokens;
        d->busy_ns = s->busy_ns;
    }
    double result = d->ns_per_token;
    pthread_mutex_unlock(&d->lock);
    return result;
}

int qv__drain_seconds(qv__drain *drain, qv__engine *engine, double before) {
    qv__engine_stats s;
    qv__engine_get_stats(engine, &s);
    double seconds = before + measure(drain, &s) * (double)s.waiting_tokens * 1e-9;
    return seconds <= 1 ? 1 : seconds > LONGEST_SECONDS ? LONGEST_SECONDS : (int)seconds + 1;
}
