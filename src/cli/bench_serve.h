/* The inside of `qvec bench serve`: its flags, what it sends, what it reports. */
#ifndef QVEC_CLI_BENCH_SERVE_H
#define QVEC_CLI_BENCH_SERVE_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/figures.h"
#include "bench/load.h"
#include "bench/payload.h"
#include "bench/schedule.h"
#include "cli/bench_data.h"
#include "cli/model_flags.h"

enum { QV__PERCENTILES_MAX = 32, QV__PROBES_MAX = 100000 };

/* Requests beside the run: see bench_probe.c. */
typedef struct {
    bool started;
    atomic_bool over;
    pthread_t thread;
    qv__load load;
    qv__message *messages; /* [QV__PROBES_MAX], as the next three */
    double *due;
    qv__load_result *results;
    double *latencies;        /* ms, sorted, of the completed */
    size_t completed, failed; /* those under way at the end are neither */
} qv__bench_probes;

typedef struct {
    /* flags: the server */
    const char *backend, *base_url, *host, *endpoint, *extra_body, *cacert;
    int64_t port;
    bool insecure;
    qv__words headers;
    /* the model */
    qv__model_flags model; /* name and download folder */
    const char *served_name, *tokenizer;
    bool skip_tokenizer;
    qv__words lora; /* names that requests ask for in turns, instead of the model's */
    /* the data set */
    qv__data_flags data;
    int64_t prompts, batch_size;
    bool no_reranker;
    /* the load */
    const char *rate, *burstiness, *ramp, *request_id_prefix;
    double ramp_start, ramp_end, ready_timeout, request_timeout, probe_rate;
    int64_t max_concurrency, warmups, threads;
    /* the report */
    const char *percentile_metrics, *percentiles, *result_dir, *result_filename, *label;
    qv__words goodput, metadata;
    bool save_result, save_detailed, append_result, no_progress, plot;

    /* what they mean */
    qv__backend_kind kind;
    qv__schedule schedule;
    double percentile_list[QV__PERCENTILES_MAX];
    size_t percentile_count;
    double good_ms; /* 0: not asked */
    char *extra;    /* fields of --extra-body; NULL: none */
    const char *api_key;

    /* what is made of them */
    qv__target target;
    qv__trust *trust;              /* NULL: plain HTTP */
    char *model_id, *tokenizer_id; /* request's model; folder or name of the tokenizer */
    qv__tokenizer *opened;         /* NULL: none */
    qv__samples samples;
    qv__message *messages;
    char *message_bytes;
    double *due; /* NULL: all at once */
    qv__load_result *results;
    qv__load_totals totals;
    qv__figures figures;
    qv__bench_probes probes;
    double started; /* seconds since 1970 */
} qv__bench_serve;

/* bench_flags.c */
extern const qv__option qv__bench_server_rows[], qv__bench_model_rows[], qv__bench_input_rows[], qv__bench_load_rows[],
    qv__bench_report_rows[];
enum {
    QV__BENCH_SERVER_ROWS = 9,
    QV__BENCH_MODEL_ROWS = 6,
    QV__BENCH_INPUT_ROWS = 3,
    QV__BENCH_LOAD_ROWS = 12,
    QV__BENCH_REPORT_ROWS = 13,
};
/* Reads the flags that are more than one number. False: printed why. */
bool qv__bench_check(qv__bench_serve *b);

/* bench_prepare.c: finds the server, the model's name and tokenizer; makes samples, messages and arrivals. An exit
 * status; the reason has been printed. */
int qv__bench_prepare(qv__bench_serve *b);

/* bench_probe.c. start: --probe-request-rate is above 0; what it made is freed by clear, also after a failure. end
 * waits for the thread and counts; without a start it does nothing. */
qv_status qv__bench_probes_start(qv__bench_serve *b, qv_error *err);
void qv__bench_probes_end(qv__bench_serve *b);
void qv__bench_probes_clear(qv__bench_probes *probes);

/* bench_report.c: the table, on stdout. */
void qv__bench_print(const qv__bench_serve *b);
/* bench_result.c: the result file and the plot, as far as they are asked for. False: printed why. */
bool qv__bench_save(const qv__bench_serve *b);
#endif
