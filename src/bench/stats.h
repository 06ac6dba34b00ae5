/* What a list of measured values says. */
#ifndef QVEC_BENCH_STATS_H
#define QVEC_BENCH_STATS_H

#include <stddef.h>

void qv__sort_values(double *values, size_t count);
/* p in [0, 100] of sorted values, linear between neighbours as numpy.percentile; 0 without values. */
double qv__percentile(const double *sorted, size_t count, double p);
double qv__mean(const double *values, size_t count);      /* 0 without values */
double qv__deviation(const double *values, size_t count); /* as numpy.std: of the whole population */
#endif
