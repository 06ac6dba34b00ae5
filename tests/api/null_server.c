/* The server over a back end that computes nothing: each item takes a set time and answers numbers made from its
 * length. For the tests of everything around the model (framing, limits, overload, hang-ups, closing) and for measuring
 * the server's own cost. It stands in for lib/, engine/ and text/ at their functions; tokens are bytes. Every block-us
 * of its time an item is given up when nobody wants its batch any more; 0: never. With hold, nothing is answered before
 * so many items wait.
 *
 *   null_server [--port N] [--delay-us N] [--block-us N] [--size N] [--max-len N] [--batch N] [--threads N]
 *               [--workers N] [--drain N] [--drain-delay N] [--key K]… [--quiet 1] [--rerank 1]
 *               [--hold N] [any flag of api/limits.c N]
 * Prints its port, serves until SIGTERM, prints "closed". */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "http/server.h"

static struct {
    int port, delay_us, size, max_len, threads, workers, drain, quiet, rerank, batch, drain_delay, block_us, hold;
    qv__limits limits;
    const char *keys[8];
    int key_count;
} o = {.size = 128, .max_len = 100, .drain = 5, .batch = 1};

/* ---- the engine: one list, one thread ---- */

enum { WAITING = 1, RUNNING, DONE };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static qv__item *first;
static qv__item **last = &first;
static qv__engine_stats stats;
static int32_t *zeros; /* [max_len]: the ids of every item */

/* What waits of each client; the first CLIENTS of them are told apart. */
enum { CLIENTS = 16 };
static struct {
    uint64_t client;
    int64_t items, tokens;
} clients[CLIENTS];

/* Its own place, else a free one, else the last. */
static int place_of(uint64_t client) {
    int place = CLIENTS - 1;
    for (int i = CLIENTS - 1; i >= 0; i--) {
        if (clients[i].items && clients[i].client == client) return i;
        if (!clients[i].items) place = i;
    }
    return place;
}

/* With the lock held. */
static void count(const qv__item *item, int sign) {
    int i = place_of(item->client);
    stats.waiting_items += sign;
    stats.waiting_tokens += sign * item->sequence.length;
    clients[i].client = item->client;
    clients[i].items += sign;
    clients[i].tokens += sign * item->sequence.length;
}

/* Up to `batch` waiting items, chained. */
static qv__item *take_batch(void) {
    pthread_mutex_lock(&lock);
    while (!first || stats.waiting_items < o.hold) pthread_cond_wait(&more, &lock);
    o.hold = 0;
    qv__item *batch = first, *item = first;
    int64_t now = qv__now_ns();
    for (int i = 1;; i++, item = item->next) {
        item->state = RUNNING;
        item->started_ns = now;
        count(item, -1);
        if (i == o.batch || !item->next) break;
    }
    if (!(first = item->next)) last = &first;
    item->next = NULL;
    pthread_mutex_unlock(&lock);
    return batch;
}

static bool is_unwanted(const qv__item *batch) {
    while (batch && batch->unwanted && *batch->unwanted) batch = batch->next;
    return !batch;
}

static void sleep_us(int us) {
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000L}, NULL);
}

/* Takes its time, and is false when the batch was given up. */
static bool compute(const qv__item *batch) {
    int block = o.block_us ? o.block_us : o.delay_us;
    for (int left = o.delay_us; left > 0; left -= block) {
        if (o.block_us && is_unwanted(batch)) return false;
        sleep_us(left < block ? left : block);
    }
    return true;
}

static void finish_batch(qv__item *batch, bool computed) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&lock);
    stats.batches++;
    stats.busy_ns += now - batch->started_ns;
    for (qv__item *item = batch; item; item = item->next) {
        item->finished_ns = now;
        item->state = DONE;
        if (!computed) item->status = QV_CANCELLED;
        *(computed ? &stats.finished_items : &stats.cancelled_items) += 1;
        if (computed) stats.finished_tokens += item->sequence.length;
    }
    pthread_mutex_unlock(&lock);
    for (qv__item *next; batch; batch = next) {
        next = batch->next;
        batch->done(batch);
    }
}

