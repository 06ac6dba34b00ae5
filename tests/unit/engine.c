#include "check.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine_work.h"

/* A gate in the network: the first forward waits until it is opened. */
static atomic_bool gate_reached, gate_open;

static void wait_at_gate(qv__network *network, const qv__batch *batch) {
    if (network->depth > 1) return;
    atomic_store(&gate_reached, true);
    while (!atomic_load(&gate_open)) sleep_ms(1);
}

static void shut_gate(qv__network *network) {
    atomic_store(&gate_reached, false);
    atomic_store(&gate_open, false);
    network->before = wait_at_gate;
}

static void await_gate(void) {
    while (!atomic_load(&gate_reached)) sleep_ms(1);
}

/* An engine whose worker is busy with *plug until gate_open. */
static qv__engine *open_plugged(qv__network *network, const qv__engine_options *options, work **plug) {
    qv__engine *e = open_engine(network, options);
    shut_gate(network);
    *plug = make_work(3, 0, 12345);
    submit(e, *plug);
    await_gate();
    return e;
}

/* ---- what one caller sees ---- */

TEST(answers_and_batches) {
    enum { N = 40 };
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[N];
    qv__item *items[N];
    qv_error err = {0};
    qv__engine *e =
        open_plugged(&network, &(qv__engine_options){.max_batched_tokens = 100, .nested_tokens = 50}, &plug);
    for (int i = 0; i < N; i++) {
        all[i] = make_work(1 + i * 3, 0, 0);
        all[i]->item.want_score = i % 2;
        items[i] = &all[i]->item;
    }
    CHECK_OK(qv__engine_submit(e, items, N, &err), err);
    atomic_store(&gate_open, true);
    for (int i = 0; i < N; i++) {
        check_right(all[i]);
        CHECK_INT(all[i]->turn, i + 1);
    }
    CHECK(network.most_rows > 50 && network.most_rows <= 100);
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_INT(stats.finished_items, N + 1);
    CHECK_INT(stats.finished_tokens, 3 + N + 3 * N * (N - 1) / 2);
    CHECK_INT(stats.waiting_items + stats.waiting_tokens + stats.running_items + stats.failed_items, 0);
    CHECK(stats.busy_ns > 0 && stats.busy_ns <= stats.open_ns);
    close_engine(e, &network);
    for (int i = 0; i < N; i++) free_work(all[i]);
    free_work(plug);
}

TEST(what_cannot_be_submitted) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *a = make_work(60, 0, 1), *b = make_work(50, 0, 1);
    qv__item *both[] = {&a->item, &b->item}, *again[] = {&b->item};
    qv_error err = {0};
    qv__engine *e =
        open_plugged(&network, &(qv__engine_options){.max_queued_items = 2, .max_queued_tokens = 100}, &plug);
    CHECK_INT(qv__engine_submit(e, both, 2, &err), QV_TOO_LARGE);
    CHECK(strstr(err.message, "110 tokens"));
    CHECK_INT(qv__engine_submit(e, (qv__item *[]){&a->item, &a->item, &a->item}, 3, &err), QV_TOO_LARGE);
    submit(e, a);
    CHECK_INT(qv__engine_submit(e, again, 1, &err), QV_OVERLOADED);
    CHECK(strstr(err.message, "100 tokens"));
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_INT(stats.waiting_items, 1);
    CHECK_INT(stats.waiting_tokens, 60);
    work *c = make_work(1, 0, 1), *d = make_work(1, 0, 1);
    submit(e, c);
    CHECK_INT(qv__engine_submit(e, (qv__item *[]){&d->item}, 1, &err), QV_OVERLOADED);
    CHECK(strstr(err.message, "2 inputs"));
    d->item.hidden = NULL;
    CHECK_INT(qv__engine_submit(e, (qv__item *[]){&d->item}, 1, &err), QV_INVALID_ARGUMENT);
    d->item.sequence.length = 0;
    CHECK_INT(qv__engine_submit(e, (qv__item *[]){&d->item}, 1, &err), QV_INVALID_ARGUMENT);
    CHECK_OK(qv__engine_submit(e, NULL, 0, &err), err);
    atomic_store(&gate_open, true);
    check_right(a);
    check_right(c);
    CHECK_INT(b->done + d->done, 0);
    close_engine(e, &network);
    free_work(a), free_work(b), free_work(c), free_work(d), free_work(plug);
}

