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
