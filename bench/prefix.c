/* What sharing prefixes saves: documents reranked against one query, and short queries under the official prompt's
 * head, with the prefix store on and off. Made weights of the 2B's shape; minutes on a small machine.
 *
 *     bench_prefix [--quick] [--documents N] [--queries N]      --quick: a small model, seconds */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "prep/prompt.h"

enum { QUERY = 64, DOCUMENT = 100, HEAD = 14, OWN = 16, TAIL = 5, MOST = 1000, MAX_TOKENS = 2048, NESTED = 1024 };

typedef struct {
    qv__checkpoint *checkpoint;
    qv__backend *backend;
    qv__network *network;
} model;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    size_t waiting;
} latch;

static uint64_t state = 88172645463325252u;

static int32_t random_id(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int32_t)(state % 150000);
}

static _Noreturn void stop(const qv_error *err) {
    fprintf(stderr, "bench_prefix: %s\n", err->message);
    exit(1);
}

static void open_model(const char *name, model *m) {
    char folder[4096];
    qv_error err = {0};
    const char *root = getenv("QVEC_TEST_CHECKPOINTS");
    const qv__checkpoint_options made = {.load_format = "dummy"};
    const qv__network_options options = {
        .max_tokens = MAX_TOKENS, .nested_tokens = NESTED, .score_head = true, .yes_id = 9693, .no_id = 2152};
    snprintf(folder, sizeof folder, "%s/%s", root ? root : "build/tests/checkpoints", name);
    if (qv__checkpoint_open(folder, &made, &m->checkpoint, &err) || qv__cpu_backend_open(0, NULL, &m->backend, &err) ||
        qv__network_open(m->backend, m->checkpoint, &options, &m->network, &err))
        stop(&err);
    printf("%s, %d threads, %s\n", name, qv__cpu_backend_threads(m->backend), qv__cpu_backend_tier(m->backend));
}

static void close_model(model *m) {
    qv__network_close(&m->network);
    m->backend->ops->close(m->backend);
    qv__checkpoint_close(&m->checkpoint);
}

static void count_down(qv__item *item) {
    latch *l = item->user;
    pthread_mutex_lock(&l->lock);
    if (--l->waiting == 0) pthread_cond_signal(&l->all_done);
    pthread_mutex_unlock(&l->lock);
}

/* `head` tokens that are everyone's, `own` that are random, `tail` that are everyone's. */
static void make_item(const model *m, qv__item *item, const int32_t *shared, int head, int own, int tail, latch *l) {
    *item = (qv__item){.want_score = true, .done = count_down, .user = l};
    qv__sequence *s = &item->sequence;
    s->length = head + own + tail;
    s->ids = qv__arena_alloc(&item->arena, (size_t)s->length, sizeof *s->ids);
    s->positions = qv__arena_alloc(&item->arena, 3 * (size_t)s->length, sizeof *s->positions);
    if (!s->ids || !s->positions) stop(&(qv_error){.message = "out of memory"});
    for (int i = 0; i < s->length; i++) s->ids[i] = i < head || i >= head + own ? shared[i % QUERY] : random_id();
    qv__positions(qv__checkpoint_config(m->checkpoint), s->ids, s->length, NULL, 0, s->positions);
}

static void wait_for_all(latch *l) {
    pthread_mutex_lock(&l->lock);
    while (l->waiting > 0) pthread_cond_wait(&l->all_done, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

typedef struct {
    double seconds, cpu; /* cpu: of all threads; the fairer one on a busy machine */
    int64_t saved;
} result;

/* All of them, submitted at once or each when the one before is done. A new engine: its store is empty. */
static result measure(const model *m, qv__item **items, int count, bool at_once, bool store, latch *l) {
    qv__engine *e;
    qv_error err = {0};
    qv__engine_stats stats;
    qv__engine_options options = {.prefix_cache_bytes = store ? 512 << 20 : 0, .nested_tokens = NESTED};
    if (qv__engine_open(m->network, &options, &e, &err)) stop(&err);
    int64_t start = qv__now_ns();
    clock_t cpu = clock();
    for (int i = 0; i < count; i += at_once ? count : 1) {
        l->waiting = at_once ? (size_t)count : 1;
        if (qv__engine_submit(e, items + i, l->waiting, &err)) stop(&err);
        wait_for_all(l);
    }
    result r = {(double)(qv__now_ns() - start) * 1e-9, (double)(clock() - cpu) / CLOCKS_PER_SEC, 0};
    qv__engine_get_stats(e, &stats);
    if (stats.failed_items) stop(&items[0]->error);
    r.saved = stats.prefix_tokens;
    qv__engine_close(&e, true);
    return r;
}

static void compare(const model *m, const char *name, int count, int head, int own, int tail, bool at_once) {
    static qv__item items[MOST], *pointers[MOST];
    int32_t shared[QUERY];
    latch l = {.lock = PTHREAD_MUTEX_INITIALIZER, .all_done = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < QUERY; i++) shared[i] = random_id();
    for (int i = 0; i < count; i++) make_item(m, pointers[i] = &items[i], shared, head, own, tail, &l);
    result on = measure(m, pointers, count, at_once, true, &l), off = measure(m, pointers, count, at_once, false, &l);
    printf("%-34s off %8.3f s, on %8.3f s (%.2fx; CPU time %.2fx), %lld of %d tokens spared\n", name, off.seconds,
           on.seconds, off.seconds / on.seconds, off.cpu / on.cpu, (long long)on.saved, count * (head + own + tail));
    for (int i = 0; i < count; i++) qv__arena_clear(&items[i].arena);
}

static int number(int argc, char **argv, const char *flag, int otherwise) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], flag) == 0) otherwise = atoi(argv[i + 1]);
    return otherwise < 1 ? 1 : otherwise > MOST ? MOST : otherwise;
}

int main(int argc, char **argv) {
    bool quick = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) quick = quick || strcmp(argv[i], "--quick") == 0;
    model m = {0};
    open_model(quick ? "small-reranker" : "2b-reranker", &m);
    int documents = number(argc, argv, "--documents", 50), queries = number(argc, argv, "--queries", 32);
    compare(&m, "rerank: 64 tokens x 100 each", documents, QUERY, DOCUMENT, 0, true);
    compare(&m, "queries of 16 tokens, one by one", queries, HEAD, OWN, TAIL, false);
    compare(&m, "queries of 16 tokens, at once", queries, HEAD, OWN, TAIL, true);
    close_model(&m);
    return 0;
}
