/* The table of `qvec bench serve`, line by line as vLLM prints it, and what it does not print: the client's own part.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/stats.h"
#include "cli/bench_serve.h"
#include "cli/console.h"

enum { WIDTH = 50 };

/* A title in the middle of a line of `fill`. */
static void print_title(const char *title, char fill) {
    int length = (int)strlen(title), left = (WIDTH - length) / 2;
    for (int i = 0; i < left; i++) putchar(fill);
    fputs(title, stdout);
    for (int i = left + length; i < WIDTH; i++) putchar(fill);
    putchar('\n');
}

static void print_count(const char *label, int64_t value) {
    printf("%-40s %-10lld\n", label, (long long)value);
}

static void print_number(const char *label, double value) {
    printf("%-40s %-10.2f\n", label, value);
}

static double per_second(double amount, double seconds) {
    return seconds > 0 ? amount / seconds : 0;
}

static void print_probes(const qv__bench_probes *p) {
    print_title("Probe Requests", '-');
    print_count("Probe requests completed:", (int64_t)p->completed);
    print_count("Probe requests failed:", (int64_t)p->failed);
    print_number("Median probe E2EL (ms):", qv__percentile(p->latencies, p->completed, 50));
    print_number("P99 probe E2EL (ms):", qv__percentile(p->latencies, p->completed, 99));
    print_number("Max probe E2EL (ms):", qv__percentile(p->latencies, p->completed, 100));
}

static void print_latency(const qv__bench_serve *b) {
    const qv__figures *f = &b->figures;
    char label[64];
    print_title("End-to-end Latency", '-');
    print_number("Mean E2EL (ms):", f->mean);
    print_number("Median E2EL (ms):", qv__percentile(f->latencies, f->completed, 50));
    for (size_t i = 0; i < b->percentile_count; i++) {
        snprintf(label, sizeof label, "P%g E2EL (ms):", b->percentile_list[i]);
        print_number(label, qv__percentile(f->latencies, f->completed, b->percentile_list[i]));
    }
}

static void print_client(const qv__bench_serve *b) {
    print_title("Client", '-');
    print_number("CPU time (s):", b->totals.cpu_seconds);
    print_number("Busiest thread (%):", 100 * b->totals.busiest);
    print_number("Median schedule lag (ms):", b->figures.lag_p50);
    print_number("P99 schedule lag (ms):", b->figures.lag_p99);
    print_count("Peak concurrent requests:", b->totals.peak_open);
    print_count("Connections opened:", b->totals.connections);
}

void qv__bench_print(const qv__bench_serve *b) {
    const qv__figures *f = &b->figures;
    print_title(" Serving Benchmark Result ", '=');
    print_count("Successful requests:", (int64_t)f->completed);
    print_count("Failed requests:", (int64_t)f->failed);
    if (f->unsent) print_count("Requests left unanswered:", (int64_t)f->unsent);
    if (b->max_concurrency) print_count("Maximum request concurrency:", b->max_concurrency);
    if (!isinf(b->schedule.rate)) print_number("Request rate configured (RPS):", b->schedule.rate);
    print_number("Benchmark duration (s):", f->seconds);
    print_count("Total input tokens:", f->tokens);
    print_number("Request throughput (req/s):", per_second((double)f->completed, f->seconds));
    if (b->good_ms > 0) print_number("Request goodput (req/s):", per_second((double)f->good, f->seconds));
    print_number("Input throughput (inputs/s):", per_second((double)f->inputs, f->seconds));
    if (b->opened) print_number("Total token throughput (tok/s):", per_second((double)f->tokens, f->seconds));
    if (b->probe_rate > 0) print_probes(&b->probes);
    print_latency(b);
    print_client(b);
    print_title("", '=');
    fflush(stdout);
}
