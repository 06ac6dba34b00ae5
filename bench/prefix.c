/* What sharing prefixes saves: documents reranked against one query, and short queries under the official prompt's
 * head, with the prefix store on and off, in turns. Prompts are as long as the official recipes make them. Beside the
 * first case the bound: the time of the documents' bare tokens and one query, as prompts that have nothing in common.
 *
 *     bench_prefix [--quick | --all] [--threads N] [--tier TIER] [--shape 2b|8b|small] [--only PART]
 *                  [--seconds S]
 *     --quick: a small model; --all: 50 documents and 32 queries instead of 6 and 8 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model.h"

/* Tokens. The recipes put RERANK_HEAD and EMBED_HEAD in front of the query, and some behind the text. */
enum { QUERY = 64, DOCUMENT = 100, RERANK_HEAD = 61, RERANK_TAIL = 5, EMBED_HEAD = 14, WORDS = 15, EMBED_TAIL = 6 };
enum { MOST = 64, TURNS_MAX = 5 };

typedef struct {
    const char *name;
    int head, text, tail; /* tokens that all prompts begin with, of each one's own text, and behind it */
    bool at_once;         /* else each is submitted when the one before is done */
} bench_case;

static const bench_case cases[] = {
    {"rerank: query 64, documents of 100", RERANK_HEAD + QUERY, DOCUMENT, RERANK_TAIL, true},
    {"queries of 15 tokens, one by one", EMBED_HEAD, WORDS, EMBED_TAIL, false},
    {"queries of 15 tokens, at once", EMBED_HEAD, WORDS, EMBED_TAIL, true},
};

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    size_t waiting;
} latch;

static qv_model *model;

static void count_down(qv__item *item) {
    latch *l = item->user;
    pthread_mutex_lock(&l->lock);
    if (--l->waiting == 0) pthread_cond_signal(&l->all_done);
    pthread_mutex_unlock(&l->lock);
}

static void wait_for_all(latch *l) {
    pthread_mutex_lock(&l->lock);
    while (l->waiting > 0) pthread_cond_wait(&l->all_done, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

typedef struct {
    double seconds, cpu; /* cpu: of all threads; the fairer one on a busy machine */
    int64_t saved;       /* tokens that were not computed again */
} result;

typedef enum { SHARED, APART, BOUND } way;

/* `count` prompts through a new engine, whose store is empty; bound: the bare texts and one head instead. */
static result measure(const bench_case *c, int count, way how) {
    static qv__item items[MOST + 1];
    qv__item *pointers[MOST + 1];
    latch l = {.lock = PTHREAD_MUTEX_INITIALIZER, .all_done = PTHREAD_COND_INITIALIZER};
    const qv__sequence *like = bench_text(model, c->head, NULL, 0);
    qv__engine *e;
    qv_error err = {0};
    qv__engine_stats stats;
    qv__engine_options options = {.prefix_cache_bytes = how == SHARED ? 512 << 20 : 0,
                                  .nested_tokens = QV__NESTED_TOKENS};
    if (how == BOUND) count++;
    for (int i = 0; i < count; i++) {
        const qv__sequence *s = how != BOUND ? bench_text(model, c->head + c->text + c->tail, like, c->head)
                                : i == 0     ? like
                                             : bench_text(model, c->text, NULL, 0);
        items[i] = (qv__item){.sequence = *s, .want_score = true, .done = count_down, .user = &l};
        pointers[i] = &items[i];
    }
    if (qv__engine_open(model->network, &options, &e, &err)) bench_fail("%s", err.message);
    int64_t start = qv__now_ns();
    clock_t cpu = clock();
    for (int i = 0; i < count; i += c->at_once ? count : 1) {
        l.waiting = c->at_once ? (size_t)count : 1;
        if (qv__engine_submit(e, pointers + i, l.waiting, &err)) bench_fail("%s", err.message);
        wait_for_all(&l);
    }
    result r = {(double)(qv__now_ns() - start) * 1e-9, (double)(clock() - cpu) / CLOCKS_PER_SEC, 0};
    qv__engine_get_stats(e, &stats);
    if (stats.failed_items) bench_fail("%s", items[0].error.message);
    r.saved = stats.prefix_tokens;
    qv__engine_close(&e, true);
    return r;
}

static double median_ratio(const result *a, const result *b, int turns, bool cpu) {
    double ratio[TURNS_MAX];
    for (int i = 0; i < turns; i++) ratio[i] = cpu ? a[i].cpu / b[i].cpu : a[i].seconds / b[i].seconds;
    return bench_summarize(ratio, turns).median;
}

/* As many turns as fit into `seconds`, at least one. */
static void compare(const bench_case *c, int count, double seconds) {
    result on[TURNS_MAX], off[TURNS_MAX], bound[TURNS_MAX];
    int turns = 0;
    bool bounded = c->at_once && c->text == DOCUMENT;
    measure(c, 1, SHARED); /* touches the memory */
    int64_t start = qv__now_ns();
    double used = 0; /* seconds */
    while (turns < TURNS_MAX && used * (turns + 1) <= seconds * (turns ? turns : 1)) {
        on[turns] = measure(c, count, SHARED);
        off[turns] = measure(c, count, APART);
        if (bounded) bound[turns] = measure(c, count, BOUND);
        turns++;
        used = (double)(qv__now_ns() - start) * 1e-9;
    }
    printf("%-34s x %2d: off %8.3f s, on %8.3f s, off/on %.2f (CPU time %.2f), %lld of %d tokens spared\n", c->name,
           count, off[0].seconds, on[0].seconds, median_ratio(off, on, turns, false),
           median_ratio(off, on, turns, true), (long long)on[0].saved, count * (c->head + c->text + c->tail));
    if (bounded)
        printf("%-34s       bound %6.3f s, on/bound %.2f (CPU time %.2f)\n", "", bound[0].seconds,
               median_ratio(on, bound, turns, false), median_ratio(on, bound, turns, true));
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "What sharing prefixes saves, over weights made by rule.");
    if (o.quick && strcmp(o.shape, "2b") == 0) o.shape = "small";
    model = bench_open_model(&o, "reranker");
    double seconds = o.seconds > 0 ? o.seconds : o.quick ? 2 : o.all ? 400 : 15;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int few = i ? 8 : 6, many = i ? 32 : 50; /* documents come first, then queries */
        if (bench_wants(&o, cases[i].name)) compare(&cases[i], o.all ? many : few, seconds);
    }
    bench_close_model(&model);
    return 0;
}
