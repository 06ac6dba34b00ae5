/* From flags to requests: the server, the model's name and tokenizer, texts and pictures, bodies, arrivals. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/bench_serve.h"
#include "cli/builtin.h"
#include "cli/console.h"
#include "store/checkpoint.h"

enum { RETRY_NS = 100000000 };
#define MODELS_TIMEOUT_S 10

static int say(const qv_error *err, int status) {
    qv__complain("%s", err->message);
    return qv__is_interrupted() ? QV__EXIT_INTERRUPTED : status;
}

/* ---- the server ---- */

static qv_status parse_target(qv__bench_serve *b, qv_error *err) {
    char url[600];
    if (b->base_url) return qv__target_parse(b->base_url, &b->target, err);
    bool v6 = strchr(b->host, ':') != NULL;
    snprintf(url, sizeof url, "http://%s%.500s%s:%d", v6 ? "[" : "", b->host, v6 ? "]" : "", (int)b->port);
    return qv__target_parse(url, &b->target, err);
}

/* Whom to believe, for https. */
static qv_status open_trust(qv__bench_serve *b, qv_error *err) {
    const char *roots = b->cacert ? b->cacert : getenv("SSL_CERT_FILE");
    if (!b->target.https) return QV_OK;
    if (b->cacert && b->insecure)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--insecure takes any certificate, --cacert does not; give one");
    if (b->insecure) qv__warn("--insecure: nobody checks whose server this is");
    qv_status status = qv__trust_open(b->target.host, roots && *roots ? roots : NULL, b->insecure, &b->trust, err);
    b->target.trust = b->trust;
    return status;
}

/* Waits for the server as long as --ready-check-timeout-sec says. */
static qv_status find_server(qv__bench_serve *b, qv_error *err) {
    int64_t end = qv__now_ns() + (int64_t)(b->ready_timeout * 1e9);
    qv_status status = parse_target(b, err);
    if (!status) status = open_trust(b, err);
    if (status) return status;
    while ((status = qv__target_resolve(&b->target, err)) && qv__now_ns() < end && !qv__is_interrupted())
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    return status;
}

/* The lines of --header and the key. *lines: [*count], malloc'd, each malloc'd. */
static qv_status make_headers(const qv__bench_serve *b, char ***lines, size_t *count, qv_error *err) {
    bool own_key = false;
    char **list = qv__calloc(b->headers.count + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < b->headers.count; i++) {
        const char *text = b->headers.items[i].text, *equals = strchr(text, '=');
        size_t name = (size_t)(equals - text), size = strlen(text) + 2;
        char *line = list[(*count)++] = qv__malloc(size);
        if (line) snprintf(line, size, "%.*s: %s", (int)name, text, equals + 1);
        own_key |= name == 13 && !strncasecmp(text, "authorization", 13);
    }
    if (list && b->api_key && !own_key) {
        size_t size = strlen(b->api_key) + 32;
        char *line = list[(*count)++] = qv__malloc(size);
        if (line) snprintf(line, size, "Authorization: Bearer %s", b->api_key);
    }
    *lines = list;
    bool whole = list != NULL;
    for (size_t i = 0; i < *count; i++) whole = whole && list[i];
    return whole ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for headers");
}

static void free_headers(char **lines, size_t count) {
    for (size_t i = 0; i < count; i++) qv__free(lines[i]);
    qv__free(lines);
}

/* ---- the model ---- */

/* The first model's card: *id, *root malloc'd. */
static qv_status read_card(const char *body, size_t size, char **id, char **root, qv_error *err) {
    json_t *answer = json_loadb(body, size, 0, NULL);
    const json_t *card = json_array_get(json_object_get(answer, "data"), 0);
    const char *name = json_string_value(json_object_get(card, "id"));
    const char *folder = json_string_value(json_object_get(card, "root"));
    *id = name ? qv__strdup(name) : NULL;
    *root = folder ? qv__strdup(folder) : NULL;
    json_decref(answer);
    return *id ? QV_OK : qv__fail(err, QV_IO, "/v1/models names no model; give --model");
}

