#include "check.h"

#include "base/memory.h"
#include "engine/prefix_store.h"
#include "fake_network.h"
#include "prompts_made.h"

/* ---- matching, against the plainest way to do it ---- */

static const qv__vision_run *run_of(const qv__sequence *s, int32_t token, bool *first) {
    for (int k = 0; k < s->run_count; k++) {
        int32_t start = s->runs[k].first_token;
        if (token < start || token >= start + fake_run_tokens(&s->runs[k])) continue;
        *first = token == start;
        return &s->runs[k];
    }
    return NULL;
}

static bool same_token(const qv__sequence *a, const qv__sequence *b, int32_t i) {
    bool first_a = false, first_b = false;
    const qv__vision_run *run_a = run_of(a, i, &first_a), *run_b = run_of(b, i, &first_b);
    for (int axis = 0; axis < 3; axis++)
        if (a->positions[axis * a->length + i] != b->positions[axis * b->length + i]) return false;
    if (a->ids[i] != b->ids[i] || !run_a != !run_b || first_a != first_b) return false;
    return !run_a || (run_a->height == run_b->height && run_a->width == run_b->width &&
                      memcmp(run_a->key, run_b->key, sizeof run_a->key) == 0);
}

static int32_t cut(const qv__sequence *s, int32_t length) {
    bool first = false;
    while (length > 0 && length < s->length && run_of(s, length, &first) && !first) length--;
    return length;
}

static int32_t match(const qv__sequence *a, const qv__sequence *b) {
    int32_t n = 0;
    while (n < a->length && n < b->length && same_token(a, b, n)) n++;
    return cut(a, n);
}

enum { PROMPTS = 60 };

TEST(match_and_order) {
    uint64_t seed = check_seed();
    made all[PROMPTS];
    for (int i = 0; i < PROMPTS; i++) made_random(&all[i], &seed, 120);
    for (int i = 0; i < PROMPTS; i++) {
        const qv__sequence *a = &all[i].sequence;
        for (int32_t n = 0; n <= a->length; n++) CHECK_INT(qv__sequence_cut(a, n), cut(a, n));
        for (int j = 0; j < PROMPTS; j++) {
            const qv__sequence *b = &all[j].sequence;
            CHECK_INT(qv__sequence_match(a, b), match(a, b));
            int order = qv__sequence_order(a, b);
            CHECK_INT(order<0, qv__sequence_order(b, a)> 0);
            CHECK_INT(order == 0, a->length == b->length && match(a, b) == a->length);
            for (int k = 0; k < PROMPTS; k++)
                if (order < 0 && qv__sequence_order(b, &all[k].sequence) < 0)
                    CHECK(qv__sequence_order(a, &all[k].sequence) < 0);
        }
    }
    for (int i = 0; i < PROMPTS; i++) made_free(&all[i]);
}

/* Pads without a picture (raw text may hold them) are not the picture's; nor is another picture of the same size. */
TEST(pictures_are_told_apart) {
    made with, other, without, wide;
    made *all[] = {&with, &other, &without, &wide};
    for (int i = 0; i < 4; i++) {
        made_reserve(all[i], 64);
        for (int k = 0; k < 10; k++) made_put(all[i], k);
    }
    made_picture(&with, 2, 3, 1);
    made_picture(&other, 2, 3, 2);
    for (int k = 0; k < 6; k++) made_put(&without, FAKE_VISION_PAD);
    made_put(&without, FAKE_VISION_PAD + 1);
    made_picture(&wide, 1, 6, 1);
    for (int i = 0; i < 4; i++) made_finish(all[i]);
    memcpy(without.sequence.positions, with.sequence.positions, 3 * sizeof(int32_t) * (size_t)with.sequence.length);
    for (int i = 1; i < 4; i++) {
        CHECK_INT(qv__sequence_match(&with.sequence, &all[i]->sequence), 10);
        CHECK_INT(qv__sequence_match(&all[i]->sequence, &with.sequence), 10);
        CHECK(qv__sequence_order(&with.sequence, &all[i]->sequence) != 0);
    }
    CHECK_INT(qv__sequence_match(&with.sequence, &with.sequence), 17);
    CHECK_INT(qv__sequence_cut(&with.sequence, 15), 10);
    CHECK_INT(qv__sequence_cut(&with.sequence, 16), 16);
    for (int i = 0; i < 4; i++) made_free(all[i]);
}