static void *worker(void *context) {
    for (;;) {
        qv__item *batch = take_batch();
        finish_batch(batch, compute(batch));
    }
    return NULL;
}

qv_status qv__engine_submit(qv__engine *engine, qv__item *const *items, size_t number, qv_error *err) {
    if ((int64_t)number > o.limits.queued_items)
        return qv__fail(err, QV_TOO_LARGE, "%zu inputs at once; the queue holds %lld", number,
                        (long long)o.limits.queued_items);
    pthread_mutex_lock(&lock);
    if (stats.waiting_items + (int64_t)number > o.limits.queued_items) {
        pthread_mutex_unlock(&lock);
        return qv__fail(err, QV_OVERLOADED, "the queue holds %lld inputs at most", (long long)o.limits.queued_items);
    }
    for (size_t i = 0; i < number; i++) {
        items[i]->next = NULL;
        items[i]->state = WAITING;
        items[i]->queued_ns = qv__now_ns();
        count(items[i], 1);
        *last = items[i];
        last = &items[i]->next;
    }
    pthread_mutex_unlock(&lock);
    pthread_cond_signal(&more);
    return QV_OK;
}

void qv__engine_cancel(qv__engine *engine, qv__item *item) {
    pthread_mutex_lock(&lock);
    bool waits = item->state == WAITING;
    if (waits) {
        qv__item **at = &first;
        while (*at != item) at = &(*at)->next;
        *at = item->next;
        if (last == &item->next) last = at;
        item->state = DONE;
        count(item, -1);
        stats.cancelled_items++;
    }
    pthread_mutex_unlock(&lock);
    if (!waits) return;
    item->status = QV_CANCELLED;
    item->done(item);
}

void qv__engine_get_waiting(qv__engine *engine, uint64_t client, qv__engine_waiting *w) {
    pthread_mutex_lock(&lock);
    *w = (qv__engine_waiting){.items = stats.waiting_items, .tokens = stats.waiting_tokens};
    for (int i = 0; i < CLIENTS; i++) {
        if (!clients[i].items || clients[i].client != client) continue;
        w->own_items = clients[i].items;
        w->own_tokens = clients[i].tokens;
    }
    pthread_mutex_unlock(&lock);
}

void qv__engine_get_stats(qv__engine *engine, qv__engine_stats *out) {
    pthread_mutex_lock(&lock);
    *out = stats;
    pthread_mutex_unlock(&lock);
}

/* ---- the model ---- */

void qv_model_get_facts(const qv_model *model, qv_model_facts *facts) {
    *facts = (qv_model_facts){.task = o.rerank ? QV_TASK_RERANK : QV_TASK_EMBED,
                              .embedding_size = o.size,
                              .max_model_len = o.max_len,
                              .threads = 1,
                              .cpu_tier = "null"};
}

/* Texts: their bytes; token ids: their number; a picture: 10; and an end token behind raw texts. */
static int64_t count_tokens(const qv_input *input) {
    int64_t tokens = 0;
    bool text = true; /* and no picture */
    for (size_t i = 0; i < input->part_count; i++) {
        const qv_part *part = &input->parts[i];
        bool counts = part->kind == QV_PART_TEXT || part->kind == QV_PART_TOKENS;
        tokens += counts ? (int64_t)part->size : 10;
        text = text && part->kind == QV_PART_TEXT;
    }
    return tokens + (text && !input->no_special_tokens);
}

/* A picture of the three bytes "bad" cannot be decoded. */
static bool is_bad(const qv_input *input) {
    for (size_t i = 0; i < input->part_count; i++)
        if (input->parts[i].kind == QV_PART_IMAGE && input->parts[i].size == 3 &&
            memcmp(input->parts[i].data, "bad", 3) == 0)
            return true;
    return false;
}