static qv_status ask_card(const qv__bench_serve *b, char **id, char **root, qv_error *err) {
    char **lines, *body = NULL;
    size_t count, size;
    int http;
    *id = *root = NULL;
    qv_status status = make_headers(b, &lines, &count, err);
    qv__head head = {
        .method = "GET", .path = "/v1/models", .headers = (const char *const *)lines, .header_count = count};
    if (!status) status = qv__target_get(&b->target, &head, MODELS_TIMEOUT_S, &body, &size, &http, err);
    if (!status) status = read_card(body, size, id, root, err);
    qv__free(body);
    free_headers(lines, count);
    return status;
}

/* Whether a folder has the tokenizer of a checkpoint; then it is opened. */
static bool open_tokenizer(qv__bench_serve *b, const char *folder, qv_error *err) {
    if (!folder || qv__tokenizer_open(folder, &b->opened, err)) return false;
    b->tokenizer_id = qv__strdup(folder);
    return true;
}

/* By a name as a user types it: a folder, or an org/name in the hub caches. */
static bool open_named(qv__bench_serve *b, const char *name, qv_error *err) {
    char *folder = NULL;
    bool found = name && !qv__model_folder(name, b->model.download_dir, &folder, err) && open_tokenizer(b, folder, err);
    qv__free(folder);
    return found;
}

/* --tokenizer; or MODEL, what the server says its folder is, and the built-in model's. */
static qv_status find_tokenizer(qv__bench_serve *b, const char *root, qv_error *err) {
    qv_error other = {0};
    if (b->skip_tokenizer) return QV_OK;
    if (b->tokenizer) return open_named(b, b->tokenizer, err) ? QV_OK : err->code;
    if (open_named(b, b->model.model, err) || open_tokenizer(b, root, &other)) return QV_OK;
    bool ours = b->model_id && !strcmp(b->model_id, "qvec"); /* what `qvec serve` calls a built-in model */
    char *folder = ours ? qv__builtin_folder(QV_TASK_EMBED) : NULL;
    bool found = folder && open_tokenizer(b, folder, &other);
    qv__free(folder);
    if (found) return QV_OK;
    const char *reason = b->model.model ? err->message : other.message;
    return qv__fail(err, QV_NOT_FOUND, "no tokenizer was found; give --tokenizer%s%.300s", *reason ? ": " : "", reason);
}

static qv_status find_model(qv__bench_serve *b, qv_error *err) {
    char *id = NULL, *root = NULL;
    qv_error asked = {0};
    qv_status status = ask_card(b, &id, &root, &asked);
    const char *name = b->served_name ? b->served_name : b->model.model ? b->model.model : id;
    if (!name) return qv__fail(err, status, "%s", asked.message);
    b->model_id = qv__strdup(name);
    if (!b->model_id)
        status = qv__fail(err, QV_NO_MEMORY, "out of memory");
    else {
        status = find_tokenizer(b, root, err);
        bool needed = qv__data_is_random(&b->data) || b->tokenizer;
        if (status && !needed) status = QV_OK;
    }
    qv__free(id);
    qv__free(root);
    return status;
}

/* ---- samples ---- */

static qv_status make_random(qv__bench_serve *b, qv__random *random, qv_error *err) {
    qv__texts texts = {0};
    const int32_t *suffix;
    qv__data_wish wish = {.texts = &texts,
                          .random = random,
                          .inputs = b->prompts,
                          .batch_size = b->batch_size,
                          .special = (int64_t)qv__tokenizer_suffix(b->opened, &suffix),
                          .reranks = b->kind == QV__BACKEND_RERANK,
                          .whole_length = b->no_reranker};
    qv_status status = qv__texts_open(b->opened, &texts, err);
    if (!status) status = qv__data_random(&b->data, &wish, &b->samples, err);
    qv__texts_close(&texts);
    return status;
}

/* Tokens of a file's texts, where there is a tokenizer. */
static qv_status count_tokens(qv__bench_serve *b, qv_error *err) {
    qv_status status = QV_OK;
    qv__ids ids = {0};
    for (size_t i = 0; b->opened && i < b->samples.count && !status; i++) {
        qv__sample *s = &b->samples.items[i];
        s->tokens = 0;
        for (size_t k = 0; k < s->text_count && !status; k++) {
            ids.size = 0;
            status = qv__tokenizer_encode(b->opened, s->texts[k], strlen(s->texts[k]), false, 0, &ids, err);
            s->tokens += (int64_t)ids.size;
        }
    }
    qv__ids_clear(&ids);
    return status;
}

