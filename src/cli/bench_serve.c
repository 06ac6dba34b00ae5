/* qvec bench serve: how a server answers under load, whichever make it is. */
#include "cli/bench_serve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/progress.h"

enum { RETRY_NS = 200000000 };

/* ---- runs ---- */

typedef struct {
    qv__progress bar;
    int64_t count;
} meter;

static bool watch(void *user, int64_t done, int64_t failed, int64_t tokens) {
    meter *m = user;
    m->bar.items = done;
    m->bar.tokens = tokens;
    m->bar.failed = failed;
    m->bar.fraction = (double)done / (double)m->count;
    qv__progress_tick(&m->bar);
    return qv__is_interrupted();
}

static qv_status run_load(const qv__bench_serve *b, const qv__load *load, bool bar, qv__load_result *results,
                          qv__load_totals *totals, qv_error *err) {
    meter m = {.count = (int64_t)load->count};
    qv__load watched = *load;
    watched.target = &b->target;
    watched.threads = (int)b->threads;
    watched.max_concurrency = b->max_concurrency;
    watched.watch = watch;
    watched.user = &m;
    if (watched.timeout_s == 0) watched.timeout_s = b->request_timeout;
    qv__progress_start(&m.bar, bar);
    qv_status status = qv__load_run(&watched, results, totals, err);
    qv__progress_clear(&m.bar);
    return status;
}

/* The first request again and again until it succeeds. */
static bool check_ready(const qv__bench_serve *b, qv_error *err) {
    int64_t end = qv__now_ns() + (int64_t)(b->ready_timeout * 1e9);
    qv__load load = {.messages = b->messages, .count = 1, .timeout_s = b->ready_timeout};
    bool ready = false;
    fprintf(stderr, "Starting initial single prompt test run...\n");
    while (!ready && !qv__is_interrupted()) {
        qv__load_result result;
        qv__load_totals totals;
        if (run_load(b, &load, false, &result, &totals, err)) return false;
        ready = result.state == QV__LOAD_DONE;
        if (!ready)
            snprintf(err->message, sizeof err->message, "the server was not ready within %g s: %s", b->ready_timeout,
                     result.error ? result.error : "no answer");
        qv__load_clear(&result, 1);
        if (!ready && qv__now_ns() >= end) return false;
        if (!ready) nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    }
    if (ready) fprintf(stderr, "Initial test run completed.\n");
    return ready;
}

static bool warm_up(const qv__bench_serve *b, qv_error *err) {
    size_t count = (size_t)b->warmups;
    qv__message *same = qv__alloc_array(count, sizeof *same);
    qv__load_result *results = qv__calloc(count, sizeof *results);
    qv__load_totals totals;
    bool done = same && results;
    fprintf(stderr, "Warming up with %zu requests...\n", count);
    for (size_t i = 0; same && i < count; i++) same[i] = b->messages[0];
    qv__load load = {.messages = same, .count = count};
    if (done) done = !run_load(b, &load, !b->no_progress, results, &totals, err);
    if (results) qv__load_clear(results, count);
    qv__free(results);
    qv__free(same);
    if (done) fprintf(stderr, "Warmup run completed.\n");
    return done;
}

static void announce(const qv__bench_serve *b) {
    fprintf(stderr, "Starting main benchmark run...\n");
    if (b->ramp)
        fprintf(stderr, "Traffic request rate: %g to %g, %s\n", b->ramp_start, b->ramp_end, b->ramp);
    else
        fprintf(stderr, "Traffic request rate: %g\n", b->schedule.rate);
    fprintf(stderr, "Burstiness factor: %s (%s)\n", b->burstiness,
            b->schedule.burstiness == 1     ? "Poisson process"
            : isinf(b->schedule.burstiness) ? "Even gaps"
                                            : "Gamma distribution");
    if (b->max_concurrency)
        fprintf(stderr, "Maximum request concurrency: %lld\n", (long long)b->max_concurrency);
    else
        fprintf(stderr, "Maximum request concurrency: None\n");
}

/* ---- what there is to say of the run ---- */

static void warn(const qv__bench_serve *b) {
    qv__client_state state = qv__figures_client(&b->figures, &b->totals, b->due != NULL);
    if (state == QV__CLIENT_BUSY)
        qv__warn("a sending thread was busy %.0f %% of the time: the client may be the bottleneck; give more "
                 "--client-threads or a machine of its own",
                 100 * b->totals.busiest);
    else if (state == QV__CLIENT_LATE)
        qv__warn("requests were sent up to %.1f ms (P99) late by the client itself, which the latencies include; give "
                 "it a machine of its own",
                 b->figures.lag_p99);
    if (b->totals.file_limit)
        qv__warn("the limit of open files (ulimit -n) allows %lld requests at a time; more waited",
                 (long long)b->totals.file_limit);
}

static void show_failures(const qv__bench_serve *b) {
    for (size_t i = 0; i < b->samples.count; i++) {
        if (b->results[i].state != QV__LOAD_FAILED) continue;
        qv__complain("%zu of %zu requests failed; the first, number %zu: %s", b->figures.failed, b->samples.count, i,
                     b->results[i].error ? b->results[i].error : "out of memory");
        return;
    }
}