/* ---- the store, against a model of it ---- */

enum { MODEL_MAX = 512, STORE_BYTES = 12000, HOLDS = 12 };

typedef struct {
    qv__prefix_entry *entry;
    const qv__sequence *s; /* its first `length` tokens */
    int32_t length;
    int references, maker;
    size_t bytes;
} model_entry;

/* Listed entries, the one least recently used first; and those dropped while referenced. */
typedef struct {
    model_entry listed[MODEL_MAX], lost[MODEL_MAX];
    int count, lost_count;
    size_t bytes;
} model;

typedef struct {
    qv__prefix_entry *entry;
    int32_t length;
    uint64_t mark; /* what its keys hold */
    int maker;     /* > 0: begun, not ended */
} hold;

static model_entry *model_find(model *m, const qv__prefix_entry *e) {
    for (int i = 0; i < m->count; i++)
        if (m->listed[i].entry == e) return &m->listed[i];
    for (int i = 0; i < m->lost_count; i++)
        if (m->lost[i].entry == e) return &m->lost[i];
    return NULL;
}

static void model_unlist(model *m, int i) {
    if (m->listed[i].references > 0)
        m->lost[m->lost_count++] = m->listed[i];
    else
        m->bytes -= m->listed[i].bytes;
    memmove(&m->listed[i], &m->listed[i + 1], (size_t)(m->count - i - 1) * sizeof m->listed[0]);
    m->count--;
}

static void model_touch(model *m, int i) {
    model_entry e = m->listed[i];
    memmove(&m->listed[i], &m->listed[i + 1], (size_t)(m->count - i - 1) * sizeof e);
    m->listed[m->count - 1] = e;
}

static void model_release(model *m, const qv__prefix_entry *e) {
    for (int i = 0; i < m->count; i++)
        if (m->listed[i].entry == e) m->listed[i].references--;
    for (int i = 0; i < m->lost_count; i++) {
        if (m->lost[i].entry != e || --m->lost[i].references > 0) continue;
        m->bytes -= m->lost[i].bytes;
        m->lost[i] = m->lost[--m->lost_count];
        return;
    }
}

static int32_t model_best(const model *m, const qv__sequence *s, int maker) {
    int32_t best = 0;
    for (int i = 0; i < m->count; i++) {
        if (maker >= 0 && m->listed[i].maker && m->listed[i].maker != maker) continue;
        int32_t n = match(m->listed[i].s, s);
        if (n > m->listed[i].length) n = m->listed[i].length;
        if (n == s->length) n = cut(s, n - 1);
        if (n > best) best = n;
    }
    return best < QV__PREFIX_MIN ? 0 : best;
}

static bool model_make_room(model *m, size_t bytes) {
    size_t fixed = m->bytes;
    for (int i = 0; i < m->count; i++)
        if (m->listed[i].references == 0) fixed -= m->listed[i].bytes;
    if (fixed + bytes > STORE_BYTES) return false;
    for (int i = 0; i < m->count && m->bytes + bytes > STORE_BYTES;) {
        if (m->listed[i].references == 0)
            model_unlist(m, i);
        else
            i++;
    }
    return true;
}

static size_t bytes_of(const qv__sequence *s, int32_t length) {
    size_t runs = 0;
    for (int k = 0; k < s->run_count; k++) runs += s->runs[k].first_token < length;
    return sizeof(qv__prefix_entry) + runs * sizeof(qv__vision_run) + (size_t)length * (16 + FAKE_PREFIX_BYTES);
}

static void fill(const qv__prefix_entry *e, uint64_t mark) {
    for (int32_t i = 0; i < e->prefix.capacity; i++) {
        memcpy(e->prefix.k + 2 * (size_t)i, &mark, sizeof mark);
        memcpy(e->prefix.v + 2 * (size_t)i, &mark, sizeof mark);
    }
}

static bool is_filled(const qv__prefix_entry *e, uint64_t mark) {
    for (int32_t i = 0; i < e->prefix.capacity; i++)
        if (memcmp(e->prefix.k + 2 * (size_t)i, &mark, sizeof mark) ||
            memcmp(e->prefix.v + 2 * (size_t)i, &mark, sizeof mark))
            return false;
    return true;
}