static qv_status read_samples(qv__bench_serve *b, qv_error *err) {
    qv_status status = qv__data_read(&b->data, (size_t)b->prompts, &b->samples, err);
    return status ? status : count_tokens(b, err);
}

/* ---- messages ---- */

static qv_status write_message(const qv__bench_serve *b, const qv__head *common, char *id_line, size_t id_size,
                               size_t i, qv__buffer *body, qv__buffer *out, qv_error *err) {
    const char *model = b->lora.count ? b->lora.items[i % b->lora.count].text : b->model_id;
    body->size = 0;
    qv_status status = qv__payload_write(b->kind, model, &b->samples.items[i], i, b->extra, body, err);
    if (status) return qv__fail_in(err, status, "request %zu", i + 1);
    snprintf(id_line, id_size, "X-Request-Id: %.150s%zu", b->request_id_prefix, i);
    qv__target_write_head(&b->target, common, (int64_t)body->size, out);
    qv__buffer_append(out, body->data, body->size);
    return out->failed ? qv__fail(err, QV_NO_MEMORY,
                                  "out of memory for the benchmark's requests; fewer --num-prompts need less")
                       : QV_OK;
}

/* All messages lie one behind the other; their places are known only when the last is written. */
static qv_status write_messages(qv__bench_serve *b, char **lines, size_t line_count, qv_error *err) {
    char id_line[256];
    qv__buffer body = {0}, out = {0};
    lines[line_count] = id_line;
    qv__head head = {
        .method = "POST", .path = b->endpoint, .headers = (const char *const *)lines, .header_count = line_count + 1};
    qv_status status = QV_OK;
    for (size_t i = 0; i < b->samples.count && !status; i++) {
        size_t from = out.size;
        status = write_message(b, &head, id_line, sizeof id_line, i, &body, &out, err);
        b->messages[i].size = out.size - from;
    }
    qv__buffer_clear(&body);
    b->message_bytes = out.data; /* the buffer's memory goes over to b */
    size_t at = 0;
    for (size_t i = 0; i < b->samples.count && !status; i++) {
        b->messages[i].data = b->message_bytes + at;
        at += b->messages[i].size;
    }
    return status;
}

static qv_status make_messages(qv__bench_serve *b, qv_error *err) {
    char **lines, **longer = NULL;
    size_t count;
    b->messages = qv__calloc(b->samples.count, sizeof *b->messages);
    qv_status status = make_headers(b, &lines, &count, err);
    if (!status) longer = qv__alloc_array(count + 1, sizeof *longer);
    if (!status && (!b->messages || !longer)) status = qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!status) {
        if (count) memcpy(longer, lines, count * sizeof *longer);
        status = write_messages(b, longer, count, err);
    }
    qv__free(longer);
    free_headers(lines, count);
    return status;
}

/* ---- all of it ---- */

static qv_status make_arrivals(qv__bench_serve *b, qv__random *random, qv_error *err) {
    b->results = qv__calloc(b->samples.count, sizeof *b->results);
    if (!b->results) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (isinf(b->schedule.rate) && !b->schedule.ramp) return QV_OK;
    b->due = qv__alloc_array(b->samples.count, sizeof *b->due);
    if (!b->due) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    qv__schedule_make(&b->schedule, random, b->due, b->samples.count);
    return QV_OK;
}

int qv__bench_prepare(qv__bench_serve *b) {
    qv_error err = {0};
    qv__random random;
    static char prefix[32];
    qv__random_seed(&random, (uint64_t)qv__now_ns() ^ (uint64_t)getpid() << 40);
    snprintf(prefix, sizeof prefix, "bench-%08x-", (unsigned)qv__random_next(&random));
    if (!b->request_id_prefix) b->request_id_prefix = prefix;
    if (find_server(b, &err)) return say(&err, err.code == QV_IO ? QV__EXIT_FAILED : QV__EXIT_USAGE);
    if (find_model(b, &err)) return say(&err, QV__EXIT_MODEL);
    qv__random_seed(&random, (uint64_t)b->data.seed);
    qv_status status = b->data.path ? read_samples(b, &err) : make_random(b, &random, &err);
    if (!status) status = make_messages(b, &err);
    if (status) return say(&err, status == QV_NO_MEMORY ? QV__EXIT_FAILED : QV__EXIT_USAGE);
    if (make_arrivals(b, &random, &err)) return say(&err, QV__EXIT_FAILED);
    return QV__EXIT_DONE;
}
