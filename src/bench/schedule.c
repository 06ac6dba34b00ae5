#include "bench/schedule.h"

#include <math.h>

double qv__schedule_rate(const qv__schedule *schedule, size_t i, size_t count) {
    double start = schedule->ramp_start, end = schedule->ramp_end;
    double progress = (double)i / (double)(count > 1 ? count - 1 : 1);
    switch (schedule->ramp) {
    case QV__RAMP_LINEAR: return start + (end - start) * progress;
    case QV__RAMP_EXPONENTIAL: return start * pow(end / start, progress);
    default: return schedule->rate;
    }
}

static double draw_gap(const qv__schedule *schedule, qv__random *random, double rate) {
    if (isinf(rate)) return 0;
    if (isinf(schedule->burstiness)) return 1 / rate;
    return qv__random_gamma(random, schedule->burstiness) / (rate * schedule->burstiness);
}

void qv__schedule_make(const qv__schedule *schedule, qv__random *random, double *due, size_t count) {
    double at = 0;
    for (size_t i = 0; i < count; i++) due[i] = at += draw_gap(schedule, random, qv__schedule_rate(schedule, i, count));
    if (schedule->ramp != QV__RAMP_NONE || at == 0) return;
    double factor = (double)count / schedule->rate / at;
    for (size_t i = 0; i < count; i++) due[i] *= factor;
}
