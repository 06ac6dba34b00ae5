#include "api/headers.h"

#include <stdio.h>

static int free_slot(const qv__response *response) {
    int i = 0;
    while (i < QV__RESPONSE_HEADERS && response->header_name[i]) i++;
    return i;
}

void qv__header_add(qv__response *response, const char *name, const char *value) {
    int i = free_slot(response);
    if (i == QV__RESPONSE_HEADERS) return;
    response->header_name[i] = name;
    response->header_value[i] = value;
}

void qv__header_add_number(qv__response *response, const char *name, int64_t value) {
    int i = free_slot(response);
    if (i == QV__RESPONSE_HEADERS) return;
    snprintf(response->header_number[i], sizeof response->header_number[i], "%lld", (long long)value);
    qv__header_add(response, name, response->header_number[i]);
}

void qv__header_add_facts(qv__response *response, const char *prompt, size_t cut, const char *warning) {
    qv__header_add(response, "x-qvec-prompt", prompt);
    if (cut) qv__header_add_number(response, "x-qvec-truncated", (int64_t)cut);
    if (warning) qv__header_add(response, "x-qvec-warning", warning);
}

void qv__header_add_work(qv__response *response, const int64_t stage_ns[QV__STAGES]) {
    const int64_t ms = 1000000;
    int64_t total = 0;
    for (int i = 0; i < QV__STAGES; i++) total += stage_ns[i];
    qv__header_add(response, "x-compute-type", "cpu");
    qv__header_add_number(response, "x-compute-time", total / ms);
    qv__header_add_number(response, "x-compute-characters", response->characters);
    qv__header_add_number(response, "x-compute-tokens", response->tokens);
    qv__header_add_number(response, "x-total-time", total / ms);
    qv__header_add_number(response, "x-tokenization-time", stage_ns[QV__STAGE_DECODE] / ms);
    qv__header_add_number(response, "x-queue-time", stage_ns[QV__STAGE_WAIT] / ms);
    qv__header_add_number(response, "x-inference-time", stage_ns[QV__STAGE_COMPUTE] / ms);
}
