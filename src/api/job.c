#include "api/job.h"

#include <stdio.h>
#include <string.h>

#include "api/write.h"
#include "base/clock.h"

qv_status qv__job_reserve(qv__job *job, size_t count, qv__refusal *r) {
    job->items = qv__calloc(count, sizeof(qv__item *));
    job->facts = qv__calloc(count, sizeof *job->facts);
    if (!job->items || !job->facts) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for %zu inputs.", count);
    return QV_OK;
}

/* vLLM's text, which clients search for, and our own behind it. */
static qv_status refuse_too_long(const qv__job *job, int64_t tokens, const qv_error *err, const char *name,
                                 qv__refusal *r) {
    return qv__refuse(
        r, QV_TOO_LONG, "input_tokens",
        "This model's maximum context length is %lld tokens. However, you requested 0 output tokens and your prompt "
        "contains %lld input tokens, for a total of %lld tokens. Please reduce the length of the input prompt or the "
        "number of requested output tokens. (%s: %s)",
        (long long)job->api->model.max_model_len, (long long)tokens, (long long)tokens, name, err->message);
}

/* What becomes of the next item: counted in, or refused with its name. */
static qv_status prepared(qv__job *job, qv_status status, const qv_error *err, const char *name, qv__refusal *r) {
    if (!status) return job->count++, QV_OK;
    int64_t untruncated = job->facts[job->count].untruncated; /* filled in before the length is judged */
    if (status == QV_TOO_LONG && untruncated > job->api->model.max_model_len)
        return refuse_too_long(job, untruncated, err, name, r);
    char prefix[96];
    snprintf(prefix, sizeof prefix, "%s: ", name);
    return qv__refuse_error(r, err, name, prefix);
}

qv_status qv__job_check_wanted(const qv__job *job, qv__refusal *r) {
    const qv__request *q = job->request;
    if (q->gone && job->api->draining) return qv__refuse(r, QV_SHUTTING_DOWN, NULL, "The server is shutting down.");
    if (q->gone) {
        qv__refuse(r, QV_CANCELLED, NULL, "The client closed the connection.");
        qv__refusal_set_http(r, 499);
        return QV_CANCELLED;
    }
    if (!q->deadline_ns || qv__now_ns() < q->deadline_ns) return QV_OK;
    return qv__refuse(r, QV_DEADLINE, NULL,
                      "The request took longer than %lld seconds, which is the limit here (--request-timeout).",
                      (long long)job->api->options.limits.request_seconds);
}

qv_status qv__job_prepare(qv__job *job, const qv_input *input, const char *name, qv__refusal *r) {
    qv_status status = qv__job_check_wanted(job, r);
    if (!status) status = qv__media_url_settle(input, name, r);
    if (status) return status;
    qv_error err = {0};
    status = qv__session_prepare(job->api->options.model, input, NULL, &job->items[job->count], &job->facts[job->count],
                                 &err);
    return prepared(job, status, &err, name, r);
}

qv_status qv__job_open_query(qv__job *job, const qv_input *query, qv__query **out, qv__refusal *r) {
    qv_error err = {0};
    qv_status status = qv__media_url_settle(query, "query", r);
    if (status) return status;
    status = qv__query_open(job->api->options.model, query, NULL, out, &err);
    return status ? qv__refuse_error(r, &err, "query", "") : QV_OK;
}

qv_status qv__job_prepare_document(qv__job *job, qv__query *query, const qv_input *document, const char *name,
                                   qv__refusal *r) {
    qv_status status = qv__job_check_wanted(job, r);
    if (!status) status = qv__media_url_settle(document, name, r);
    if (status) return status;
    qv_error err = {0};
    status = qv__session_prepare_document(job->api->options.model, query, document, NULL, &job->items[job->count],
                                          &job->facts[job->count], &err);
    return prepared(job, status, &err, name, r);
}

int64_t qv__job_tokens(const qv__job *job) {
    int64_t tokens = 0;
    for (size_t i = 0; i < job->count; i++) tokens += job->facts[i].tokens;
    return tokens;
}

const char *qv__job_prompt(const qv__job *job) {
    for (size_t i = 1; i < job->count; i++)
        if (job->facts[i].prompt != job->facts[0].prompt) return "mixed";
    return job->facts[0].prompt == QV_PROMPT_OFFICIAL ? "official" : "raw";
}

qv_status qv__job_check_echo(const qv__job *job, qv__refusal *r) {
    int64_t tokens = qv__job_tokens(job), most = job->api->options.limits.echo_tokens;
    if (tokens <= most) return QV_OK;
    return qv__refuse_field(
        r, "echo", "echo \"prompts\" repeats at most %lld tokens (--max-echo-tokens); these prompts have %lld.",
        (long long)most, (long long)tokens);
}

/* The text is put together first: a character may be spread over several tokens. */
void qv__job_write_prompt(const qv__job *job, size_t i, qv__buffer *b) {
    const qv__sequence *sequence = &job->items[i]->sequence;
    qv__buffer text = {0};
    for (int32_t k = 0; k < sequence->length; k++) {
        size_t size = 0;
        const char *bytes = qv__tokenizer_bytes(job->api->options.model->tokenizer, sequence->ids[k], &size);
        if (bytes) qv__buffer_append(&text, bytes, size);
    }
    qv__buffer_printf(b, "{\"tokens\":%d,\"text\":", sequence->length);
    qv__write_string(b, text.data ? text.data : "", text.size);
    qv__buffer_puts(b, "}");
    b->failed |= text.failed;
    qv__buffer_clear(&text);
}

/* A stage that was not reached takes no time, and the one before it lasts until now. */
void qv__job_measure(const qv__job *job, int64_t now, int64_t stage_ns[QV__STAGES]) {
    int64_t opened = job->opened_ns ? job->opened_ns : now, submitted = job->submitted_ns ? job->submitted_ns : now;
    int64_t first = INT64_MAX, last = 0;
    for (size_t i = 0; i < job->count && job->submitted_ns; i++) {
        const qv__item *item = job->items[i];
        if (item->started_ns && item->started_ns < first) first = item->started_ns;
        if (item->finished_ns > last) last = item->finished_ns;
    }
    if (!last) last = now;
    if (first > last) first = last; /* none was computed */
    stage_ns[QV__STAGE_WAIT] = opened - job->received_ns + first - submitted;
    stage_ns[QV__STAGE_DECODE] = submitted - opened;
    stage_ns[QV__STAGE_COMPUTE] = last - first;
    stage_ns[QV__STAGE_WRITE] = now - last;
}

qv_status qv__job_check_model(const qv__job *job, const char *model, qv__refusal *r) {
    if (!model || !*model) return QV_OK;
    for (int i = 0; i < job->api->options.served_name_count; i++)
        if (strcmp(job->api->options.served_names[i], model) == 0) return QV_OK;
    return qv__refuse(r, QV_NOT_FOUND, NULL, "The model `%.200s` does not exist.", model);
}

const char *qv__job_model(const qv__job *job) {
    return job->api->options.served_names[0];
}

void qv__job_write_id(const qv__job *job, const char *prefix, qv__buffer *b) {
    char id[200];
    const char *given = job->request->request_id;
    int n = snprintf(id, sizeof id, "%s-%s", prefix, given && *given ? given : "0");
    qv__write_string(b, id, (size_t)n < sizeof id ? (size_t)n : sizeof id - 1);
}
