/* The flags of `qvec bench serve`: vLLM's names, defaults and meanings. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cli/bench_serve.h"
#include "cli/console.h"

#define AT(field) offsetof(qv__bench_serve, field)

const qv__option qv__bench_server_rows[QV__BENCH_SERVER_ROWS] = {
    QV__ROW("backend", CHOICE, AT(backend), "NAME",
            "The form of requests: openai-embeddings, openai-embeddings-chat, openai-embeddings-clip, "
            "openai-embeddings-vlm2vec, vllm-pooling, vllm-rerank, infinity-embeddings or infinity-embeddings-clip. "
            "Pictures and videos go with -chat and -vlm2vec; -clip sends the picture in place of the text. Default: "
            "openai-embeddings.",
            .choices = "openai-embeddings|openai-embeddings-chat|openai-embeddings-clip|openai-embeddings-vlm2vec|"
                       "vllm-pooling|vllm-rerank|infinity-embeddings|infinity-embeddings-clip"),
    QV__ROW("base-url", TEXT, AT(base_url), "URL",
            "http://HOST:PORT/PREFIX or https://..., instead of --host and --port."),
    QV__ROW("host", TEXT, AT(host), "HOST", "Default: 127.0.0.1."),
    QV__ROW("port", INT, AT(port), "N", "Default: 8000.", .min = 1, .max = 65535),
    QV__ROW("endpoint", TEXT, AT(endpoint), "PATH",
            "Default: the back end's: /v1/embeddings, /pooling, /v1/rerank or /embeddings."),
    QV__ROW("cacert", TEXT, AT(cacert), "FILE",
            "With https: PEM file of the roots that may have signed the server's certificate. Default: $SSL_CERT_FILE, "
            "else the system's."),
    QV__ROW("insecure", SWITCH, AT(insecure), NULL, "With https: take any certificate, of any name. Default: off."),
    QV__ROW("header", LIST, AT(headers), "KEY=VALUE",
            "Headers of every request. $OPENAI_API_KEY, $QVEC_API_KEY or $VLLM_API_KEY is sent as the bearer."),
    QV__ROW("extra-body", TEXT, AT(extra_body), "JSON",
            "An object whose fields are added to every body, {\"dimensions\":256}; not for vllm-rerank."),
};

const qv__option qv__bench_model_rows[QV__BENCH_MODEL_ROWS] = {
    QV__ROW("model", TEXT, AT(model.model), "MODEL",
            "The name in requests, and the tokenizer's folder or org/name. Default: what /v1/models says."),
    QV__ROW("served-model-name", TEXT, AT(served_name), "NAME", "The name in requests. Default: MODEL."),
    QV__ROW("tokenizer", TEXT, AT(tokenizer), "MODEL",
            "A folder or org/name with the tokenizer. Default: MODEL, else what /v1/models says."),
    QV__ROW("download-dir", TEXT, AT(model.download_dir), "DIR", "Where org/name is looked for before the hub caches."),
    QV__ROW("skip-tokenizer-init", SWITCH, AT(skip_tokenizer), NULL,
            "Needs no tokenizer; for data sets that are not random."),
    QV__ROW("lora-modules", LIST, AT(lora), "NAME", "Names that requests ask for in turns, in place of the model's."),
};

const qv__option qv__bench_input_rows[QV__BENCH_INPUT_ROWS] = {
    QV__ROW("num-prompts", INT, AT(prompts), "N", "Inputs in all. Default: 1000.", .min = 1, .max = 1 << 24),
    QV__ROW("random-batch-size", INT, AT(batch_size), "N",
            "Inputs of one request, so that there are num-prompts / N requests. Default: 1.", .min = 1, .max = 1 << 20),
    QV__ROW("no-reranker", SWITCH, AT(no_reranker), NULL,
            "random-rerank for an embedding model: query and document have the full length each."),
};

const qv__option qv__bench_load_rows[QV__BENCH_LOAD_ROWS] = {
    QV__ROW("request-rate", TEXT, AT(rate), "R",
            "Requests a second, due whatever the server does; inf: all at once, or as --max-concurrency lets them. "
            "Default: inf."),
    QV__ROW("burstiness", TEXT, AT(burstiness), "X",
            "Shape of the gaps' gamma distribution: 1 Poisson arrivals, less is burstier, inf even gaps. Default: 1."),
    QV__ROW("ramp-up-strategy", CHOICE, AT(ramp), "HOW",
            "The rate goes from --ramp-up-start-rps to --ramp-up-end-rps: linear or exponential.",
            .choices = "linear|exponential"),
    QV__ROW("ramp-up-start-rps", NUMBER, AT(ramp_start), "R", "Requests a second at the start.", .min = 0,
            .max = 1000000000),
    QV__ROW("ramp-up-end-rps", NUMBER, AT(ramp_end), "R", "Requests a second at the end.", .min = 0, .max = 1000000000),
    QV__ROW("max-concurrency", INT, AT(max_concurrency), "N", "Most requests under way at a time. Default: no limit.",
            .min = 1, .max = 1 << 24),
    QV__ROW("num-warmups", INT, AT(warmups), "N", "Requests before the run. Default: 0.", .min = 0, .max = 1 << 24),
    QV__ROW("ready-check-timeout-sec", NUMBER, AT(ready_timeout), "SECONDS",
            "How long to wait until one request succeeds before the run; 0: no such check. Default: 0.", .min = 0,
            .max = 1000000),
    QV__ROW("probe-request-rate", NUMBER, AT(probe_rate), "R",
            "Beside the run, outside --max-concurrency and its figures, send the first request so many times a second "
            "(100000 at most) and report what it took; 0: none. Default: 0.",
            .min = 0, .max = 100000),
    QV__ROW("request-timeout", NUMBER, AT(request_timeout), "SECONDS",
            "A request that takes longer has failed; 0: never. Default: 21600.", .min = 0, .max = 1000000),
    QV__ROW("request-id-prefix", TEXT, AT(request_id_prefix), "S",
            "X-Request-Id is this and a number. Default: bench- and eight digits."),
    QV__ROW(
        "client-threads", INT, AT(threads), "N",
        "Threads that send, at most one for each CPU. Default: 1, which is enough for tens of thousands of requests "
        "a second.",
        .min = 1, .max = 1024),
};

const qv__option qv__bench_report_rows[QV__BENCH_REPORT_ROWS] = {
    QV__ROW("percentile-metrics", TEXT, AT(percentile_metrics), "LIST",
            "e2el, the one there is without generation. Default: e2el."),
    QV__ROW("metric-percentiles", TEXT, AT(percentiles), "LIST", "Percentiles of latency: 50,90,99.9. Default: 99."),
    QV__ROW("goodput", LIST, AT(goodput), "e2el:MS",
            "Also report the rate of requests answered within MS milliseconds."),
    QV__ROW("save-result", SWITCH, AT(save_result), NULL, "Write the figures to a JSON file."),
    QV__ROW("save-detailed", SWITCH, AT(save_detailed), NULL,
            "The file also has length, start, latency, lag and error of every request."),
    QV__ROW("append-result", SWITCH, AT(append_result), NULL, "Add a line to the file instead of replacing it."),
    QV__ROW("result-dir", TEXT, AT(result_dir), "DIR", "Made when it is missing. Default: the working directory."),
    QV__ROW("result-filename", TEXT, AT(result_filename), "FILE",
            "Default: {label or backend}-{rate}qps[-concurrency{n}]-{model}-{date}.json."),
    QV__ROW("metadata", LIST, AT(metadata), "KEY=VALUE", "Fields added to the file."),
    QV__ROW("label", TEXT, AT(label), "S", "Names the run in the file and its name. Default: the back end."),
    QV__ROW("disable-tqdm", SWITCH, AT(no_progress), NULL, "No progress line on a terminal."),
    QV__ROW(
        "plot", SWITCH, AT(plot), NULL,
        "Draw latency over time, its distribution and throughput: to an SVG file named as the JSON file, and as text "
        "when stdout is a terminal."),
    QV__ROW("plot-timeline", SWITCH, AT(plot), NULL, "The same."),
};

/* ---- what they mean ---- */

