#include "check.h"

#include "base/memory.h"
#include "engine/feature_cache.h"
#include "fake_network.h"

static qv__vision_run picture(int name) {
    qv__vision_run run = {.height = 64, .width = 96};
    memset(run.key, name & 255, sizeof run.key);
    run.key[31] = (uint8_t)(name >> 8);
    return run;
}

enum { FLOATS = 100 };

static void offer(const qv__feature_cache *cache, int name) {
    float features[FLOATS];
    qv__vision_run run = picture(name);
    for (int i = 0; i < FLOATS; i++) features[i] = (float)(name * FLOATS + i);
    cache->offer(cache->user, &run, features, FLOATS);
}

/* Also that what is found is what was offered. */
static const float *find(const qv__feature_cache *cache, int name) {
    const float *features = NULL;
    qv__vision_run run = picture(name);
    if (!cache->find(cache->user, &run, &features)) return NULL;
    for (int i = 0; i < FLOATS; i++) CHECK(features[i] == (float)(name * FLOATS + i));
    return features;
}

static qv__feature_store *open_store(qv__network *network, int64_t bytes) {
    qv__feature_store *store;
    qv_error err = {0};
    fake_network_init(network);
    CHECK_OK(qv__feature_store_open(&network->backend, bytes, &store, &err), err);
    return store;
}

static void close_store(qv__feature_store *store, qv__network *network) {
    qv__feature_store_close(&store);
    CHECK(!store);
    CHECK_INT(network->blocks, 0);
}

TEST(found_by_key_and_size) {
    qv__network network;
    qv__feature_store *store = open_store(&network, 1 << 20);
    const qv__feature_cache *cache = qv__feature_store_begin(store, 0);
    const float *features;
    qv__vision_run turned = picture(1);
    offer(cache, 1);
    offer(cache, 257); /* the same first bytes */
    offer(cache, 1);   /* again: nothing happens */
    turned.height = 96, turned.width = 64;
    CHECK(!cache->find(cache->user, &turned, &features));
    CHECK(find(cache, 1) && find(cache, 257) && !find(cache, 2));
    qv__feature_store_end(store, 0);
    qv__feature_stats stats;
    qv__feature_store_get_stats(store, &stats);
    CHECK_INT(stats.hits, 2);
    CHECK_INT(stats.misses, 2);
    CHECK_INT(stats.entries, 2);
    CHECK(stats.bytes >= 2 * FLOATS * 4);
    close_store(store, &network);
}

/* Random use within the bound; the one least recently used goes first; what a forward was given stays. */
TEST(bounded_by_last_use) {
    enum { HOLDS = 5, PICTURES = 12 };
    qv__network network;
    qv__feature_store *store = open_store(&network, 1 << 20);
    qv__feature_stats stats;
    offer(qv__feature_store_begin(store, 0), 0);
    qv__feature_store_get_stats(store, &stats);
    int64_t each = stats.bytes;
    close_store(store, &network);

    store = open_store(&network, HOLDS * each + each / 2);
    uint64_t seed = check_seed();
    int recent[PICTURES] = {0}, count = 0; /* the newest last */
    for (int turn = 0; turn < 2000; turn++) {
        const qv__feature_cache *cache = qv__feature_store_begin(store, turn % 2);
        int name = (int)(check_random(&seed) % PICTURES), at = 0;
        while (at < count && recent[at] != name) at++;
        const float *features = find(cache, name);
        CHECK_INT(features != NULL, at < count);
        if (!features) offer(cache, name);
        if (at == count && count == HOLDS)
            at = 0;
        else if (at == count)
            count++;
        memmove(recent + at, recent + at + 1, (size_t)(count - 1 - at) * sizeof *recent);
        recent[count - 1] = name;
        qv__feature_store_end(store, turn % 2);
        qv__feature_store_get_stats(store, &stats);
        CHECK_INT(stats.entries, count);
        CHECK(stats.bytes == count * each && network.bytes == (long long)count * FLOATS * 4);
    }
    close_store(store, &network);
}

TEST(pinned_until_the_forward_ends) {
    qv__network network;
    qv__feature_store *store = open_store(&network, 2 * 600);
    const qv__feature_cache *outer = qv__feature_store_begin(store, 0);
    offer(outer, 1);
    offer(outer, 2);
    CHECK(find(outer, 1) && find(outer, 2));
    const qv__feature_cache *nested = qv__feature_store_begin(store, 1);
    offer(nested, 3); /* no room that may be taken */
    CHECK(!find(nested, 3) && find(nested, 2));
    qv__feature_store_end(store, 0);
    offer(nested, 3); /* 1 may go, 2 is still in use */
    CHECK(find(nested, 3) && find(nested, 2) && !find(nested, 1));
    qv__feature_store_end(store, 1);
    outer = qv__feature_store_begin(store, 0);
    offer(outer, 4);
    offer(outer, 5);
    CHECK(find(outer, 4) && find(outer, 5) && !find(outer, 2) && !find(outer, 3));
    close_store(store, &network);
}

TEST(without_memory) {
    qv__network network;
    qv_error err = {0};
    qv__feature_store *store;
    qv__alloc_fail_at(1, false);
    CHECK_INT(qv__feature_store_open(&network.backend, 1000, &store, &err), QV_NO_MEMORY);
    store = open_store(&network, 1 << 20);
    const qv__feature_cache *cache = qv__feature_store_begin(store, 0);
    qv__alloc_fail_at(1, false);
    offer(cache, 1);
    qv__alloc_fail_at(0, false);
    network.fail_alloc_every = 1;
    offer(cache, 2);
    network.fail_alloc_every = 0;
    CHECK(!find(cache, 1) && !find(cache, 2));
    offer(cache, 1);
    CHECK(find(cache, 1));
    qv__feature_store_end(store, 0);
    qv__feature_store_close(&store);
    store = open_store(&network, 10); /* too small for any */
    cache = qv__feature_store_begin(store, 0);
    offer(cache, 1);
    CHECK(!find(cache, 1));
    close_store(store, &network);
}
