/* Many threads at once, everything that can go wrong going wrong: each item is done exactly once, and what is answered
 * is right. Runs under ThreadSanitizer as well. */
#include "check.h"

#include <pthread.h>

#include "base/clock.h"
#include "engine_work.h"

enum { THREADS = 4, SLOTS = 24, TURNS = 400, GROUP = 6 };

typedef struct {
    qv__engine *engine;
    uint64_t seed;
    work *slots[SLOTS];
    bool submitted[SLOTS];
    int ok, refused, failed, cancelled, expired;
    const char *complaint;
    pthread_t thread;
} caller;

static work *make_random_work(uint64_t *seed) {
    work *w = calloc(1, sizeof *w);
    bool lengthy = check_random(seed) % 16 == 0;
    made_random(&w->prompt, seed, lengthy ? 700 : 120);
    qv__sequence *s = &w->prompt.sequence;
    int32_t *last = &s->ids[s->length - 1];
    uint64_t luck = check_random(seed) % 100;
    if (luck < 3 && *last < FAKE_VISION_PAD)
        *last = luck == 0 ? FAKE_BAD_BATCH : luck == 1 ? FAKE_NON_FINITE : FAKE_HUNGRY;
    arm(w, check_random(seed) % 5);
    w->item.want_score = luck % 2;
    if (luck % 7 == 0) w->item.deadline_ns = qv__now_ns() + (int64_t)(check_random(seed) % 20000000);
    return w;
}

/* Of an item that is done, or was never taken. */
static void settle(caller *c, int slot) {
    work *w = c->slots[slot];
    int done = atomic_load(&w->done);
    if (done != c->submitted[slot]) c->complaint = "an item is not done exactly once";
    if (done) {
        switch (w->item.status) {
        case QV_OK:
            c->ok++;
            if (!is_right(w)) c->complaint = "a wrong answer";
            break;
        case QV_CANCELLED: c->cancelled++; break;
        case QV_DEADLINE: c->expired++; break;
        default:
            c->failed++;
            if (!w->item.error.message[0]) c->complaint = "a failure without a text";
        }
    }
    free_work(w);
    c->slots[slot] = NULL;
}

static void submit_group(caller *c) {
    qv__item *items[GROUP];
    int slots[GROUP];
    size_t count = 0, want = 1 + check_random(&c->seed) % GROUP;
    qv_error err = {0};
    for (int i = 0; i < SLOTS && count < want; i++) {
        if (c->slots[i]) continue;
        c->slots[i] = make_random_work(&c->seed);
        c->submitted[i] = true;
        slots[count] = i;
        items[count++] = &c->slots[i]->item;
    }
    qv_status status = qv__engine_submit(c->engine, items, count, &err);
    if (!status) return;
    if (status != QV_OVERLOADED) c->complaint = "refused for another reason than the load";
    for (size_t i = 0; i < count; i++) {
        c->submitted[slots[i]] = false;
        settle(c, slots[i]);
        c->refused++;
    }
}

static void *call(void *context) {
    caller *c = context;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t what = check_random(&c->seed);
        submit_group(c);
        for (int i = 0; i < SLOTS; i++) {
            if (!c->slots[i]) continue;
            if (check_random(&c->seed) % 20 == 0) qv__engine_cancel(c->engine, &c->slots[i]->item);
            if (atomic_load(&c->slots[i]->done)) settle(c, i);
        }
        if (what % 4 == 0) sleep_ms(1);
    }
    return NULL;
}

static void run(bool drain) {
    qv__network network;
    static caller callers[THREADS];
    uint64_t seed = check_seed();
    fake_network_init(&network);
    network.row_ns = 200;
    network.memory_rows = 400;
    network.fail_alloc_every = 9;
    qv__engine_options options = {.max_batched_tokens = 500,
                                  .nested_tokens = 200,
                                  .max_queued_items = 40,
                                  .max_queued_tokens = 5000,
                                  .prefix_cache_bytes = 30000,
                                  .image_cache_bytes = 600};
    qv__engine *e = open_engine(&network, &options);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (caller){.engine = e, .seed = check_random(&seed)};
        CHECK_INT(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(callers[i].thread, NULL);
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_MSG(stats.batches && stats.prefix_hits && stats.image_hits, "%lld batches, %lld prefix hits, %lld image hits",
              (long long)stats.batches, (long long)stats.prefix_hits, (long long)stats.image_hits);
    CHECK(stats.prefix_bytes <= options.prefix_cache_bytes && stats.image_bytes <= options.image_cache_bytes);
    qv__engine_close(&e, drain);
    caller sum = {0};
    for (int i = 0; i < THREADS; i++) {
        caller *c = &callers[i];
        for (int slot = 0; slot < SLOTS; slot++)
            if (c->slots[slot]) settle(c, slot);
        CHECK_MSG(!c->complaint, "%s", c->complaint);
        sum.ok += c->ok, sum.failed += c->failed, sum.cancelled += c->cancelled, sum.refused += c->refused;
    }
    CHECK(sum.ok > 100 && sum.failed > 0 && sum.cancelled > 10 && sum.refused > 10);
    CHECK_STR(network.complaint, "");
    CHECK_INT(network.blocks, 0);
    CHECK(network.most_rows <= 500);
}

TEST(many_threads_then_drain) {
    run(true);
}
TEST(many_threads_then_cancel) {
    run(false);
}
