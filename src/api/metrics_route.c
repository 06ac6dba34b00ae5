/* GET /metrics: the engine's and the requests' counters as Prometheus reads them. vLLM's names where the meaning is the
 * same; docs/OPERATIONS.md has the list. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/job.h"
#include "api/write.h"

typedef struct {
    qv__buffer *b;
    const char *labels; /* model_name="..." */
} page;

static void head(const page *p, const char *name, const char *kind, const char *help) {
    qv__buffer_printf(p->b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void number(const page *p, const char *name, const char *kind, const char *help, double value) {
    head(p, name, kind, help);
    qv__buffer_printf(p->b, "%s{%s} %.17g\n", name, p->labels, value);
}

static void counter(const page *p, const char *name, const char *help, double value) {
    number(p, name, "counter", help, value);
}

static void gauge(const page *p, const char *name, const char *help, double value) {
    number(p, name, "gauge", help, value);
}

static void sizes(const page *p, const char *name, const char *help, const qv__sizes *s) {
    int64_t bounds[QV__SIZE_STEPS] = {0};
    qv__histogram h = {.bounds = bounds, .unit = 1};
    for (int i = 0; i < QV__SIZE_STEPS; i++) {
        if (i + 1 < QV__SIZE_STEPS) bounds[i] = (int64_t)1 << i;
        h.counts[i] = s->counts[i];
    }
    h.sum = s->sum;
    head(p, name, "histogram", help);
    qv__histogram_write(&h, name, p->labels, p->b);
}

static void histogram(const page *p, const char *name, const char *help, const qv__histogram *h) {
    head(p, name, "histogram", help);
    qv__histogram_write(h, name, p->labels, p->b);
}

/* ---- what there is ---- */

static void write_queue(const page *p, const qv__engine_stats *s) {
    gauge(p, "vllm:num_requests_running", "Inputs being computed.", (double)s->running_items);
    gauge(p, "vllm:num_requests_waiting", "Inputs waiting to be computed.", (double)s->waiting_items);
    gauge(p, "qvec_waiting_tokens", "Tokens of the inputs that wait.", (double)s->waiting_tokens);
    gauge(p, "qvec_oldest_wait_seconds", "How long the first of them has waited.", (double)s->oldest_wait_ns * 1e-9);
}

static void write_device(const page *p, const qv__engine_stats *s) {
    counter(p, "vllm:prompt_tokens_total", "Tokens of the inputs computed.", (double)s->finished_tokens);
    counter(p, "qvec_items_finished_total", "Inputs computed.", (double)s->finished_items);
    counter(p, "qvec_items_failed_total", "Inputs that failed.", (double)s->failed_items);
    counter(p, "qvec_items_cancelled_total", "Inputs whose client went away.", (double)s->cancelled_items);
    counter(p, "qvec_items_expired_total", "Inputs whose deadline passed.", (double)s->expired_items);
    counter(p, "qvec_batches_total", "Batches computed.", (double)s->batches);
    counter(p, "qvec_nested_batches_total", "Those of them computed in the pauses of a long input.",
            (double)s->nested_batches);
    sizes(p, "qvec_batch_items", "Inputs of a batch.", &s->batch_items);
    sizes(p, "vllm:iteration_tokens_total", "Tokens computed in a batch.", &s->batch_tokens);
    counter(p, "qvec_busy_seconds_total", "Time spent computing; its rate is the device's busy share.",
            (double)s->busy_ns * 1e-9);
    gauge(p, "qvec_busy_share", "Share of the time since the model was opened that was spent computing.",
          s->open_ns > 0 ? (double)s->busy_ns / (double)s->open_ns : 0);
    gauge(p, "qvec_open_seconds", "Time since the model was opened.", (double)s->open_ns * 1e-9);
}

static void write_caches(const page *p, const qv__engine_stats *s) {
    counter(p, "vllm:prefix_cache_queries_total", "Tokens that were looked up among the stored prefixes.",
            (double)(s->batch_tokens.sum + s->prefix_tokens));
    counter(p, "vllm:prefix_cache_hits_total", "Those of them that a stored prefix spared.", (double)s->prefix_tokens);
    counter(p, "qvec_prefix_hits_total", "Inputs that a stored prefix helped.", (double)s->prefix_hits);
    counter(p, "qvec_prefix_misses_total", "Inputs that none helped.", (double)s->prefix_misses);
    counter(p, "qvec_prefix_evictions_total", "Prefixes dropped for others.", (double)s->prefix_evictions);
    gauge(p, "qvec_prefix_bytes", "Size of the stored prefixes.", (double)s->prefix_bytes);
    counter(p, "vllm:mm_cache_queries_total", "Pictures looked up in the feature cache.",
            (double)(s->image_hits + s->image_misses));
    counter(p, "vllm:mm_cache_hits_total", "Those of them that were found.", (double)s->image_hits);
    counter(p, "qvec_image_cache_misses_total", "Those that had to be computed.", (double)s->image_misses);
    counter(p, "qvec_image_cache_evictions_total", "Pictures dropped for others.", (double)s->image_evictions);
    gauge(p, "qvec_image_cache_bytes", "Size of the feature cache.", (double)s->image_bytes);
}

static void write_times(const page *p, const qv__metrics *m) {
    static const char *const names[QV__STAGES] = {"wait", "decode", "compute", "write"};
    histogram(p, "vllm:e2e_request_latency_seconds", "From a request's head to the end of its answer.", &m->total);
    histogram(p, "vllm:request_queue_time_seconds", "Waiting for a thread and for the device.",
              &m->stages[QV__STAGE_WAIT]);
    histogram(p, "vllm:request_inference_time_seconds", "From the first input's start to the last one's end.",
              &m->stages[QV__STAGE_COMPUTE]);
    histogram(p, "vllm:request_prompt_tokens", "Tokens of a request.", &m->tokens);
    head(p, "qvec_stage_seconds", "histogram", "Where the time of requests goes.");
    for (int i = 0; i < QV__STAGES; i++) {
        qv__buffer labels = {0};
        qv__buffer_printf(&labels, "%s,stage=\"%s\"", p->labels, names[i]);
        if (qv__buffer_append(&labels, "", 1))
            qv__histogram_write(&m->stages[i], "qvec_stage_seconds", labels.data, p->b);
        else
            p->b->failed = true;
        qv__buffer_clear(&labels);
    }
}

static void write_requests(const page *p, const qv__metrics *m, size_t in_flight) {
    head(p, "vllm:request_success_total", "counter", "Inputs of the requests that succeeded.");
    qv__buffer_printf(p->b, "vllm:request_success_total{%s,finished_reason=\"stop\"} %lld\n", p->labels,
                      (long long)m->items);
    head(p, "qvec_http_requests_total", "counter", "Requests ended, by class of status.");
    for (int digit = 1; digit <= 5; digit++)
        qv__buffer_printf(p->b, "qvec_http_requests_total{%s,status=\"%dxx\"} %lld\n", p->labels, digit,
                          (long long)m->ended[digit]);
    head(p, "qvec_requests_refused_total", "counter", "Requests not answered with what they asked for.");
    for (int i = 0; i < QV__REFUSALS; i++)
        qv__buffer_printf(p->b, "qvec_requests_refused_total{%s,reason=\"%s\"} %lld\n", p->labels, qv__refusal_name(i),
                          (long long)m->refused[i]);
    gauge(p, "qvec_http_in_flight", "Requests that are being worked on.", (double)in_flight);
    gauge(p, "qvec_http_connections", "Open connections.", (double)m->connections);
    counter(p, "qvec_http_connections_total", "Connections opened.", (double)m->connections_opened);
}

static double seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static double resident_bytes(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Under the names that every client library of Prometheus uses. */
static void write_process(const page *p, const qv__api *api) {
    struct rusage use = {0};
    getrusage(RUSAGE_SELF, &use);
    counter(p, "process_cpu_seconds_total", "Processor time of all threads.",
            seconds(use.ru_utime) + seconds(use.ru_stime));
    gauge(p, "process_resident_memory_bytes", "Memory held, mapped weights that were read included.", resident_bytes());
    gauge(p, "process_start_time_seconds", "When the server was opened, in seconds of Unix time.",
          (double)api->created);
}

/* A label's value knows three escapes, and they are JSON's; a name with other control characters is written without. */
static bool write_labels(const char *model, qv__buffer *labels) {
    qv__buffer_puts(labels, "model_name=\"");
    for (; *model; model++) {
        if (*model == '"' || *model == '\\') qv__buffer_append(labels, "\\", 1);
        if ((unsigned char)*model >= ' ') qv__buffer_append(labels, model, 1);
    }
    qv__buffer_puts(labels, "\"");
    return qv__buffer_append(labels, "", 1);
}

qv_status qv__start_metrics(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__api *api = job->api;
    qv__engine_stats s = {0};
    qv__engine_get_stats(api->options.model->engine, &s);
    qv__buffer labels = {0};
    if (write_labels(qv__job_model(job), &labels)) {
        const page p = {&response->body, labels.data};
        write_queue(&p, &s);
        write_device(&p, &s);
        write_caches(&p, &s);
        write_times(&p, &api->metrics);
        write_requests(&p, &api->metrics, qv__api_in_flight(api));
        write_process(&p, api);
    } else
        response->body.failed = true;
    qv__buffer_clear(&labels);
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return QV_OK;
}
