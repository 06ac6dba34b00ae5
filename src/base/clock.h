/* Monotonic time. */
#ifndef QVEC_BASE_CLOCK_H
#define QVEC_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t qv__now_ns(void) { /* nanoseconds since some fixed point; never goes back */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
#endif