TEST(cancel_and_deadline_while_the_worker_is_busy) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[6];
    qv__engine *e = open_plugged(&network, &(qv__engine_options){0}, &plug);
    int64_t now = qv__now_ns();
    for (int i = 0; i < 6; i++) {
        all[i] = make_work(10, 0, (uint64_t)i % 2);
        if (i == 1) all[i]->item.deadline_ns = now - 1; /* passed already */
        if (i == 2) all[i]->item.deadline_ns = now + 60000000;
        if (i == 3) all[i]->item.deadline_ns = now + 30000000;
        if (i == 4) all[i]->item.deadline_ns = now + 3600 * INT64_C(1000000000);
        submit(e, all[i]);
    }
    qv__engine_cancel(e, &all[0]->item);
    CHECK_INT(all[0]->done, 1);
    CHECK_INT(all[0]->item.status, QV_CANCELLED);
    qv__engine_cancel(e, &all[0]->item); /* nothing to do */
    qv__engine_cancel(e, &plug->item);   /* too late */
    wait_for(all[1]);
    wait_for(all[3]);
    wait_for(all[2]);
    CHECK(!atomic_load(&gate_open) && !plug->done); /* timely: the worker is still busy */
    for (int i = 1; i < 4; i++) CHECK_INT(all[i]->item.status, QV_DEADLINE);
    CHECK(all[1]->turn < all[3]->turn && all[3]->turn < all[2]->turn);
    CHECK(all[2]->item.finished_ns >= all[2]->item.deadline_ns && all[3]->item.finished_ns >= all[3]->item.deadline_ns);
    qv__engine_cancel(e, &all[4]->item);
    atomic_store(&gate_open, true);
    check_right(all[5]);
    check_right(plug);
    CHECK_INT(all[4]->item.status, QV_CANCELLED);
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_INT(stats.cancelled_items, 2);
    CHECK_INT(stats.expired_items, 3);
    close_engine(e, &network);
    for (int i = 0; i < 6; i++) free_work(all[i]);
    free_work(plug);
}

static void *open_gate_soon(void *context) {
    sleep_ms(20);
    atomic_store(&gate_open, true);
    return NULL;
}

