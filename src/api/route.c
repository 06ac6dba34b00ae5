/* The one table from (method, path) to handler. A new form is a row here and a file beside it. */
#include <string.h>

#include "api/job.h"

enum { INFERENCE = QV__ROUTE_KEY | QV__ROUTE_JSON };

static const qv__route routes[] = {
    {"POST", "/v1/embeddings", INFERENCE, qv__start_embeddings},
    {"POST", "/rerank", INFERENCE, qv__start_rerank},
    {"POST", "/v1/rerank", INFERENCE, qv__start_rerank},
    {"POST", "/v2/rerank", INFERENCE, qv__start_rerank},
    {"POST", "/score", INFERENCE, qv__start_score},
    {"POST", "/v1/score", INFERENCE, qv__start_score},
    {"POST", "/tokenize", INFERENCE, qv__start_tokenize},
    {"POST", "/detokenize", INFERENCE, qv__start_detokenize},
    {"GET", "/v1/models", QV__ROUTE_KEY | QV__ROUTE_LIGHT, qv__start_models},
    {"GET", "/health", QV__ROUTE_LIGHT, qv__start_health},
    {"GET", "/ping", QV__ROUTE_LIGHT, qv__start_health},
    {"POST", "/ping", QV__ROUTE_LIGHT, qv__start_health},
    {"GET", "/version", QV__ROUTE_LIGHT, qv__start_version},
    {"GET", "/load", QV__ROUTE_LIGHT, qv__start_load},
    {"GET", "/metrics", QV__ROUTE_LIGHT, qv__start_metrics},
};

enum { ROUTE_COUNT = sizeof routes / sizeof *routes };

const qv__route *qv__route_at(size_t i) {
    return i < ROUTE_COUNT ? &routes[i] : NULL;
}

const qv__route *qv__route_find(const char *method, const char *path) {
    if (strcmp(method, "HEAD") == 0) method = "GET";
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(routes[i].path, path) == 0 && strcmp(routes[i].method, method) == 0) return &routes[i];
    return NULL;
}

const char *qv__api_route_path(const qv__api *api, const char *path) {
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(routes[i].path, path) == 0) return routes[i].path;
    return NULL;
}

int qv__api_route_status(const qv__api *api, const char *method, const char *path) {
    if (!qv__api_route_path(api, path)) return 404;
    return strcmp(method, "OPTIONS") == 0 || qv__route_find(method, path) ? 200 : 405;
}

static void add_word(char *out, size_t size, const char *word) {
    size_t n = strlen(out), need = strlen(word) + (n ? 2 : 0);
    if (n + need >= size) return;
    strcpy(out + n, n ? ", " : "");
    strcat(out, word);
}

bool qv__api_allowed(const qv__api *api, const char *path, char *out, size_t size) {
    out[0] = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strcmp(routes[i].path, path)) continue;
        add_word(out, size, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0) add_word(out, size, "HEAD");
    }
    if (!out[0]) return false;
    add_word(out, size, "OPTIONS");
    return true;
}