qv_status qv__session_prepare(const qv_model *model, const qv_input *input, const char *relative_to, qv__item **out,
                              qv__prepared *facts, qv_error *err) {
    int64_t tokens = count_tokens(input);
    if (is_bad(input)) return qv__fail(err, QV_IMAGE_DECODE, "no known picture format");
    *facts = (qv__prepared){
        .prompt = input->prompt, .untruncated = tokens, .dimensions = input->dimensions ? input->dimensions : o.size};
    if (input->max_length && tokens > input->max_length) tokens = input->max_length;
    facts->tokens = tokens;
    if (tokens > o.max_len) return qv__fail(err, QV_TOO_LONG, "%lld tokens; at most %d", (long long)tokens, o.max_len);
    if (tokens == 0) return qv__fail(err, QV_INVALID_ARGUMENT, "there is nothing to embed");
    qv__item *item = qv__calloc(1, sizeof *item);
    if (!item) return qv__fail(err, QV_NO_MEMORY, "no memory");
    item->sequence.length = (int32_t)tokens;
    item->sequence.ids = zeros;
    *out = item;
    return QV_OK;
}

struct qv__query {
    qv_input input;
};

qv_status qv__query_open(const qv_model *model, const qv_input *query, const char *relative_to, qv__query **out,
                         qv_error *err) {
    if (is_bad(query)) return qv__fail(err, QV_IMAGE_DECODE, "query: no known picture format");
    *out = qv__malloc(sizeof **out);
    if (!*out) return qv__fail(err, QV_NO_MEMORY, "no memory");
    (*out)->input = *query;
    return QV_OK;
}

void qv__query_release(qv__query **query) {
    qv__free(*query);
    *query = NULL;
}

qv_status qv__session_prepare_document(const qv_model *model, qv__query *query, const qv_input *document,
                                       const char *relative_to, qv__item **out, qv__prepared *facts, qv_error *err) {
    if (is_bad(document)) return qv__fail(err, QV_IMAGE_DECODE, "no known picture format");
    qv_input both = {.part_count = 0, .no_special_tokens = true};
    int64_t tokens = count_tokens(&query->input) + count_tokens(document);
    const qv_part text = {.kind = QV_PART_TEXT, .size = (size_t)tokens};
    both.parts = &text;
    both.part_count = 1;
    both.max_length = query->input.max_length;
    qv_status status = qv__session_prepare(model, &both, relative_to, out, facts, err);
    /* score: the longer the document, the better */
    if (!status) (*out)->score = (float)count_tokens(document) / 16 - 2;
    return status;
}

qv_status qv__session_finish(const qv__item *item, const qv__prepared *facts, float *values, qv_error *err) {
    uint32_t state = (uint32_t)item->sequence.length * 2654435761u;
    double sum = 0;
    for (int i = 0; i < facts->dimensions; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int32_t)state * 0x1p-33f;
        sum += (double)values[i] * (double)values[i];
    }
    for (int i = 0; i < facts->dimensions; i++) values[i] /= (float)sqrt(sum);
    return QV_OK;
}

void qv__item_free(qv__item *item) {
    qv__free(item);
}

/* ---- the tokenizer: bytes, and 256 as the end ---- */

qv_status qv__ids_push(qv__ids *ids, int32_t id, qv_error *err) {
    if (ids->size == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        int32_t *data = qv__realloc(ids->data, capacity * sizeof *data);
        if (!data) return qv__fail(err, QV_NO_MEMORY, "no memory");
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->size++] = id;
    return QV_OK;
}

void qv__ids_clear(qv__ids *ids) {
    qv__free(ids->data);
    *ids = (qv__ids){0};
}

