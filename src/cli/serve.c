/* qvec serve: the model behind HTTP, until a signal. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/fetch_flags.h"
#include "cli/limits.h"
#include "cli/model_flags.h"
#include "cli/notify.h"
#include "cli/serve_door.h"
#include "http/server.h"

typedef struct {
    qv__model_flags model;
    qv__door door;
    int64_t drain_timeout, drain_delay, request_threads, http_threads;
    qv__words names;
    const char *limit_mm, *mm_kwargs, *media_root;
    const char *log_level, *log_format;
    bool no_access_log, prefix_caching;
    qv__fetch_flags fetch;
    /* opened */
    qv__mm_limits mm;
    const char **name_list;
    qv_model *opened;
    qv__fetcher *fetcher;
    qv__api *api;
    qv__server *server;
} serve;

#define AT(field) offsetof(serve, field)

static const qv__option http_rows[] = {
    QV__ROW("served-model-name", LIST, AT(names), "NAME",
            "Names that requests may use; the first is answered. Default: MODEL as given."),
    QV__ROW(
        "drain-timeout", INT, AT(drain_timeout), "SECONDS",
        "How long requests under way may take after SIGTERM or SIGINT. Those that are left are answered with 503, what "
        "is being computed for them is given up, and the program ends; a second signal ends it at once. Default: "
        "30.",
        .min = 0, .max = 86400),
    QV__ROW(
        "drain-delay", INT, AT(drain_delay), "SECONDS",
        "How long of that new connections are still taken while /readyz says 503: as long as a load balancer needs to "
        "notice. Default: 0.",
        .min = 0, .max = 86400),
    QV__ROW("http-threads", INT, AT(http_threads), "N", "Threads that move bytes. Default: 2.", .min = 1, .max = 64),
    QV__ROW("request-threads", INT, AT(request_threads), "N",
            "Threads that parse requests and decode pictures. Default: 4.", .min = 1, .max = 64),
};

static const qv__option media_rows[] = {
    QV__ROW("limit-mm-per-prompt", TEXT, AT(limit_mm), "JSON",
            "Most pictures and videos of an input: {\"image\":4,\"video\":1}. Default: 999 of each."),
    QV__ROW(
        "mm-processor-kwargs", TEXT, AT(mm_kwargs), "JSON",
        "For inputs that do not say it: {\"min_pixels\":..., \"max_pixels\":..., \"fps\":..., \"max_frames\":...}."),
    QV__ROW("allowed-local-media-path", TEXT, AT(media_root), "DIR",
            "Folder from which file:// URLs are read, symbolic links not followed. Default: none is."),
};

static const qv__option log_rows[] = {
    QV__ROW("log-level", CHOICE, AT(log_level), "LEVEL", "error, warning, info or debug. Default: info.",
            .choices = "error|warning|info|debug"),
    QV__ROW("uvicorn-log-level", CHOICE, AT(log_level), "LEVEL", "The same, as vLLM spells it.",
            .choices = "critical|error|warning|info|debug|trace"),
    QV__ROW("log-format", CHOICE, AT(log_format), "FORMAT", "text, or json: one object a line. Default: text.",
            .choices = "text|json"),
    QV__ROW("disable-uvicorn-access-log", SWITCH, AT(no_access_log), NULL,
            "No line for each request; other lines of the log stay."),
    QV__ROW("enable-prefix-caching", SWITCH, AT(prefix_caching), NULL,
            "Keys and values of shared prefixes are kept; --no-enable-prefix-caching is --prefix-cache 0."),
};

/* ---- what the flags mean ---- */

static qv__log_level level_of(const serve *s) {
    char first = s->log_level[0];
    if (first == 'c' || first == 'e') return QV__LOG_ERROR;
    if (first == 'w') return QV__LOG_WARN;
    return first == 'i' ? QV__LOG_INFO : QV__LOG_DEBUG;
}

/* As many open files as the system lets us have: one for each connection. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The words' texts as a list, malloc'd, with `fallback` when there are none and it is not NULL. */
static const char **list_of(const qv__words *words, const char *fallback) {
    const char **list = qv__alloc_array(words->count + 1, sizeof *list);
    for (size_t i = 0; list && i < words->count; i++) list[i] = words->items[i].text;
    if (list && !words->count) list[0] = fallback;
    return list;
}

/* ---- up and down ---- */

static qv_status open_api(serve *s, qv_error *err) {
    qv__key_file file = {0};
    const char **keys = NULL;
    int key_count = 0;
    s->name_list = list_of(&s->names, s->model.model ? s->model.model : "qvec");
    if (!s->name_list) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    qv_status status = qv__door_keys(&s->door, &file, &keys, &key_count, err);
    qv__api_options options = {
        .model = s->opened,
        .served_names = s->name_list,
        .served_name_count = s->names.count ? (int)s->names.count : 1,
        .api_keys = keys,
        .api_key_count = key_count,
        .limits = s->model.limits,
        .max_images = s->mm.max_images,
        .max_videos = s->mm.max_videos,
        .workers = (int)s->request_threads,
        .defaults = s->mm.defaults,
        .local_media = s->media_root != NULL,
        .fetcher = s->fetcher,
        .fetch_threads = (int)s->fetch.threads,
    };
    if (!status) status = qv__api_open(&options, &s->api, err); /* keeps no key itself */
    qv__free(keys);
    qv__key_file_clear(&file);
    return status;
}

static qv_status open_server(serve *s, qv_error *err) {
    qv__server_options options = {.limits = s->model.limits,
                                  .threads = (int)s->http_threads,
                                  .drain_delay_s = (int)s->drain_delay,
                                  .no_access_log = s->no_access_log};
    qv_status status = qv__door_open(&s->door, &options, err);
    if (status) return status;
    return qv__server_open(s->api, &options, &s->server, err);
}

