/* When requests are due: the arrivals of an open loop, as vLLM's benchmark makes them. */
#ifndef QVEC_BENCH_SCHEDULE_H
#define QVEC_BENCH_SCHEDULE_H

#include <stddef.h>

#include "bench/random.h"

typedef enum { QV__RAMP_NONE, QV__RAMP_LINEAR, QV__RAMP_EXPONENTIAL } qv__ramp;

typedef struct {
    double rate;       /* requests a second; infinity: all at once */
    double burstiness; /* shape of the gaps' gamma distribution: 1 Poisson arrivals, infinity even gaps */
    qv__ramp ramp;
    double ramp_start, ramp_end; /* requests a second; then `rate` does not count */
} qv__schedule;

/* The rate that request i of count is drawn with. */
double qv__schedule_rate(const qv__schedule *schedule, size_t i, size_t count);
/* Seconds from the start, ascending. Without a ramp they are scaled so that the last is due at count / rate. */
void qv__schedule_make(const qv__schedule *schedule, qv__random *random, double *due, size_t count);
#endif
