/* Items for the engine's tests, over the fake network. */
#ifndef QVEC_TESTS_ENGINE_WORK_H
#define QVEC_TESTS_ENGINE_WORK_H

#include <time.h>

#include "check.h"
#include "engine/engine.h"
#include "fake_network.h"
#include "prompts_made.h"

/* Counts how often it is done. */
typedef struct {
    qv__item item; /* first */
    made prompt;
    float hidden[FAKE_HIDDEN];
    atomic_int done;
    int turn; /* how many were done before it */
} work;

static atomic_int done_count;

static inline void count_done(qv__item *item) {
    work *w = (work *)item;
    w->turn = atomic_fetch_add(&done_count, 1);
    atomic_fetch_add(&w->done, 1);
}

/* For a prompt that is finished in place. */
static inline void arm(work *w, uint64_t client) {
    w->item.sequence = w->prompt.sequence;
    w->item.hidden = w->hidden;
    w->item.client = client;
    w->item.done = count_done;
    atomic_store(&w->done, 0);
}

/* `length` tokens: the first `head` of them go up from 0, the rest are its own. */
static inline work *make_work(int32_t length, int32_t head, uint64_t client) {
    static int32_t own = 1000;
    work *w = calloc(1, sizeof *w);
    made_reserve(&w->prompt, length);
    own = own > 700000 ? 1000 : own + 1;
    for (int32_t i = 0; i < length; i++) made_put(&w->prompt, i < head ? i : own);
    made_finish(&w->prompt);
    arm(w, client);
    return w;
}

static inline void free_work(work *w) {
    made_free(&w->prompt);
    free(w);
}

static inline void sleep_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static inline void wait_for(work *w) {
    for (int ms = 0; !atomic_load(&w->done); ms++) {
        CHECK_MSG(ms < 20000, "an item is not done after 20 seconds");
        sleep_ms(1);
    }
}

static inline bool is_right(const work *w) {
    float expected[FAKE_HIDDEN];
    fake_answer(&w->item.sequence, expected);
    return w->item.want_score ? w->item.score == expected[0] : memcmp(expected, w->hidden, sizeof expected) == 0;
}

static inline void check_right(work *w) {
    wait_for(w);
    CHECK_INT(w->done, 1);
    CHECK_MSG(w->item.status == QV_OK, "status %d: %s", w->item.status, w->item.error.message);
    CHECK(is_right(w));
}

static inline void submit(qv__engine *e, work *w) {
    qv__item *item = &w->item;
    qv_error err = {0};
    CHECK_OK(qv__engine_submit(e, &item, 1, &err), err);
}

static inline qv__engine *open_engine(qv__network *network, const qv__engine_options *options) {
    qv__engine *e;
    qv_error err = {0};
    atomic_store(&done_count, 0);
    CHECK_OK(qv__engine_open(network, options, &e, &err), err);
    return e;
}

static inline void close_engine(qv__engine *e, qv__network *network) {
    qv__engine_close(&e, true);
    CHECK(!e);
    CHECK_INT(network->blocks, 0);
    CHECK_STR(network->complaint, "");
}
#endif