static void close_with(bool drain) {
    enum { N = 20 };
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[N];
    pthread_t opener;
    qv__engine *e = open_plugged(&network, &(qv__engine_options){.max_batched_tokens = 16}, &plug);
    for (int i = 0; i < N; i++) submit(e, all[i] = make_work(10, 0, (uint64_t)i % 3));
    CHECK_INT(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
    qv__engine_close(&e, drain);
    pthread_join(opener, NULL);
    for (int i = 0; i < N; i++) {
        CHECK_INT(all[i]->done, 1);
        CHECK_INT(all[i]->item.status, drain ? QV_OK : QV_CANCELLED);
        CHECK(!drain || is_right(all[i]));
        free_work(all[i]);
    }
    CHECK(plug->done == 1 && is_right(plug));
    free_work(plug);
}

TEST(close_drains) {
    close_with(true);
}
TEST(close_cancels) {
    close_with(false);
}

static qv__engine *reopened;
static qv_status status_in_done;

static void submit_in_done(qv__item *item) {
    qv_error err = {0};
    qv__item *other = item->user;
    count_done(item);
    status_in_done = qv__engine_submit(reopened, &other, 1, &err);
}

/* No lock is held in done: it may submit and cancel. */
TEST(done_may_call_the_engine) {
    qv__network network;
    fake_network_init(&network);
    work *a = make_work(5, 0, 0), *b = make_work(6, 0, 0);
    reopened = open_engine(&network, &(qv__engine_options){0});
    a->item.done = submit_in_done;
    a->item.user = &b->item;
    submit(reopened, a);
    check_right(a);
    check_right(b);
    CHECK_INT(status_in_done, QV_OK);
    close_engine(reopened, &network);
    free_work(a);
    free_work(b);
}

TEST(closing_refuses) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *a = make_work(5, 0, 0), *b = make_work(6, 0, 0);
    pthread_t opener;
    reopened = open_plugged(&network, &(qv__engine_options){0}, &plug);
    a->item.done = submit_in_done;
    a->item.user = &b->item;
    submit(reopened, a);
    qv__engine *e = reopened;
    CHECK_INT(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
    qv__engine_close(&e, false);
    pthread_join(opener, NULL);
    CHECK_INT(a->item.status, QV_CANCELLED);
    CHECK_INT(status_in_done, QV_SHUTTING_DOWN);
    CHECK_INT(b->done, 0);
    free_work(a), free_work(b), free_work(plug);
}

/* ---- turns ---- */

/* A client with a thousand items does not keep another waiting for all of them. */
TEST(clients_take_turns) {
    enum { MANY = 200, FEW = 5 };
    qv__network network;
    fake_network_init(&network);
    work *plug, *many[MANY], *few[FEW];
    qv__engine *e = open_plugged(&network, &(qv__engine_options){.max_batched_tokens = 40}, &plug);
    for (int i = 0; i < MANY; i++) submit(e, many[i] = make_work(10, 0, 1));
    for (int i = 0; i < FEW; i++) submit(e, few[i] = make_work(10, 0, 2));
    atomic_store(&gate_open, true);
    for (int i = 0; i < FEW; i++) {
        wait_for(few[i]);
        CHECK_MSG(few[i]->turn <= 2 * i + 4, "item %d of the small client is number %d", i, few[i]->turn);
    }
    for (int i = 0; i < MANY; i++) {
        check_right(many[i]);
        CHECK(i == 0 || many[i]->turn > many[i - 1]->turn); /* in order */
    }
    close_engine(e, &network);
    for (int i = 0; i < MANY; i++) free_work(many[i]);
    for (int i = 0; i < FEW; i++) free_work(few[i]);
    free_work(plug);
}

/* An item that does not fit a batch any more is not overtaken again and again. */
TEST(what_does_not_fit_comes_next) {
    enum { N = 60 };
    qv__network network;
    fake_network_init(&network);
    work *plug, *small[N], *large = make_work(90, 0, 2);
    qv__engine *e =
        open_plugged(&network, &(qv__engine_options){.max_batched_tokens = 100, .nested_tokens = -1}, &plug);
    for (int i = 0; i < N; i++) submit(e, small[i] = make_work(30, 0, i % 2 ? 1 : 3));
    submit(e, large);
    atomic_store(&gate_open, true);
    check_right(large);
    CHECK_MSG(large->turn <= 8, "number %d", large->turn);
    for (int i = 0; i < N; i++) check_right(small[i]);
    close_engine(e, &network);
    for (int i = 0; i < N; i++) free_work(small[i]);
    free_work(large), free_work(plug);
}

/* While a long item is being computed short ones come and go; a client's own order does not matter there. */
TEST(short_overtakes_long) {
    qv__network network;
    fake_network_init(&network);
    network.row_ns = 5000;
    network.row_block = 100;
    work *lengthy = make_work(10000, 0, 1), *medium = make_work(600, 0, 1), *brief[3];
    qv__engine *e = open_engine(&network, &(qv__engine_options){.max_batched_tokens = 1000, .nested_tokens = 500});
    shut_gate(&network);
    submit(e, lengthy);
    await_gate();
    submit(e, medium);
    for (int i = 0; i < 3; i++) submit(e, brief[i] = make_work(20, 0, (uint64_t)i));
    atomic_store(&gate_open, true);
    for (int i = 0; i < 3; i++) check_right(brief[i]);
    check_right(lengthy);
    check_right(medium);
    for (int i = 0; i < 3; i++) CHECK(brief[i]->turn < lengthy->turn);
    CHECK(lengthy->turn < medium->turn);
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK(stats.nested_batches >= 1 && network.nested_rows == 60);
    close_engine(e, &network);
    for (int i = 0; i < 3; i++) free_work(brief[i]);
    free_work(lengthy), free_work(medium);
}

/* Short work without end slows a long item down to half, not more. */
TEST(short_does_not_starve_long) {
    enum { N = 400 };
    qv__network network;
    fake_network_init(&network);
    network.row_ns = 20000;
    network.row_block = 100;
    work *lengthy = make_work(5000, 0, 1), *brief[N];
    qv__engine *e = open_engine(&network, &(qv__engine_options){.max_batched_tokens = 1000, .nested_tokens = 500});
    shut_gate(&network);
    submit(e, lengthy);
    await_gate();
    for (int i = 0; i < N; i++) submit(e, brief[i] = make_work(100, 0, 2));
    atomic_store(&gate_open, true);
    check_right(lengthy);
    CHECK_MSG(network.nested_rows >= 1000 && network.nested_rows <= 8000, "%lld rows were nested in 5000",
              (long long)network.nested_rows);
    for (int i = 0; i < N; i++) check_right(brief[i]);
    close_engine(e, &network);
    for (int i = 0; i < N; i++) free_work(brief[i]);
    free_work(lengthy);
}

/* ---- failures ---- */

static work *make_bad(int32_t length, int32_t id) {
    work *w = make_work(length, 0, 0);
    w->prompt.sequence.ids[length / 2] = id;
    return w;
}

TEST(failures_stay_where_they_belong) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[6];
    qv__engine *e = open_plugged(&network, &(qv__engine_options){.max_batched_tokens = 1000}, &plug);
    for (int i = 0; i < 6; i++) submit(e, all[i] = i == 2 ? make_bad(10, FAKE_NON_FINITE) : make_work(10, 0, 0));
    atomic_store(&gate_open, true);
    for (int i = 0; i < 6; i++)
        if (i != 2) check_right(all[i]);
    CHECK_INT(all[2]->item.status, QV_NON_FINITE);
    CHECK_INT(all[2]->item.error.code, QV_NON_FINITE);
    work *bad = make_bad(10, FAKE_BAD_BATCH), *good = make_work(10, 0, 0);
    submit(e, bad);
    wait_for(bad);
    CHECK_INT(bad->item.status, QV_INTERNAL);
    CHECK_STR(bad->item.error.message, "the device is on fire");
    submit(e, good); /* the worker lives */
    check_right(good);
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_INT(stats.failed_items, 2);
    close_engine(e, &network);
    for (int i = 0; i < 6; i++) free_work(all[i]);
    free_work(bad), free_work(good), free_work(plug);
}

