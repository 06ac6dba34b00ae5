#include "bench/random.h"

#include <math.h>

#include "base/hash.h"

void qv__random_seed(qv__random *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) r->state[i] = qv__mix64(seed += 0x9E3779B97F4A7C15u);
}

static uint64_t rotate(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

/* xoshiro256++, by Blackman and Vigna. */
uint64_t qv__random_next(qv__random *r) {
    uint64_t *s = r->state, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Draws again where the last, partial copy of [0, limit) begins: no value is more likely than another. */
uint64_t qv__random_below(qv__random *r, uint64_t limit) {
    uint64_t whole = UINT64_MAX - UINT64_MAX % limit, x;
    do x = qv__random_next(r);
    while (x >= whole);
    return x % limit;
}

double qv__random_unit(qv__random *r) {
    return (double)(qv__random_next(r) >> 11) * 0x1p-53;
}

/* Marsaglia's polar method; the second value of a pair is not kept, so that a draw depends on the state alone. */
double qv__random_normal(qv__random *r) {
    double u, v, s;
    do {
        u = 2 * qv__random_unit(r) - 1;
        v = 2 * qv__random_unit(r) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * log(s) / s);
}

/* Marsaglia and Tsang 2000; below shape 1 by way of shape + 1. */
double qv__random_gamma(qv__random *r, double shape) {
    if (shape == 1) return -log1p(-qv__random_unit(r));
    if (shape < 1) return qv__random_gamma(r, shape + 1) * pow(1 - qv__random_unit(r), 1 / shape);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = qv__random_normal(r), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = 1 - qv__random_unit(r);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
    }
}