static void do_find(qv__prefix_store *store, model *m, const qv__sequence *s, int maker, hold *h) {
    int32_t length = 0;
    h->entry = qv__prefix_store_find(store, s, maker, &length);
    CHECK_INT(length, model_best(m, s, maker));
    CHECK(!h->entry == (length == 0));
    if (!h->entry) return;
    model_entry *e = model_find(m, h->entry);
    CHECK(e && e >= m->listed && e < m->listed + m->count && match(e->s, s) >= length && e->length >= length);
    e->references++;
    if (length >= e->length / 2) model_touch(m, (int)(e - m->listed));
    memcpy(&h->mark, h->entry->prefix.k, sizeof h->mark);
    h->maker = 0;
}

static void do_begin(qv__prefix_store *store, model *m, const qv__sequence *s, int32_t length, int maker, hold *h) {
    h->entry = qv__prefix_store_begin(store, s, length, 0, maker);
    length = cut(s, length < s->length - 1 ? length : s->length - 1);
    bool expected =
        length >= QV__PREFIX_MIN && model_best(m, s, -1) < length && model_make_room(m, bytes_of(s, length));
    CHECK_INT(h->entry != NULL, expected);
    if (!h->entry) return;
    CHECK_INT(h->entry->prefix.length, length);
    m->listed[m->count++] = (model_entry){h->entry, s, length, 1, maker, bytes_of(s, length)};
    m->bytes += bytes_of(s, length);
    h->maker = maker;
    fill(h->entry, h->mark);
}

static void do_end(qv__prefix_store *store, model *m, hold *h, bool computed) {
    qv__prefix_entry *entry = h->entry;
    model_entry ended = *model_find(m, entry);
    qv__prefix_store_end(store, entry, computed);
    for (int i = m->count - 1; i >= 0; i--) {
        if (m->listed[i].entry == entry) {
            m->listed[i].maker = 0;
            if (!computed) model_unlist(m, i);
        } else if (computed && m->listed[i].references == 0 && m->listed[i].length < ended.length &&
                   match(m->listed[i].s, ended.s) >= m->listed[i].length) {
            model_unlist(m, i);
        }
    }
    model_release(m, entry);
}

static void let_go(qv__prefix_store *store, model *m, hold *h, uint64_t random) {
    if (!h->entry) return;
    CHECK(is_filled(h->entry, h->mark)); /* nobody took the memory away */
    if (h->maker)
        do_end(store, m, h, random % 4 != 0);
    else {
        qv__prefix_store_release(store, h->entry);
        model_release(m, h->entry);
    }
    h->entry = NULL;
}

TEST(store_behaves_like_its_model) {
    uint64_t seed = check_seed(), begun = 0, found = 0;
    static model m;
    static made prompts[PROMPTS];
    qv__network network;
    qv__prefix_store *store;
    qv_error err = {0};
    hold holds[HOLDS] = {{0}};
    m = (model){.count = 0};
    fake_network_init(&network);
    for (int i = 0; i < PROMPTS; i++) made_random(&prompts[i], &seed, 150);
    CHECK_OK(qv__prefix_store_open(&network.backend, FAKE_PREFIX_BYTES, STORE_BYTES, &store, &err), err);
    for (int turn = 0; turn < 20000; turn++) {
        hold *h = &holds[check_random(&seed) % HOLDS];
        const qv__sequence *s = &prompts[check_random(&seed) % PROMPTS].sequence;
        int maker = 1 + (int)(check_random(&seed) % 2);
        uint64_t what = check_random(&seed);
        if (h->entry)
            let_go(store, &m, h, what);
        else if (what % 2)
            do_find(store, &m, s, maker, h), found += h->entry != NULL;
        else {
            h->mark = (uint64_t)turn;
            do_begin(store, &m, s, (int32_t)(what / 2 % 150), maker, h), begun += h->entry != NULL;
        }
        if (what % 5 == 0) qv__prefix_store_sweep(store);
        qv__prefix_stats stats;
        qv__prefix_store_get_stats(store, &stats);
        CHECK(qv__prefix_store_is_sound(store));
        CHECK_INT(stats.entries, m.count);
        CHECK_INT(stats.bytes, m.bytes);
    }
    CHECK(begun > 500 && found > 500);
    for (int i = 0; i < HOLDS; i++) let_go(store, &m, &holds[i], 1);
    qv__prefix_store_close(&store);
    CHECK_INT(network.blocks, 0);
    for (int i = 0; i < PROMPTS; i++) made_free(&prompts[i]);
}