/* Batches get smaller until they fit; only the item that never fits fails. */
TEST(short_memory) {
    enum { N = 30 };
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[N];
    qv__item *items[N];
    qv_error err = {0};
    qv__engine_options options = {.max_batched_tokens = 1000, .prefix_cache_bytes = 1 << 20};
    qv__engine *e = open_plugged(&network, &options, &plug);
    network.memory_rows = 70;
    for (int i = 0; i < N; i++) {
        all[i] = i == 11 ? make_bad(30, FAKE_HUNGRY) : i == 20 ? make_work(80, 20, 0) : make_work(30, 20, 0);
        items[i] = &all[i]->item;
    }
    CHECK_OK(qv__engine_submit(e, items, N, &err), err);
    atomic_store(&gate_open, true);
    for (int i = 0; i < N; i++) {
        wait_for(all[i]);
        CHECK_INT(all[i]->done, 1);
        CHECK_INT(all[i]->item.status, i == 11 || i == 20 ? QV_NO_MEMORY : QV_OK);
        CHECK(all[i]->item.status || is_right(all[i]));
    }
    close_engine(e, &network);
    for (int i = 0; i < N; i++) free_work(all[i]);
    free_work(plug);
}

TEST(open_without_memory) {
    qv__network network;
    fake_network_init(&network);
    qv__engine_options options = {.prefix_cache_bytes = 1 << 20, .image_cache_bytes = 1 << 20};
    for (uint64_t n = 1;; n++) {
        qv__engine *e = NULL;
        qv_error err = {0};
        qv__alloc_fail_at(n, false);
        qv_status status = qv__engine_open(&network, &options, &e, &err);
        qv__alloc_fail_at(0, false);
        CHECK(!e == (status != QV_OK));
        qv__engine_close(&e, true);
        if (!status) {
            CHECK(n > 5);
            break;
        }
        CHECK_INT(status, QV_NO_MEMORY);
        CHECK(err.message[0]);
    }
    CHECK_INT(network.blocks, 0);
}

