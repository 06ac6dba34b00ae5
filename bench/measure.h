/* What the benchmark programs share: their flags, repeats by time, and rows of one table. Every repeat is set against
 * the multiply-add peak that was measured around it and, where the work can be interrupted, inside it. */
#ifndef QVEC_BENCH_MEASURE_H
#define QVEC_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "peak.h"

typedef struct {
    bool quick, all;   /* a look, in seconds; everything, in minutes */
    bool int8;         /* matrices as 8-bit codes; the peak is that of their instructions */
    int threads;       /* 0: all CPUs */
    const char *tier;  /* the highest set of kernels to use, as `--cpu-tier`; NULL: the best there is */
    const char *shape; /* "2b": which of the tests' checkpoints */
    const char *only;  /* part of a case's name; NULL: every case */
    double seconds;    /* for the repeats of one case; 0: the program's own choice */
} bench_options;

/* Reads the flags; --help, a wrong one and an unknown tier print why and end the program. */
bench_options bench_read_options(int argc, char **argv, const char *about);
_Noreturn __attribute__((format(printf, 1, 2))) void bench_fail(const char *format, ...);
/* A file below tests/ of the source tree; static buffer. */
const char *bench_source_path(const char *relative);
/* True when the case is to be run. */
bool bench_wants(const bench_options *o, const char *name);

enum { BENCH_RUNS_MAX = 200, BENCH_SAMPLES_MAX = 4096 };

/* Milliseconds of at most `runs` runs, but no more than fit into about a second. */
typedef struct {
    double best, median;
} bench_times;
bench_times bench_time(void (*work)(void *context), void *context, int runs);

/* One case set against the peak. for (bench_begin(&m, ...); bench_again(&m);) { bench_start(&m); work; bench_stop(&m,
 * flops); } */
typedef struct {
    qv__threads *threads; /* the backend's own, idle while it computes nothing: a second pool would get in its way */
    qv__tier tier;
    bench_mix mix;  /* what the peak is of; set before the first run, else BENCH_FMA */
    bool elsewhere; /* set before the first run: the work is not done on the calling thread, even with one thread */
    int64_t deadline, started, sampled; /* ns */
    int64_t lost;                       /* ns of this run that went into samples of the peak */
    int least, runs, samples;
    double ms[BENCH_RUNS_MAX], rate[BENCH_RUNS_MAX], fraction[BENCH_RUNS_MAX], peak[BENCH_RUNS_MAX];
    double sample[BENCH_SAMPLES_MAX];
} bench_meter;

/* Runs for `seconds`, but `least` times; a run that would end behind the deadline is not begun. */
void bench_begin(bench_meter *m, qv__backend *cpu, double seconds, int least);
bool bench_again(const bench_meter *m);
void bench_start(bench_meter *m);
/* Between two ops of the work: takes a sample of the peak now and then; its time is not counted. */
void bench_between(bench_meter *m);
void bench_stop(bench_meter *m, double flops);
int64_t bench_clock(const bench_meter *m); /* that of the runs, ns: bench_now_ns */
/* Ends a run at a moment of bench_clock that has passed since. */
void bench_stop_at(bench_meter *m, double flops, int64_t end);

void bench_print_header(void);
/* One row: milliseconds, GFLOP/s, tokens a second (0: none) and the fraction of the peak, median and best of each. */
void bench_print_row(bench_meter *m, const char *name, double tokens);
#endif
