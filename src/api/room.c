/* Whether there is room for more work, and when to come back when there is none. */
#include <stdio.h>

#include "api/job.h"

/* A client of whom much waits leaves the last eighth to others; whatever it is, one request of a client of whom nothing
 * waits may take what is there. */
static bool fits(int64_t more, int64_t waiting, int64_t own, int64_t most) {
    int64_t eighth = most / 8;
    return more <= most - waiting - (own && own + more > eighth ? eighth : 0);
}

qv_status qv__room_check(qv__api *api, uint64_t client, int64_t items, int64_t tokens, qv__refusal *r) {
    const qv__limits *l = &api->options.limits;
    qv__engine_waiting w;
    qv__engine_get_waiting(api->options.model->engine, client, &w);
    if (!client) w.own_items = w.own_tokens = 0;
    if (fits(items, w.items, w.own_items, l->queued_items) && fits(tokens, w.tokens, w.own_tokens, l->queued_tokens))
        return QV_OK;
    return qv__refuse(r, QV_OVERLOADED, NULL,
                      "The queue is full: %lld inputs wait, %lld of them yours, of %lld tokens; it holds %lld inputs "
                      "(--max-queued-items) and %lld tokens (--max-queued-tokens), the last eighth for other clients.",
                      (long long)w.items, (long long)w.own_items, (long long)w.tokens, (long long)l->queued_items,
                      (long long)l->queued_tokens);
}

int qv__api_room_status(qv__api *api, const char *method, const char *path, uint64_t client, char *why, size_t size) {
    const qv__route *route = qv__route_find(method, path);
    qv__refusal r;
    if (!route || !(route->flags & QV__ROUTE_QUEUED) || !qv__room_check(api, client, 1, 1, &r)) return 200;
    snprintf(why, size, "%s", r.message);
    return r.http;
}

int qv__room_retry_after(qv__api *api, int http) {
    if (http == 503) return 1;
    if (http != 429) return 0;
    double before = qv__pool_seconds(api->pool) + (api->fetchers ? qv__pool_seconds(api->fetchers) : 0);
    return qv__drain_seconds(&api->drain, api->options.model->engine, before);
}
