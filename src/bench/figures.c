#include "bench/figures.h"

#include "base/error.h"
#include "bench/stats.h"

double qv__latency_ms(const qv__load_result *result) {
    return (double)(result->done_ns - result->from_ns) / 1e6;
}

void qv__figures_clear(qv__figures *figures) {
    qv__free(figures->latencies);
    *figures = (qv__figures){0};
}

static void add_completed(const qv__load_result *r, const qv__sample *s, double good_ms, qv__figures *f) {
    double ms = qv__latency_ms(r);
    f->latencies[f->completed++] = ms;
    f->tokens += r->tokens >= 0 ? r->tokens : s->tokens;
    f->inputs += s->inputs;
    f->good += good_ms > 0 && ms <= good_ms;
}

qv_status qv__figures_make(const qv__load_result *results, const qv__samples *samples, const qv__load_totals *totals,
                           double good_ms, qv__figures *out, qv_error *err) {
    size_t sent = 0, count = samples->count;
    double *lags = qv__alloc_array(count + 1, sizeof *lags);
    *out = (qv__figures){.seconds = totals->seconds, .latencies = qv__alloc_array(count + 1, sizeof *out->latencies)};
    if (!lags || !out->latencies) {
        qv__free(lags);
        qv__figures_clear(out);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for the figures of %zu requests", count);
    }
    for (size_t i = 0; i < count; i++) {
        const qv__load_result *r = &results[i];
        if (r->state != QV__LOAD_UNSENT) lags[sent++] = (double)(r->sent_ns - r->ready_ns) / 1e6;
        if (r->state == QV__LOAD_DONE)
            add_completed(r, &samples->items[i], good_ms, out);
        else if (r->state == QV__LOAD_FAILED)
            out->failed++;
        else
            out->unsent++;
    }
    qv__sort_values(lags, sent);
    qv__sort_values(out->latencies, out->completed);
    out->lag_p50 = qv__percentile(lags, sent, 50);
    out->lag_p99 = qv__percentile(lags, sent, 99);
    out->lag_max = qv__percentile(lags, sent, 100);
    out->mean = qv__mean(out->latencies, out->completed);
    out->deviation = qv__deviation(out->latencies, out->completed);
    qv__free(lags);
    return QV_OK;
}

qv__client_state qv__figures_client(const qv__figures *f, const qv__load_totals *totals, bool due) {
    double late = 0.05 * qv__percentile(f->latencies, f->completed, 50);
    if (totals->busiest > 0.8) return QV__CLIENT_BUSY;
    return due && f->lag_p99 > (late > 1 ? late : 1) ? QV__CLIENT_LATE : QV__CLIENT_FINE;
}
