/* The result file of `qvec bench serve`: vLLM's keys, in vLLM's order, and behind them our own. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/plot.h"
#include "bench/stats.h"
#include "cli/bench_serve.h"
#include "cli/console.h"
#include "store/file.h"

static void print_date(double when, const char *format, char out[64]) {
    time_t seconds = (time_t)when;
    struct tm t;
    localtime_r(&seconds, &t);
    strftime(out, 64, format, &t);
}

static json_t *number_or_inf(double value) {
    return isinf(value) ? json_string("inf") : json_real(value);
}

static double per_second(double amount, double seconds) {
    return seconds > 0 ? amount / seconds : 0;
}

static void set(json_t *o, const char *key, json_t *value) {
    json_object_set_new(o, key, value ? value : json_null());
}

static void set_pairs(json_t *o, const qv__words *pairs) {
    for (size_t i = 0; i < pairs->count; i++) {
        const char *text = pairs->items[i].text, *equals = strchr(text, '=');
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
        set(o, key, json_string(equals + 1));
    }
}

static void set_run(json_t *o, const qv__bench_serve *b) {
    char date[64];
    print_date(b->started, "%Y%m%d-%H%M%S", date);
    set(o, "date", json_string(date));
    set(o, "endpoint_type", json_string(b->backend));
    set(o, "backend", json_string(b->backend));
    set(o, "label", b->label ? json_string(b->label) : NULL);
    set(o, "model_id", json_string(b->model_id));
    set(o, "tokenizer_id", b->tokenizer_id ? json_string(b->tokenizer_id) : NULL);
    set(o, "num_prompts", json_integer(b->prompts));
    set_pairs(o, &b->metadata);
    set(o, "request_rate", number_or_inf(b->schedule.rate));
    set(o, "burstiness", number_or_inf(b->schedule.burstiness));
    set(o, "max_concurrency", b->max_concurrency ? json_integer(b->max_concurrency) : NULL);
    if (!b->ramp) return;
    set(o, "ramp_up_strategy", json_string(b->ramp));
    set(o, "ramp_up_start_rps", json_real(b->ramp_start));
    set(o, "ramp_up_end_rps", json_real(b->ramp_end));
}

static void set_figures(json_t *o, const qv__bench_serve *b) {
    const qv__figures *f = &b->figures;
    set(o, "duration", json_real(f->seconds));
    set(o, "completed", json_integer((json_int_t)f->completed));
    set(o, "total_input_tokens", json_integer(f->tokens));
    set(o, "total_input_sequences", json_integer(f->inputs));
    set(o, "request_throughput", json_real(per_second((double)f->completed, f->seconds)));
    if (b->good_ms > 0) set(o, "request_goodput", json_real(per_second((double)f->good, f->seconds)));
    set(o, "input_sequence_throughput", json_real(per_second((double)f->inputs, f->seconds)));
    set(o, "total_token_throughput", json_real(per_second((double)f->tokens, f->seconds)));
}

/* What each request did, for --save-detailed. Values of requests without an answer are null. */
static void set_details(json_t *o, const qv__bench_serve *b) {
    json_t *lens = json_array(), *errors = json_array(), *latencies = json_array(), *starts = json_array(),
           *lags = json_array();
    for (size_t i = 0; i < b->samples.count; i++) {
        const qv__load_result *r = &b->results[i];
        bool sent = r->state != QV__LOAD_UNSENT, done = r->state == QV__LOAD_DONE;
        int64_t tokens = r->tokens >= 0 && done ? r->tokens : b->samples.items[i].tokens;
        json_array_append_new(lens, json_integer(tokens));
        json_array_append_new(errors, json_string(r->error ? r->error : done ? "" : "interrupted"));
        json_array_append_new(latencies, done ? json_real(qv__latency_ms(r) / 1e3) : json_null());
        json_array_append_new(starts, sent ? json_real((double)r->from_ns / 1e9) : json_null());
        json_array_append_new(lags, sent ? json_real((double)(r->sent_ns - r->ready_ns) / 1e9) : json_null());
    }
    set(o, "input_lens", lens);
    set(o, "errors", errors);
    set(o, "e2els", latencies);
    set(o, "start_times", starts);
    set(o, "schedule_lags", lags);
}

