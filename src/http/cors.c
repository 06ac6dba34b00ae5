#include "http/cors.h"

#include <string.h>

enum { ASKED_MAX = 1000 };

static bool is_any(const qv__cors *cors) {
    for (size_t i = 0; i < cors->origin_count; i++)
        if (strcmp(cors->origins[i], "*") == 0) return true;
    return false;
}

static bool is_allowed(const qv__cors *cors, const char *origin) {
    if (!origin || !cors->origin_count) return false;
    for (size_t i = 0; i < cors->origin_count; i++)
        if (strcmp(cors->origins[i], origin) == 0) return true;
    return is_any(cors);
}

/* "*" would not let credentials through: the origin is named instead, and caches are told that it matters. */
static void add_origin(const qv__cors *cors, const char *origin, struct MHD_Response *r) {
    bool any = is_any(cors) && !cors->credentials;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", any ? "*" : origin);
    if (cors->credentials) MHD_add_response_header(r, "Access-Control-Allow-Credentials", "true");
}

static void add_vary(const qv__cors *cors, struct MHD_Response *r) {
    if (cors->origin_count && (!is_any(cors) || cors->credentials)) MHD_add_response_header(r, "Vary", "Origin");
}

void qv__cors_add(const qv__cors *cors, const char *origin, struct MHD_Response *r) {
    add_vary(cors, r);
    if (!is_allowed(cors, origin)) return;
    add_origin(cors, origin, r);
    MHD_add_response_header(r, "Access-Control-Expose-Headers",
                            "X-Request-Id, Retry-After, x-qvec-prompt, x-qvec-truncated, x-qvec-warning, metadata");
}

/* Header names in a row and nothing else. */
static bool is_plain_list(const char *text) {
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_, ", c);
        if (!fine) return false;
    }
    return size && size <= ASKED_MAX;
}

void qv__cors_add_preflight(const qv__cors *cors, const char *origin, const char *path_methods, const char *asked,
                            struct MHD_Response *r) {
    add_vary(cors, r);
    if (!is_allowed(cors, origin)) return;
    add_origin(cors, origin, r);
    MHD_add_response_header(r, "Access-Control-Allow-Methods", cors->methods ? cors->methods : path_methods);
    const char *headers = cors->headers ? cors->headers : asked && is_plain_list(asked) ? asked : NULL;
    if (headers) MHD_add_response_header(r, "Access-Control-Allow-Headers", headers);
    MHD_add_response_header(r, "Access-Control-Max-Age", "600");
}