static void make_line(made *m, int32_t length, int32_t base) {
    made_reserve(m, length);
    for (int32_t i = 0; i < length; i++) made_put(m, base + i);
    made_finish(m);
}

/* A store with room for a part of a prefix keeps that part. */
TEST(what_does_not_fit_is_cut) {
    qv__network network;
    qv__prefix_store *store;
    qv_error err = {0};
    made line;
    int32_t length;
    fake_network_init(&network);
    make_line(&line, 200, 0);
    CHECK_OK(
        qv__prefix_store_open(&network.backend, FAKE_PREFIX_BYTES, sizeof(qv__prefix_entry) + 50 * 32, &store, &err),
        err);
    qv__prefix_entry *e = qv__prefix_store_begin(store, &line.sequence, 120, 0, 1);
    CHECK(e);
    CHECK_INT(e->prefix.length, 50);
    CHECK(!qv__prefix_store_find(store, &line.sequence, 2, &length)); /* not done */
    CHECK(qv__prefix_store_find(store, &line.sequence, 1, &length) == e);
    CHECK_INT(length, 50);
    qv__prefix_store_release(store, e);
    qv__prefix_store_end(store, e, true);
    CHECK(qv__prefix_store_find(store, &line.sequence, 2, &length) == e);
    qv__prefix_store_release(store, e);
    CHECK(!qv__prefix_store_begin(store, &line.sequence, 120, 45, 1)); /* 5 tokens more are not worth it */
    qv__prefix_store_close(&store);
    CHECK_OK(qv__prefix_store_open(&network.backend, FAKE_PREFIX_BYTES, 100, &store, &err), err);
    CHECK(!qv__prefix_store_begin(store, &line.sequence, 120, 0, 1));
    qv__prefix_store_close(&store);
    CHECK_INT(network.blocks, 0);
    made_free(&line);
}

/* The last token of a prompt is always computed. */
TEST(a_whole_prompt_is_never_found) {
    qv__network network;
    qv__prefix_store *store;
    qv_error err = {0};
    made line, shorter;
    int32_t length;
    fake_network_init(&network);
    make_line(&line, 100, 0);
    make_line(&shorter, 40, 0);
    CHECK_OK(qv__prefix_store_open(&network.backend, FAKE_PREFIX_BYTES, 1 << 20, &store, &err), err);
    qv__prefix_entry *e = qv__prefix_store_begin(store, &line.sequence, 100, 0, 1);
    CHECK_INT(e->prefix.length, 99);
    qv__prefix_store_end(store, e, true);
    CHECK(qv__prefix_store_find(store, &shorter.sequence, 2, &length) == e);
    CHECK_INT(length, 39);
    qv__prefix_store_release(store, e);
    qv__prefix_store_close(&store);
    made_free(&line);
    made_free(&shorter);
}

/* Every allocation fails once: nothing is lost, nothing breaks. */
TEST(store_without_memory) {
    qv__network network;
    qv_error err = {0};
    made line;
    make_line(&line, 100, 0);
    fake_network_init(&network);
    int failed = 0;
    for (uint64_t n = 1; n < 8; n++) {
        qv__prefix_store *store = NULL;
        qv__alloc_fail_at(n, false);
        network.fail_alloc_every = n == 7;
        if (qv__prefix_store_open(&network.backend, FAKE_PREFIX_BYTES, 1 << 20, &store, &err)) {
            CHECK_INT(err.code, QV_NO_MEMORY);
            failed++;
            continue;
        }
        qv__prefix_entry *e = qv__prefix_store_begin(store, &line.sequence, 60, 0, 1);
        qv__alloc_fail_at(0, false);
        failed += !e;
        if (e) qv__prefix_store_end(store, e, true);
        CHECK(qv__prefix_store_is_sound(store));
        qv__prefix_store_close(&store);
        CHECK_INT(network.blocks, 0);
    }
    qv__alloc_fail_at(0, false);
    CHECK_INT(failed, 5); /* open, entry, its copy, the set, device memory */
    made_free(&line);
}