static int report(qv__bench_serve *b) {
    qv_error err = {0};
    if (qv__figures_make(b->results, &b->samples, &b->totals, b->good_ms, &b->figures, &err))
        return qv__complain("%s", err.message), QV__EXIT_FAILED;
    qv__bench_print(b);
    warn(b);
    show_failures(b);
    bool saved = qv__bench_save(b);
    if (b->totals.stopped) return QV__EXIT_INTERRUPTED;
    return saved && !b->figures.failed ? QV__EXIT_DONE : QV__EXIT_FAILED;
}

/* ---- the command ---- */

static double seconds_since_1970(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run(qv__bench_serve *b) {
    qv_error err = {0};
    qv__interrupts_note();
    int prepared = qv__bench_prepare(b);
    if (prepared) return prepared;
    int cpus = qv__cpu_count();
    if (b->threads > cpus) b->threads = cpus;
    if (b->ready_timeout <= 0) fprintf(stderr, "Skipping endpoint ready check.\n");
    bool ready = (b->ready_timeout <= 0 || check_ready(b, &err)) && (!b->warmups || warm_up(b, &err));
    if (qv__is_interrupted()) return QV__EXIT_INTERRUPTED;
    if (!ready) return qv__complain("%s", err.message), QV__EXIT_FAILED;
    announce(b);
    qv__load load = {.messages = b->messages, .count = b->samples.count, .due = b->due};
    b->started = seconds_since_1970();
    if (b->probe_rate > 0 && qv__bench_probes_start(b, &err)) return qv__complain("%s", err.message), QV__EXIT_FAILED;
    qv_status status = run_load(b, &load, !b->no_progress, b->results, &b->totals, &err);
    qv__bench_probes_end(b);
    if (status) return qv__complain("%s", err.message), QV__EXIT_FAILED;
    return report(b);
}

static void close_all(qv__bench_serve *b) {
    if (b->results) qv__load_clear(b->results, b->samples.count);
    qv__free(b->results);
    qv__free(b->due);
    qv__free(b->messages);
    qv__free(b->message_bytes);
    qv__samples_clear(&b->samples);
    qv__figures_clear(&b->figures);
    qv__bench_probes_clear(&b->probes);
    qv__tokenizer_close(&b->opened);
    qv__free(b->model_id);
    qv__free(b->tokenizer_id);
    qv__free(b->extra);
    qv__words_clear(&b->headers);
    qv__words_clear(&b->lora);
    qv__words_clear(&b->goodput);
    qv__words_clear(&b->metadata);
    qv__trust_close(&b->trust);
}

int qv__command_bench_serve(int argc, char **argv) {
    qv__bench_serve b = {.backend = "openai-embeddings",
                         .host = "127.0.0.1",
                         .port = 8000,
                         .model = qv__model_flags_default(),
                         .data = qv__data_flags_default(1024),
                         .prompts = 1000,
                         .batch_size = 1,
                         .rate = "inf",
                         .burstiness = "1",
                         .threads = 1,
                         .request_timeout = 21600,
                         .percentile_metrics = "e2el",
                         .percentiles = "99"};
    qv__option_set sets[] = {
        {"Server", qv__bench_server_rows, QV__BENCH_SERVER_ROWS, &b},
        {"Model", qv__bench_model_rows, QV__BENCH_MODEL_ROWS, &b},
        {"Inputs", qv__bench_input_rows, QV__BENCH_INPUT_ROWS, &b},
        {"Inputs", qv__data_rows, QV__DATA_ROWS, &b.data},
        {"Load", qv__bench_load_rows, QV__BENCH_LOAD_ROWS, &b},
        {"Report", qv__bench_report_rows, QV__BENCH_REPORT_ROWS, &b},
    };
    qv__usage usage = {
        .name = "bench serve",
        .summary = "how a server answers under load, whichever make it is",
        .examples =
            "  qvec bench serve --model MODEL --dataset-name random --random-input 200 --save-result\n"
            "  qvec bench serve --model MODEL --request-rate 50 --num-prompts 500 --metric-percentiles 50,99 "
            "--plot\n"
            "  qvec bench serve --model MODEL --backend vllm-rerank --random-batch-size 20 --random-input 200\n",
        .usage = "[MODEL] [flags]",
        .notes = "With a rate, a latency counts from when its request was due, so that a server that stalls shows it. "
                 "Without one it\ncounts from when the request could go.\n\n"
                 "Flags of `vllm bench serve` about generation (--ignore-eos, --temperature, ...), --profile, "
                 "--tokenizer-mode,\n--trust-remote-code and --plot-dataset-stats are taken and change nothing; a line "
                 "says so. Left out are its data sets\nthat come from the network and its back ends that generate.",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 1,
        .vllm_flags = {qv__compat_bench, qv__compat_generation},
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    if (parsed == QV__PARSED && qv__take_model(&words, &b.model) && qv__bench_check(&b)) status = run(&b);
    qv__words_clear(&words);
    close_all(&b);
    return status;
}
