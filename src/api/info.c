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

size_t qv__api_in_flight(qv__api *api) {
    pthread_mutex_lock(&api->lock);
    size_t n = api->in_flight;
    pthread_mutex_unlock(&api->lock);
    return n;
}

qv_status qv__start_load(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__buffer_printf(&response->body, "{\"server_load\":%zu}", qv__api_in_flight(job->api));
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