static void set_probes(json_t *o, const qv__bench_serve *b) {
    const qv__bench_probes *p = &b->probes;
    if (b->probe_rate <= 0) return;
    set(o, "probe_completed", json_integer((json_int_t)p->completed));
    set(o, "probe_failed", json_integer((json_int_t)p->failed));
    set(o, "probe_median_e2el_ms", json_real(qv__percentile(p->latencies, p->completed, 50)));
    set(o, "probe_p99_e2el_ms", json_real(qv__percentile(p->latencies, p->completed, 99)));
    set(o, "probe_max_e2el_ms", json_real(qv__percentile(p->latencies, p->completed, 100)));
}

/* When the whole number of a ramp's requests a second changes. */
static void set_ramp_events(json_t *o, const qv__bench_serve *b) {
    if (!b->ramp) return;
    json_t *events = json_array();
    long last = -1;
    for (size_t i = 0; i < b->samples.count; i++) {
        long rate = (long)qv__schedule_rate(&b->schedule, i, b->samples.count);
        char date[64];
        if (rate == last) continue;
        last = rate;
        print_date(b->started + b->due[i], "%Y-%m-%dT%H:%M:%S", date);
        json_array_append_new(events, json_pack("{s:I, s:s}", "rps", (json_int_t)rate, "timestamp", date));
    }
    set(o, "rps_change_events", events);
}

static void set_latency(json_t *o, const qv__bench_serve *b) {
    const qv__figures *f = &b->figures;
    char key[64];
    set(o, "mean_e2el_ms", json_real(f->mean));
    set(o, "median_e2el_ms", json_real(qv__percentile(f->latencies, f->completed, 50)));
    set(o, "std_e2el_ms", json_real(f->deviation));
    for (size_t i = 0; i < b->percentile_count; i++) {
        snprintf(key, sizeof key, "p%g_e2el_ms", b->percentile_list[i]);
        set(o, key, json_real(qv__percentile(f->latencies, f->completed, b->percentile_list[i])));
    }
}

static void set_client(json_t *o, const qv__bench_serve *b) {
    const qv__figures *f = &b->figures;
    set(o, "failed", json_integer((json_int_t)f->failed));
    set(o, "unanswered", json_integer((json_int_t)f->unsent));
    set(o, "peak_concurrency", json_integer(b->totals.peak_open));
    set(o, "connections", json_integer(b->totals.connections));
    set(o, "client_threads", json_integer(b->threads));
    set(o, "client_cpu_seconds", json_real(b->totals.cpu_seconds));
    set(o, "client_busiest_thread", json_real(b->totals.busiest));
    set(o, "median_schedule_lag_ms", json_real(f->lag_p50));
    set(o, "p99_schedule_lag_ms", json_real(f->lag_p99));
    set(o, "max_schedule_lag_ms", json_real(f->lag_max));
}

static json_t *make_result(const qv__bench_serve *b) {
    json_t *o = json_object();
    set_run(o, b);
    set_figures(o, b);
    if (b->save_detailed) set_details(o, b);
    set_probes(o, b);
    set_ramp_events(o, b);
    set_latency(o, b);
    set_client(o, b);
    return o;
}

/* ---- files ---- */

/* As Python prints a float: "inf", "10.0", "0.5". */
static void print_rate(double rate, char out[64]) {
    if (isinf(rate))
        strcpy(out, "inf");
    else
        snprintf(out, 64, rate == floor(rate) && rate < 1e15 ? "%.1f" : "%.15g", rate);
}

/* Folders of a path, all of them. */
static bool make_folders(const char *path) {
    char *part = qv__strdup(path);
    if (!part) return false;
    for (char *at = part + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        mkdir(part, 0777); /* one that cannot be made fails again below */
        *at = '/';
    }
    bool made = !mkdir(part, 0777) || errno == EEXIST;
    qv__free(part);
    return made;
}

