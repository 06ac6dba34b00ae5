#include "measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/clock.h"

enum { SAMPLE_EVERY_NS = 25000000, AROUND_MAX = 12, AROUND_EVERY_MS = 20, ENOUGH_NS = 1000000000 };

/* ---- flags ---------------------------------------------------------------------------------------- */

static _Noreturn void usage(const char *program, const char *about, int status) {
    const char *slash = strrchr(program, '/');
    fprintf(status ? stderr : stdout,
            "%s [--quick | --all] [--threads N] [--tier " QV__TIER_CHOICES "] [--shape 2b|8b|small] [--int8]\n"
            "    [--only PART] [--seconds S]\n%s\n",
            slash ? slash + 1 : program, about);
    exit(status);
}

bench_options bench_read_options(int argc, char **argv, const char *about) {
    bench_options o = {.shape = "2b"};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(flag, "--help") == 0) usage(argv[0], about, 0);
        if (strcmp(flag, "--quick") == 0)
            o.quick = true;
        else if (strcmp(flag, "--all") == 0)
            o.all = true;
        else if (strcmp(flag, "--int8") == 0)
            o.int8 = true;
        else if (!value)
            usage(argv[0], about, 2);
        else if (i++, strcmp(flag, "--threads") == 0)
            o.threads = atoi(value);
        else if (strcmp(flag, "--tier") == 0)
            o.tier = value;
        else if (strcmp(flag, "--shape") == 0)
            o.shape = value;
        else if (strcmp(flag, "--only") == 0)
            o.only = value;
        else if (strcmp(flag, "--seconds") == 0)
            o.seconds = atof(value);
        else
            usage(argv[0], about, 2);
    }
    if (o.quick) o.all = false;
    qv_error err = {0};
    qv__tier tier;
    if (qv__tier_parse(o.tier, &tier, &err)) bench_fail("%s", err.message);
    return o;
}

void bench_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

bool bench_wants(const bench_options *o, const char *name) {
    return !o->only || strstr(name, o->only);
}

const char *bench_source_path(const char *relative) {
    static char path[4096];
    const char *root = getenv("QVEC_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/%s", root ? root : "tests", relative);
    return path;
}

bench_times bench_time(void (*work)(void *context), void *context, int runs) {
    double negative[BENCH_RUNS_MAX]; /* milliseconds below zero, so that the best is the largest */
    int64_t stop = qv__now_ns() + ENOUGH_NS;
    int n = 0;
    do {
        int64_t start = qv__now_ns();
        work(context);
        negative[n++] = (double)(qv__now_ns() - start) * -1e-6;
    } while (n < runs && n < BENCH_RUNS_MAX && qv__now_ns() < stop);
    bench_summary s = bench_summarize(negative, n);
    return (bench_times){-s.max, -s.median};
}

/* ---- repeats -------------------------------------------------------------------------------------- */

void bench_begin(bench_meter *m, qv__backend *cpu, double seconds, int least) {
    const qv__cpu *c = (const qv__cpu *)cpu;
    *m = (bench_meter){.threads = c->threads, .tier = c->tier, .least = least};
    m->deadline = qv__now_ns() + (int64_t)(seconds * 1e9);
}

bool bench_again(const bench_meter *m) {
    if (m->runs >= BENCH_RUNS_MAX) return false;
    int64_t last = m->runs ? (int64_t)(m->ms[m->runs - 1] * 1e6) : 0;
    return m->runs < m->least || qv__now_ns() + last < m->deadline;
}

int64_t bench_clock(const bench_meter *m) {
    return bench_now_ns(m->elsewhere ? 2 : qv__threads_count(m->threads));
}

static void sample(bench_meter *m) {
    if (m->samples < BENCH_SAMPLES_MAX) m->sample[m->samples++] = bench_peak_sample(m->threads, m->tier, m->mix);
}

/* Before and after a run: more of them around a long one. */
static void sample_around(bench_meter *m) {
    double ms = m->ms[m->runs] > 0 ? m->ms[m->runs] : m->runs ? m->ms[m->runs - 1] : 0; /* of this run, or the last */
    int count = 1 + (int)(ms / AROUND_EVERY_MS);
    for (int i = 0; i < count && i < AROUND_MAX; i++) sample(m);
}

void bench_start(bench_meter *m) {
    m->samples = 0;
    m->lost = 0;
    sample_around(m);
    m->started = m->sampled = bench_clock(m);
}

void bench_between(bench_meter *m) {
    int64_t start = bench_clock(m);
    if (start - m->sampled < SAMPLE_EVERY_NS) return;
    sample(m);
    m->sampled = bench_clock(m);
    m->lost += m->sampled - start;
}

void bench_stop_at(bench_meter *m, double flops, int64_t end) {
    double ns = (double)(end - m->started - m->lost);
    m->ms[m->runs] = ns * 1e-6;
    sample_around(m);
    double peak = bench_summarize(m->sample, m->samples).median;
    m->rate[m->runs] = flops / ns;
    m->peak[m->runs] = peak;
    m->fraction[m->runs] = peak > 0 ? flops / ns / peak : 0;
    m->runs++;
}

void bench_stop(bench_meter *m, double flops) {
    bench_stop_at(m, flops, bench_clock(m));
}

/* ---- rows ----------------------------------------------------------------------------------------- */

void bench_print_header(void) {
    printf("%-34s %5s %11s %11s %9s %9s %7s %7s %7s\n", "", "runs", "ms median", "ms best", "GFLOP/s", "tokens/s",
           "peak", "of peak", "best");
}

void bench_print_row(bench_meter *m, const char *name, double tokens) {
    double negative[BENCH_RUNS_MAX]; /* so that the best of the times is the largest */
    for (int i = 0; i < m->runs; i++) negative[i] = -m->ms[i];
    bench_summary ms = bench_summarize(negative, m->runs), rate = bench_summarize(m->rate, m->runs);
    bench_summary peak = bench_summarize(m->peak, m->runs), fraction = bench_summarize(m->fraction, m->runs);
    printf("%-34s %5d %11.1f %11.1f %9.1f", name, m->runs, -ms.median, -ms.max, rate.median);
    if (tokens > 0)
        printf(" %9.1f", tokens * -1e3 / ms.median);
    else
        printf(" %9s", "");
    printf(" %7.1f %7.3f %7.3f\n", peak.median, fraction.median, peak.max > 0 ? rate.max / peak.max : 0.0);
}
