#include "api/metrics.h"

static const int64_t us = 1000, ms = 1000000, s = 1000000000;

static const int64_t time_bounds[] = {100 * us, 250 * us, 500 * us, 1 * ms,   2500 * us, 5 * ms,  10 * ms,
                                      25 * ms,  50 * ms,  100 * ms, 250 * ms, 500 * ms,  1 * s,   2 * s,
                                      5 * s,    10 * s,   30 * s,   60 * s,   120 * s,   300 * s, 0};
static const int64_t token_bounds[] = {1,    2,    5,     10,    20,    50,     100,    200,    500,     1000,
                                       2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 0};

void qv__metrics_init(qv__metrics *m) {
    *m = (qv__metrics){.total = {.bounds = time_bounds, .unit = 1e-9}, .tokens = {.bounds = token_bounds, .unit = 1}};
    for (int i = 0; i < QV__STAGES; i++) m->stages[i] = m->total;
}

static void observe(qv__histogram *h, int64_t value) {
    int i = 0;
    while (h->bounds[i] && value > h->bounds[i]) i++;
    atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
}

static int refusal_of(int status) {
    switch (status) {
    case 401: return QV__REFUSED_UNAUTHORIZED;
    case 404:
    case 405: return QV__REFUSED_NOT_FOUND;
    case 413:
    case 431: return QV__REFUSED_TOO_LARGE;
    case 429: return QV__REFUSED_OVERLOADED;
    case 499: return QV__REFUSED_HUNG_UP;
    case 503: return QV__REFUSED_SHUTTING_DOWN;
    case 504: return QV__REFUSED_DEADLINE;
    default: return status < 500 ? QV__REFUSED_BAD_REQUEST : QV__REFUSED_FAILED;
    }
}

const char *qv__refusal_name(int refusal) {
    static const char *const names[QV__REFUSALS] = {[QV__REFUSED_BAD_REQUEST] = "bad_request",
                                                    [QV__REFUSED_UNAUTHORIZED] = "unauthorized",
                                                    [QV__REFUSED_NOT_FOUND] = "not_found",
                                                    [QV__REFUSED_TOO_LARGE] = "too_large",
                                                    [QV__REFUSED_OVERLOADED] = "overloaded",
                                                    [QV__REFUSED_HUNG_UP] = "hung_up",
                                                    [QV__REFUSED_DEADLINE] = "deadline",
                                                    [QV__REFUSED_SHUTTING_DOWN] = "shutting_down",
                                                    [QV__REFUSED_FAILED] = "failed"};
    return names[refusal];
}

void qv__metrics_note_end(qv__metrics *m, const qv__ended *e, bool inference) {
    int digit = e->status / 100;
    atomic_fetch_add_explicit(&m->ended[digit >= 1 && digit <= 5 ? digit : 0], 1, memory_order_relaxed);
    if (digit >= 4) atomic_fetch_add_explicit(&m->refused[refusal_of(e->status)], 1, memory_order_relaxed);
    if (!inference || digit != 2) return;
    atomic_fetch_add_explicit(&m->items, e->items, memory_order_relaxed);
    observe(&m->total, e->total_ns);
    observe(&m->tokens, e->tokens);
    for (int i = 0; i < QV__STAGES; i++) observe(&m->stages[i], e->stage_ns[i]);
}

void qv__metrics_note_connection(qv__metrics *m, int change) {
    atomic_fetch_add_explicit(&m->connections, change, memory_order_relaxed);
    if (change > 0) atomic_fetch_add_explicit(&m->connections_opened, change, memory_order_relaxed);
}

void qv__histogram_write(const qv__histogram *h, const char *name, const char *labels, qv__buffer *b) {
    long long below = 0;
    for (int i = 0;; i++) {
        below += h->counts[i]; /* the counts move on meanwhile; what is written is still a histogram */
        if (!h->bounds[i]) break;
        qv__buffer_printf(b, "%s_bucket{%s,le=\"%g\"} %lld\n", name, labels, (double)h->bounds[i] * h->unit, below);
    }
    qv__buffer_printf(b, "%s_bucket{%s,le=\"+Inf\"} %lld\n%s_sum{%s} %.17g\n%s_count{%s} %lld\n", name, labels, below,
                      name, labels, (double)h->sum * h->unit, name, labels, below);
}
