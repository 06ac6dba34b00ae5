/* What a run under load says in figures. */
#ifndef QVEC_BENCH_FIGURES_H
#define QVEC_BENCH_FIGURES_H

#include "bench/load.h"
#include "bench/samples.h"

typedef struct {
    size_t completed, failed, unsent; /* unsent: stopped before they were answered */
    double seconds;
    int64_t tokens, inputs;           /* of the completed: as answered, else as made */
    size_t good;                      /* completed within the limit that goodput asks for */
    double *latencies;                /* [completed] ms, sorted, owned */
    double mean, deviation;           /* ms */
    double lag_p50, lag_p99, lag_max; /* ms that sending was late through the client itself */
} qv__figures;

/* good_ms: see `good`; 0: none asked. */
qv_status qv__figures_make(const qv__load_result *results, const qv__samples *samples, const qv__load_totals *totals,
                           double good_ms, qv__figures *out, qv_error *err);
void qv__figures_clear(qv__figures *figures);
/* Whether the client may have spoilt its own figures. */
typedef enum {
    QV__CLIENT_FINE,
    QV__CLIENT_BUSY, /* a sending thread computed for more than 80 % of its time */
    QV__CLIENT_LATE, /* due requests went (P99) more than 1 ms and a twentieth of the median latency late */
} qv__client_state;
/* due: the run had a schedule. */
qv__client_state qv__figures_client(const qv__figures *figures, const qv__load_totals *totals, bool due);
double qv__latency_ms(const qv__load_result *result);
#endif
