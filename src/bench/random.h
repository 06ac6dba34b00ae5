/* Random numbers that a seed repeats on every machine: xoshiro256++ seeded by splitmix64, and the distributions that
 * arrivals and texts are drawn from. */
#ifndef QVEC_BENCH_RANDOM_H
#define QVEC_BENCH_RANDOM_H

#include <stdint.h>

typedef struct {
    uint64_t state[4];
} qv__random;

void qv__random_seed(qv__random *r, uint64_t seed);
uint64_t qv__random_next(qv__random *r);
uint64_t qv__random_below(qv__random *r, uint64_t limit); /* uniform in [0, limit), limit > 0 */
double qv__random_unit(qv__random *r);                    /* uniform in [0, 1) */
double qv__random_normal(qv__random *r);                  /* mean 0, variance 1 */
double qv__random_gamma(qv__random *r, double shape);     /* scale 1, so mean = shape > 0; shape 1 is exponential */
#endif