qv_status qv__tokenizer_encode(const qv__tokenizer *t, const char *text, size_t size, bool post_process, size_t limit,
                               qv__ids *out, qv_error *err) {
    qv_status status = QV_OK;
    for (size_t i = 0; i < size && !status; i++) status = qv__ids_push(out, (unsigned char)text[i], err);
    return !status && post_process ? qv__ids_push(out, 256, err) : status;
}

const char *qv__tokenizer_bytes(const qv__tokenizer *t, int32_t id, size_t *size) {
    static char bytes[256];
    if (id < 0 || id > 256) return NULL;
    *size = id < 256;
    if (id == 256) return "";
    __atomic_store_n(&bytes[id], (char)id, __ATOMIC_RELAXED);
    return &bytes[id];
}

bool qv__tokenizer_is_special(const qv__tokenizer *t, int32_t id) {
    return id == 256;
}

/* ---- */

static void sink(const qv__log_entry *entry) {
    char line[1200];
    qv__log_text(entry, line, sizeof line);
    fprintf(stderr, "%s\n", line);
}

static bool read_flag(const char *name, const char *value) {
    const struct {
        const char *name;
        int *place;
    } flags[] = {{"port", &o.port},       {"delay-us", &o.delay_us}, {"size", &o.size},
                 {"max-len", &o.max_len}, {"threads", &o.threads},   {"workers", &o.workers},
                 {"drain", &o.drain},     {"quiet", &o.quiet},       {"rerank", &o.rerank},
                 {"batch", &o.batch},     {"block-us", &o.block_us}, {"drain-delay", &o.drain_delay},
                 {"hold", &o.hold}};
    if (strcmp(name, "key") == 0 && o.key_count < 8) return o.keys[o.key_count++] = value, true;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(name, flags[i].name) == 0) return *flags[i].place = atoi(value), true;
    for (size_t i = 0; i < QV__LIMITS; i++)
        if (strcmp(name, qv__limit_table[i].flag) == 0)
            return *(int64_t *)(void *)((char *)&o.limits + qv__limit_table[i].offset) = atoll(value), true;
    return false;
}

/* As `qvec serve` has them, but for what makes tests short. */
static void set_limits(void) {
    qv__limits_default(&o.limits);
    o.limits.queued_items = 1000;
    o.limits.body_bytes = 1 << 20;
    o.limits.idle_seconds = o.limits.head_seconds = o.limits.body_seconds = 5;
}

int main(int argc, char **argv) {
    qv__server_keep_heap();
    set_limits();
    for (int i = 1; i + 1 < argc; i += 2)
        if (strncmp(argv[i], "--", 2) || !read_flag(argv[i] + 2, argv[i + 1]))
            return fprintf(stderr, "unknown flag %s\n", argv[i]), 2;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_t thread;
    zeros = qv__calloc((size_t)o.max_len, sizeof *zeros);
    if (!zeros || pthread_create(&thread, NULL, worker, NULL)) return 1;
    if (!o.quiet) qv__log_set_sink(sink, QV__LOG_DEBUG);
    static char folder[] = "/nowhere";
    qv_model model = {.folder = folder};
    const char *name = "null";
    qv__api_options api_options = {.model = &model,
                                   .served_names = &name,
                                   .served_name_count = 1,
                                   .api_keys = o.keys,
                                   .api_key_count = o.key_count,
                                   .limits = o.limits,
                                   .workers = o.workers};
    qv__server_options options = {
        .host = "127.0.0.1", .port = o.port, .limits = o.limits, .threads = o.threads, .drain_delay_s = o.drain_delay};
    qv_error err = {0};
    qv__api *api = NULL;
    qv__server *server = NULL;
    if (qv__api_open(&api_options, &api, &err) || qv__server_open(api, &options, &server, &err))
        return fprintf(stderr, "%s\n", err.message), 3;
    printf("%d\n", qv__server_port(server));
    fflush(stdout);
    int signal_number;
    sigwait(&stop, &signal_number);
    qv__server_close(&server, o.drain);
    qv__api_close(&api);
    puts("closed");
    return 0;
}
