/* Random pictures and videos: the part of samples.c that makes them. */
#ifndef QVEC_BENCH_SAMPLES_MEDIA_H
#define QVEC_BENCH_SAMPLES_MEDIA_H

#include "bench/samples.h"

/* Uniform in [floor(n (1 - ratio)), ceil(n (1 + ratio))]. */
int64_t qv__draw_around(qv__random *random, int64_t n, double ratio);

/* Gives the sample as many media as `o` asks for, each of a size drawn from the buckets. */
qv_status qv__media_make(const qv__random_samples *o, qv__samples *out, qv__sample *sample, qv_error *err);
#endif