/* A number above 0, or "inf". */
static bool read_rate(const char *flag, const char *text, double *out) {
    qv_error err = {0};
    if (!strcmp(text, "inf")) return *out = INFINITY, true;
    if (!qv__parse_double(text, 1e-9, 1e12, out, &err)) return true;
    qv__complain("--%s: %s, or inf", flag, err.message);
    return false;
}

static bool check_schedule(qv__bench_serve *b) {
    if (!read_rate("request-rate", b->rate, &b->schedule.rate) ||
        !read_rate("burstiness", b->burstiness, &b->schedule.burstiness))
        return false;
    if (!b->ramp) return true;
    b->schedule.ramp = strcmp(b->ramp, "linear") ? QV__RAMP_EXPONENTIAL : QV__RAMP_LINEAR;
    b->schedule.ramp_start = b->ramp_start;
    b->schedule.ramp_end = b->ramp_end;
    bool zero = b->schedule.ramp == QV__RAMP_EXPONENTIAL ? b->ramp_start <= 0 : b->ramp_start < 0;
    if (!zero && b->ramp_end > b->ramp_start && isinf(b->schedule.rate)) {
        if (b->ramp_start == 0)
            b->schedule.ramp_start = b->ramp_end / (double)b->prompts; /* a rate of 0 sends nothing */
        return true;
    }
    qv__complain("--ramp-up-strategy needs --ramp-up-start-rps below --ramp-up-end-rps (above 0 when exponential), and "
                 "no --request-rate");
    return false;
}