/* The result file's path, malloc'd. */
static char *make_path(const qv__bench_serve *b) {
    char rate[64], date[64], concurrency[64] = "";
    const char *model =
        strrchr(b->model_id, '/') && strrchr(b->model_id, '/')[1] ? strrchr(b->model_id, '/') + 1 : b->model_id;
    qv__buffer name = {0};
    print_rate(b->schedule.rate, rate);
    print_date(b->started, "%Y%m%d-%H%M%S", date);
    if (b->max_concurrency)
        snprintf(concurrency, sizeof concurrency, "-concurrency%lld", (long long)b->max_concurrency);
    if (b->result_filename)
        qv__buffer_puts(&name, b->result_filename);
    else
        qv__buffer_printf(&name, "%s-%sqps%s-%s-%s.json", b->label ? b->label : b->backend, rate, concurrency, model,
                          date);
    char *text = name.failed ? NULL : qv__strndup(name.data, name.size);
    qv__buffer_clear(&name);
    if (!b->result_dir || !text) return text;
    char *path = qv__path_join(b->result_dir, text);
    qv__free(text);
    return path;
}

static bool write_file(const char *path, const char *text, size_t size, bool append) {
    FILE *f = fopen(path, append ? "a" : "w");
    bool written = f && (!append || fseek(f, 0, SEEK_END) == 0);
    if (written && append && ftell(f) > 0) written = fputc('\n', f) != EOF;
    written = written && fwrite(text, 1, size, f) == size;
    if (f && fclose(f)) written = false;
    if (!written) qv__complain("%s cannot be written: %s", path, strerror(errno));
    return written;
}

static bool save_json(const qv__bench_serve *b, const char *path) {
    json_t *result = make_result(b);
    char *text = json_dumps(result, JSON_REAL_PRECISION(15));
    bool saved = text && write_file(path, text, strlen(text), b->append_result);
    if (!text) qv__complain("out of memory for the result file");
    if (saved) fprintf(stderr, "result: %s\n", path);
    free(text);
    json_decref(result);
    return saved;
}

/* FILE.json becomes FILE.svg. */
static bool save_svg(const qv__bench_serve *b, const char *path) {
    qv__buffer name = {0}, svg = {0}, title = {0};
    size_t size = strlen(path);
    if (size > 5 && !strcmp(path + size - 5, ".json")) size -= 5;
    qv__buffer_append(&name, path, size);
    qv__buffer_append(&name, ".svg", sizeof ".svg");
    qv__buffer_printf(&title, "%s, %s", b->label ? b->label : b->backend, b->model_id);
    qv__buffer_append(&title, "", 1);
    if (!title.failed) qv__plot_svg(b->results, b->samples.count, &b->figures, title.data, &svg);
    bool whole = !name.failed && !svg.failed && !title.failed;
    bool saved = whole && write_file(name.data, svg.data, svg.size, false);
    if (!whole) qv__complain("out of memory for the plot");
    if (saved) fprintf(stderr, "plot: %s\n", name.data);
    qv__buffer_clear(&name);
    qv__buffer_clear(&svg);
    qv__buffer_clear(&title);
    return saved;
}

static void print_plot(const qv__bench_serve *b) {
    struct winsize size;
    qv__buffer text = {0};
    if (!isatty(STDOUT_FILENO)) return;
    int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20 ? 80 : size.ws_col;
    qv__plot_text(b->results, b->samples.count, &b->figures, columns - 1, &text);
    if (!text.failed) fwrite(text.data, 1, text.size, stdout);
    qv__buffer_clear(&text);
}

bool qv__bench_save(const qv__bench_serve *b) {
    if (b->plot) print_plot(b);
    bool file = b->save_result || b->append_result;
    if (!file && !b->plot) return true;
    char *path = make_path(b);
    if (!path) return qv__complain("out of memory for the result file"), false;
    bool saved = true;
    if (b->result_dir && !make_folders(b->result_dir)) {
        qv__complain("--result-dir %s cannot be made: %s", b->result_dir, strerror(errno));
        saved = false;
    }
    if (saved && file) saved = save_json(b, path);
    if (saved && b->plot) saved = save_svg(b, path);
    qv__free(path);
    return saved;
}