/* All or none, also when memory runs out in the middle; with the store's memory gone answers are the same. */
TEST(submit_without_memory) {
    enum { N = 100 };
    qv__network network;
    fake_network_init(&network);
    qv__engine *e = open_engine(&network, &(qv__engine_options){.prefix_cache_bytes = 1 << 20});
    work *all[N];
    qv__item *items[N];
    for (int i = 0; i < N; i++) {
        all[i] = make_work(40, 20, (uint64_t)i % 10);
        all[i]->item.deadline_ns = qv__now_ns() + 3600 * INT64_C(1000000000);
        items[i] = &all[i]->item;
    }
    int refused = 0;
    for (uint64_t n = 1; n < 40; n++) {
        qv_error err = {0};
        for (int i = 0; i < N; i++) all[i]->item.client = 100 * n + (uint64_t)i % 10;
        qv__alloc_fail_at(n, true);
        qv_status status = qv__engine_submit(e, items, N, &err);
        for (int i = 0; i < N && !status; i++) wait_for(all[i]);
        qv__alloc_fail_at(0, false);
        for (int i = 0; i < N; i++) {
            CHECK_INT(atomic_load(&all[i]->done), !status);
            CHECK(status || is_right(all[i]));
            atomic_store(&all[i]->done, 0);
        }
        CHECK(!status || status == QV_NO_MEMORY);
        refused += status != QV_OK;
        qv__engine_stats stats;
        qv__engine_get_stats(e, &stats);
        CHECK_INT(stats.waiting_items, 0);
    }
    CHECK(refused > 2);
    close_engine(e, &network);
    for (int i = 0; i < N; i++) free_work(all[i]);
}

/* ---- what is shared ---- */

/* The head that the documents of one submit begin with is computed once, by the first. */
static void rerank(int documents, int32_t budget, int32_t length) {
    qv__network network;
    fake_network_init(&network);
    work **all = calloc((size_t)documents, sizeof *all);
    qv__item **items = calloc((size_t)documents, sizeof *items);
    qv_error err = {0};
    qv__engine_options options = {.max_batched_tokens = budget, .prefix_cache_bytes = 1 << 20};
    qv__engine *e = open_engine(&network, &options);
    for (int i = 0; i < documents; i++) items[i] = &(all[i] = make_work(length, 120, 0))->item;
    CHECK_OK(qv__engine_submit(e, items, (size_t)documents, &err), err);
    for (int i = 0; i < documents; i++) {
        check_right(all[i]);
        CHECK_INT(all[i]->item.prefix_tokens, i == 0 ? 0 : 120);
        free_work(all[i]);
    }
    CHECK_INT(network.rows, 120 + documents * (length - 120));
    qv__engine_stats stats;
    qv__engine_get_stats(e, &stats);
    CHECK_INT(stats.prefix_tokens, 120 * (documents - 1));
    CHECK_INT(stats.prefix_hits, documents - 1);
    CHECK(stats.prefix_bytes > 120 * FAKE_PREFIX_BYTES);
    close_engine(e, &network);
    free(all);
    free(items);
}

TEST(rerank_in_one_batch) {
    rerank(10, 2048, 200);
}
TEST(rerank_in_many_batches) {
    rerank(50, 500, 200);
}
TEST(rerank_of_items_that_run_alone) {
    rerank(5, 100, 300);
}

/* The constant head of requests that come one at a time is noticed when it comes again, and kept. */
TEST(head_of_single_requests) {
    qv__network network;
    fake_network_init(&network);
    qv__engine *e = open_engine(&network, &(qv__engine_options){.prefix_cache_bytes = 1 << 20});
    for (int i = 0; i < 5; i++) {
        work *w = make_work(30, 15, (uint64_t)i);
        submit(e, w);
        check_right(w);
        CHECK_INT(w->item.prefix_tokens, i < 2 ? 0 : 15);
        free_work(w);
    }
    close_engine(e, &network);
}

/* Two families in one submit, in turn, one against the order of content: the first of each knows what the others of its
 * family begin with. */