static bool check_percentiles(qv__bench_serve *b) {
    const char *at = b->percentiles;
    while (*at) {
        char text[32] = "";
        size_t size = strcspn(at, ",");
        qv_error err = {0};
        if (b->percentile_count == QV__PERCENTILES_MAX || size >= sizeof text) {
            qv__complain("--metric-percentiles takes at most %d numbers", QV__PERCENTILES_MAX);
            return false;
        }
        memcpy(text, at, size);
        if (qv__parse_double(text, 0, 100, &b->percentile_list[b->percentile_count++], &err)) {
            qv__complain("--metric-percentiles: %s", err.message);
            return false;
        }
        at += size + (at[size] == ',');
    }
    if (strcmp(b->percentile_metrics, "e2el"))
        qv__warn("--percentile-metrics %.80s: without generation there is e2el alone", b->percentile_metrics);
    return true;
}

static bool check_goodput(qv__bench_serve *b) {
    for (size_t i = 0; i < b->goodput.count; i++) {
        const char *text = b->goodput.items[i].text;
        qv_error err = {0};
        if (!strncmp(text, "e2el:", 5) && !qv__parse_double(text + 5, 0.000001, 1e12, &b->good_ms, &err)) continue;
        qv__complain("--goodput takes e2el:MILLISECONDS, not %.80s", text);
        return false;
    }
    return true;
}

/* KEY=VALUE, without bytes that would end a header. */
static bool check_pairs(const char *flag, const qv__words *words) {
    for (size_t i = 0; i < words->count; i++) {
        const char *text = words->items[i].text, *equals = strchr(text, '=');
        if (equals && equals != text && !text[strcspn(text, "\r\n")]) continue;
        qv__complain("--%s takes KEY=VALUE, not %.80s", flag, text);
        return false;
    }
    return true;
}

/* The object's fields without its braces. */
static bool check_extra_body(qv__bench_serve *b) {
    if (!b->extra_body) return true;
    json_error_t e;
    json_t *object = json_loads(b->extra_body, JSON_REJECT_DUPLICATES, &e);
    char *text = json_is_object(object) && json_object_size(object) ? json_dumps(object, JSON_COMPACT) : NULL;
    bool fine = json_is_object(object);
    if (text) b->extra = qv__strndup(text + 1, strlen(text) - 2);
    if (!fine) qv__complain("--extra-body takes a JSON object, not %.120s", b->extra_body);
    free(text);
    json_decref(object);
    return fine;
}

static bool check_data(qv__bench_serve *b) {
    if (!qv__data_check(&b->data)) return false;
    if (qv__data_is_random(&b->data) && b->skip_tokenizer)
        qv__complain("random texts need a tokenizer: no --skip-tokenizer-init with --dataset-name %s", b->data.name);
    else if (b->batch_size > 1 && !qv__backend_takes_lists(b->kind))
        qv__complain("--random-batch-size needs a back end that takes several texts; %s takes one", b->backend);
    else if (!strcmp(b->data.name, "random-rerank") && b->kind != QV__BACKEND_RERANK)
        qv__complain("--dataset-name random-rerank needs --backend vllm-rerank");
    else
        return true;
    return false;
}

static const char *key_from_environment(void) {
    static const char *const names[] = {"OPENAI_API_KEY", "QVEC_API_KEY", "VLLM_API_KEY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *key = getenv(names[i]);
        if (key && *key && !key[strcspn(key, "\r\n")]) return key;
    }
    return NULL;
}

bool qv__bench_check(qv__bench_serve *b) {
    qv__backend_find(b->backend, &b->kind); /* the flag's choices are the names */
    if (!b->endpoint) b->endpoint = qv__backend_endpoint(b->kind);
    b->api_key = key_from_environment();
    if (b->endpoint[0] != '/' || b->endpoint[strcspn(b->endpoint, " \r\n")]) {
        qv__complain("--endpoint is a path that begins with /, not %.80s", b->endpoint);
        return false;
    }
    return check_schedule(b) && check_percentiles(b) && check_goodput(b) && check_pairs("header", &b->headers) &&
           check_pairs("metadata", &b->metadata) && check_extra_body(b) && check_data(b);
}
