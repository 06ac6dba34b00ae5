/* The light routes: what is served, and how it is doing. Answered on the caller's thread; none waits for anything. */
#include <string.h>

#include "api/job.h"
#include "api/write.h"

qv_status qv__start_health(qv__job *job, qv__response *response, qv__refusal *r) {
    if (job->api->draining) return qv__refuse(r, QV_SHUTTING_DOWN, NULL, "The server is shutting down.");
    response->content_type = NULL;
    return QV_OK;
}

qv_status qv__start_ready(qv__job *job, qv__response *response, qv__refusal *r) {
    if (job->api->leaving) return qv__refuse(r, QV_SHUTTING_DOWN, NULL, "The server is shutting down.");
    return qv__start_health(job, response, r);
}

qv_status qv__start_version(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__buffer_printf(&response->body, "{\"version\":\"%s\"}", QVEC_VERSION);
    return QV_OK;
}

static size_t in_flight(qv__api *api) {
    pthread_mutex_lock(&api->lock);
    size_t n = api->in_flight;
    pthread_mutex_unlock(&api->lock);
    return n;
}

qv_status qv__start_load(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__buffer_printf(&response->body, "{\"server_load\":%zu}", in_flight(job->api));
    return QV_OK;
}

/* vLLM's card. `root` is the folder with the tokenizer: `vllm bench serve` loads it from there. */
static void write_card(const qv__api *api, const char *name, qv__buffer *b) {
    const char *root = api->options.model->folder ? api->options.model->folder : name;
    qv__buffer_puts(b, "{\"id\":");
    qv__write_string(b, name, strlen(name));
    qv__buffer_printf(
        b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"qvec\",\"root\":", (long long)api->created);
    qv__write_string(b, root, strlen(root));
    qv__buffer_printf(
        b,
        ",\"parent\":null,\"max_model_len\":%lld,\"permission\":[{\"id\":\"modelperm-qvec\",\"object\":\"model_"
        "permission\","
        "\"created\":%lld,\"allow_create_engine\":false,\"allow_sampling\":true,\"allow_logprobs\":true,"
        "\"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\","
        "\"group\":null,\"is_blocking\":false}]}",
        (long long)api->model.max_model_len, (long long)api->created);
}

qv_status qv__start_models(qv__job *job, qv__response *response, qv__refusal *r) {
    const qv__api *api = job->api;
    qv__buffer_puts(&response->body, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < api->options.served_name_count; i++) {
        if (i) qv__buffer_puts(&response->body, ",");
        write_card(api, api->options.served_names[i], &response->body);
    }
    qv__buffer_puts(&response->body, "]}");
    return QV_OK;
}

/* ---- Prometheus text: vLLM's names where the meaning is the same ---- */

typedef struct {
    const char *name, *kind, *help;
    double value;
} metric;

qv_status qv__start_metrics(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__api *api = job->api;
    qv__engine_stats s = {0};
    qv__engine_get_stats(api->options.model->engine, &s);
    const metric metrics[] = {
        {"vllm:num_requests_running", "gauge", "Inputs being computed.", (double)s.running_items},
        {"vllm:num_requests_waiting", "gauge", "Inputs waiting to be computed.", (double)s.waiting_items},
        {"vllm:prompt_tokens_total", "counter", "Tokens computed.", (double)s.finished_tokens},
        {"qvec_waiting_tokens", "gauge", "Tokens of the inputs that wait.", (double)s.waiting_tokens},
        {"qvec_http_in_flight", "gauge", "Requests that are being worked on.", (double)in_flight(api)},
        {"qvec_items_finished_total", "counter", "Inputs computed.", (double)s.finished_items},
        {"qvec_items_failed_total", "counter", "Inputs that failed.", (double)s.failed_items},
        {"qvec_items_cancelled_total", "counter", "Inputs whose client went away.", (double)s.cancelled_items},
        {"qvec_items_expired_total", "counter", "Inputs whose deadline passed.", (double)s.expired_items},
        {"qvec_nested_batches_total", "counter", "Batches computed in the pauses of a long input.",
         (double)s.nested_batches},
        {"qvec_batches_total", "counter", "Batches computed.", (double)s.batches},
        {"qvec_busy_seconds_total", "counter", "Time spent computing.", (double)s.busy_ns * 1e-9},
        {"qvec_open_seconds", "gauge", "Time since the model was opened.", (double)s.open_ns * 1e-9},
        {"qvec_wait_seconds_total", "counter", "Time that answered requests waited.",
         (double)api->stage_ns[QV__STAGE_WAIT] * 1e-9},
        {"qvec_image_cache_hits_total", "counter", "Pictures found in the feature cache.", (double)s.image_hits},
        {"qvec_image_cache_misses_total", "counter", "Pictures that had to be computed.", (double)s.image_misses},
        {"qvec_image_cache_bytes", "gauge", "Size of the feature cache.", (double)s.image_bytes},
        {"qvec_prefix_hits_total", "counter", "Prefix look-ups that found one.", (double)s.prefix_hits},
        {"qvec_prefix_misses_total", "counter", "Prefix look-ups that found nothing.", (double)s.prefix_misses},
        {"qvec_prefix_tokens_total", "counter", "Tokens that a stored prefix spared.", (double)s.prefix_tokens},
        {"qvec_prefix_bytes", "gauge", "Size of the prefix store.", (double)s.prefix_bytes},
    };
    qv__buffer *b = &response->body;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        const metric *m = &metrics[i];
        qv__buffer_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s{model_name=", m->name, m->help, m->name, m->kind, m->name);
        qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
        qv__buffer_printf(b, "} %.17g\n", m->value);
    }
    qv__buffer_puts(b, "# HELP qvec_http_requests_total Requests answered, by class of status.\n# TYPE "
                       "qvec_http_requests_total counter\n");
    for (int digit = 1; digit <= 5; digit++)
        qv__buffer_printf(b, "qvec_http_requests_total{status=\"%dxx\"} %lld\n", digit,
                          (long long)api->answered[digit]);
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return QV_OK;
}