TEST(heads_of_two_families) {
    qv__network network;
    fake_network_init(&network);
    work *all[10];
    qv__item *items[10];
    qv_error err = {0};
    qv__engine *e = open_engine(&network, &(qv__engine_options){.prefix_cache_bytes = 1 << 20});
    for (int i = 0; i < 10; i++) {
        int at = i % 2 ? i : 8 - i;
        all[at] = make_work(60, 40, (uint64_t)at);
        if (i % 2) all[at]->prompt.sequence.ids[0] = 77;
        items[at] = &all[at]->item;
    }
    CHECK_OK(qv__engine_submit(e, items, 10, &err), err);
    for (int i = 0; i < 10; i++) {
        check_right(all[i]);
        CHECK_INT(all[i]->item.prefix_tokens, i < 2 ? 0 : 40);
        free_work(all[i]);
    }
    close_engine(e, &network);
}

/* Waiting items of one client that were submitted one by one: the head is computed once. */
TEST(head_of_items_in_a_row) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[10];
    qv__engine *e = open_plugged(&network, &(qv__engine_options){.prefix_cache_bytes = 1 << 20}, &plug);
    for (int i = 0; i < 10; i++) submit(e, all[i] = make_work(60, 40, 7));
    atomic_store(&gate_open, true);
    for (int i = 0; i < 10; i++) {
        check_right(all[i]);
        CHECK_INT(all[i]->item.prefix_tokens, i == 0 ? 0 : 40);
        free_work(all[i]);
    }
    close_engine(e, &network);
    free_work(plug);
}

/* Short prompts while a long one that shares their head is computing: its unfinished prefix is not touched. */
TEST(nested_work_does_not_use_what_is_not_computed) {
    qv__network network;
    fake_network_init(&network);
    network.row_ns = 20000;
    network.row_block = 100;
    qv_error err = {0};
    work *lengthy[2] = {make_work(3000, 400, 1), make_work(3000, 400, 1)}, *brief[10];
    qv__engine_options options = {.max_batched_tokens = 1000, .nested_tokens = 500, .prefix_cache_bytes = 1 << 20};
    qv__engine *e = open_engine(&network, &options);
    shut_gate(&network);
    CHECK_OK(qv__engine_submit(e, (qv__item *[]){&lengthy[0]->item, &lengthy[1]->item}, 2, &err), err);
    await_gate();
    for (int i = 0; i < 10; i++) submit(e, brief[i] = make_work(450, 420, 2));
    atomic_store(&gate_open, true);
    for (int i = 0; i < 10; i++) check_right(brief[i]);
    for (int i = 0; i < 2; i++) check_right(lengthy[i]);
    CHECK(network.nested_rows > 0);
    CHECK_INT(lengthy[1]->item.prefix_tokens, 400);
    close_engine(e, &network);
    for (int i = 0; i < 10; i++) free_work(brief[i]);
    free_work(lengthy[0]), free_work(lengthy[1]);
}

/* A prefix that failed to be computed serves nobody. */
TEST(failed_prefix) {
    qv__network network;
    fake_network_init(&network);
    work *plug, *all[4];
    qv__item *items[4];
    qv_error err = {0};
    qv__engine *e = open_plugged(&network, &(qv__engine_options){.prefix_cache_bytes = 1 << 20}, &plug);
    for (int i = 0; i < 4; i++) {
        all[i] = make_work(60, 40, 0);
        items[i] = &all[i]->item;
    }
    all[0]->prompt.sequence.ids[50] = FAKE_NON_FINITE;
    CHECK_OK(qv__engine_submit(e, items, 4, &err), err);
    atomic_store(&gate_open, true);
    wait_for(all[0]);
    CHECK_INT(all[0]->item.status, QV_NON_FINITE);
    for (int i = 1; i < 4; i++) check_right(all[i]);
    work *late = make_work(60, 40, 0);
    submit(e, late);
    check_right(late);
    CHECK_INT(late->item.prefix_tokens, 0);
    close_engine(e, &network);
    for (int i = 0; i < 4; i++) free_work(all[i]);
    free_work(late), free_work(plug);
}
