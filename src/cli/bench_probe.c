/* Probes of `qvec bench serve`: the first request over and over at an even, slow rate beside the run, outside its limit
 * of concurrency, so that one sees what the load does to a client that asks little. */
#include "base/error.h"
#include "bench/stats.h"
#include "cli/bench_serve.h"
#include "cli/console.h"

static bool is_over(void *user, int64_t done, int64_t failed, int64_t tokens) {
    const qv__bench_probes *p = user;
    return p->over || qv__is_interrupted();
}

static void *send_probes(void *context) {
    qv__bench_probes *p = context;
    qv__load_totals totals;
    qv_error err = {0};
    if (qv__load_run(&p->load, p->results, &totals, &err)) qv__warn("no probes: %s", err.message);
    return NULL;
}

qv_status qv__bench_probes_start(qv__bench_serve *b, qv_error *err) {
    qv__bench_probes *p = &b->probes;
    p->messages = qv__alloc_array(QV__PROBES_MAX, sizeof *p->messages);
    p->due = qv__alloc_array(QV__PROBES_MAX, sizeof *p->due);
    p->results = qv__calloc(QV__PROBES_MAX, sizeof *p->results);
    p->latencies = qv__alloc_array(QV__PROBES_MAX, sizeof *p->latencies);
    if (!p->messages || !p->due || !p->results || !p->latencies)
        return qv__fail(err, QV_NO_MEMORY, "out of memory for probes");
    for (int i = 0; i < QV__PROBES_MAX; i++) {
        p->messages[i] = b->messages[0];
        p->due[i] = i / b->probe_rate;
    }
    p->load = (qv__load){.target = &b->target,
                         .messages = p->messages,
                         .count = QV__PROBES_MAX,
                         .due = p->due,
                         .threads = 1,
                         .timeout_s = b->request_timeout,
                         .watch = is_over,
                         .user = p};
    p->started = !pthread_create(&p->thread, NULL, send_probes, p);
    return p->started ? QV_OK : qv__fail(err, QV_IO, "the thread that sends probes cannot be started");
}

void qv__bench_probes_end(qv__bench_serve *b) {
    qv__bench_probes *p = &b->probes;
    if (!p->started) return;
    p->over = true;
    pthread_join(p->thread, NULL);
    p->started = false;
    for (int i = 0; i < QV__PROBES_MAX; i++) {
        if (p->results[i].state == QV__LOAD_DONE) p->latencies[p->completed++] = qv__latency_ms(&p->results[i]);
        p->failed += p->results[i].state == QV__LOAD_FAILED;
    }
    qv__sort_values(p->latencies, p->completed);
}

void qv__bench_probes_clear(qv__bench_probes *p) {
    if (p->results) qv__load_clear(p->results, QV__PROBES_MAX);
    qv__free(p->messages);
    qv__free(p->due);
    qv__free(p->results);
    qv__free(p->latencies);
}