static void announce(const serve *s, int64_t start_ns) {
    qv_model_facts f;
    qv_model_get_facts(s->opened, &f);
    char url[300];
    qv__door_print_url(&s->door, qv__server_port(s->server), url, sizeof url);
    fprintf(stderr,
            "qvec %s serves %s (%s, %lld values, up to %lld tokens) at %s on cpu %s with %d threads; "
            "started in "
            "%lld ms\n",
            QVEC_VERSION, s->name_list[0], f.task == QV_TASK_RERANK ? "rerank" : "embed", (long long)f.embedding_size,
            (long long)f.max_model_len, url, f.cpu_tier, f.threads, (long long)((qv__now_ns() - start_ns) / 1000000));
}

static void close_all(serve *s) {
    qv__server_close(&s->server, (int)s->drain_timeout);
    qv__api_close(&s->api);
    qv__fetch_close(&s->fetcher);
    qv_model_close(&s->opened);
    qv__free(s->name_list);
    qv__words_clear(&s->names);
    qv__fetch_flags_clear(&s->fetch);
    qv__door_close(&s->door);
}

/* A server whose engine is stuck does not get past its statistics, and is restarted. */
static void wait_for_interrupt(serve *s) {
    int64_t every_ns = qv__notify_interval_ns();
    qv__engine_stats stats;
    char url[300];
    qv__door_print_url(&s->door, qv__server_port(s->server), url, sizeof url);
    /* A supervisor's reload must not end a server that has nothing to read again. */
    if (qv__door_reloads(&s->door) || qv__notify_asked()) qv__hangups_note();
    qv__notify("READY=1\nSTATUS=serves %.200s at %s", s->name_list[0], url);
    while (!qv__interrupts_wait(every_ns)) {
        if (qv__hangups_take()) qv__door_reload(&s->door, s->api);
        qv__engine_get_stats(s->opened->engine, &stats);
        qv__notify("WATCHDOG=1\nSTATUS=%lld inputs computed, %lld wait", (long long)stats.finished_items,
                   (long long)stats.waiting_items);
    }
    qv__notify("STOPPING=1\nSTATUS=finishes the requests under way");
}

static int run(serve *s) {
    int64_t start_ns = qv__now_ns();
    qv_error err = {0};
    raise_file_limit();
    qv__server_keep_heap();
    qv__console_log(level_of(s), !strcmp(s->log_format, "json"));
    if (!s->prefix_caching) s->model.prefix_cache = 0;
    if (!qv__model_flags_open(&s->model, QV_TASK_AUTO, s->media_root, &s->opened)) return QV__EXIT_MODEL;
    qv_status status = qv__fetch_flags_open(&s->fetch, &s->model.limits, &s->fetcher, &err);
    if (!status) status = open_api(s, &err);
    if (!status) status = open_server(s, &err);
    if (status) return qv__complain("%s", err.message), QV__EXIT_FAILED;
    qv__interrupts_note();
    announce(s, start_ns);
    wait_for_interrupt(s);
    qv__complain("stopping: requests under way have %lld seconds; a second signal ends at once",
                 (long long)s->drain_timeout);
    return QV__EXIT_DONE; /* close_all drains */
}

static bool check(serve *s, const qv__words *words) {
    if (!qv__take_model(words, &s->model)) return false;
    if (!qv__door_check(&s->door)) return false;
    return qv__mm_limits_read(s->limit_mm, s->mm_kwargs, &s->mm);
}

int qv__command_serve(int argc, char **argv) {
    serve s = {.model = qv__model_flags_default(),
               .door = qv__door_default,
               .drain_timeout = 30,
               .log_level = "info",
               .log_format = "text",
               .prefix_caching = true};
    qv__fetch_limits_from_environment(&s.model.limits);
    qv__option_set sets[] = {
        {"Address, TLS and keys", qv__door_rows, QV__DOOR_ROWS, &s.door},
        {"Pages of other origins", qv__cors_rows, QV__CORS_ROWS, &s.door},
        {"HTTP", http_rows, sizeof http_rows / sizeof *http_rows, &s},
        {"Pictures and videos", media_rows, sizeof media_rows / sizeof *media_rows, &s},
        {"Pictures and videos behind http and https URLs", qv__fetch_rows, QV__FETCH_ROWS, &s.fetch},
        {"Log and caches", log_rows, sizeof log_rows / sizeof *log_rows, &s},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &s.model},
        {"Model", qv__compute_rows, QV__COMPUTE_ROWS, &s.model},
        qv__limit_set(QV__LIMITS_REQUESTS, &s.model.limits),
        qv__limit_set(QV__LIMITS_MEDIA, &s.model.limits),
    };
    qv__usage usage = {
        .name = "serve",
        .summary = "the model behind HTTP, as OpenAI's, vLLM's, Jina's, Cohere's and TEI's clients expect it",
        .examples = "  qvec serve Qwen/Qwen3-VL-Embedding-2B --port 8000\n"
                    "  qvec serve ./reranker --served-model-name rerank --api-key SECRET --max-model-len 8k\n"
                    "  curl http://localhost:8000/v1/embeddings -H 'Content-Type: application/json' -d "
                    "'{\"input\":\"hello\"}'\n",
        .usage = "[MODEL] [flags]",
        .notes = "Flags of `vllm serve` that make no sense here are taken when they change no answer, and refused when "
                 "they would.",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 1,
        .vllm_flags = {qv__compat_serve},
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = QV__EXIT_USAGE;
    if (parsed == QV__PARSED_HELP)
        status = QV__EXIT_DONE;
    else if (parsed == QV__PARSED && check(&s, &words))
        status = run(&s);
    qv__words_clear(&words);
    close_all(&s);
    return status;
}
