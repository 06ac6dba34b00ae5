#include "engine/feature_cache.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

enum { BUCKETS = 4096 };

typedef struct entry {
    uint8_t key[32];
    int height, width;
    float *features; /* device memory */
    size_t bytes;
    uint64_t pinned[QV__ROUNDS]; /* serial of the last forward that was given these features */
    struct entry *chain;         /* of the bucket */
    struct entry *newer, *older; /* by last use */
} entry;

typedef struct {
    qv__feature_store *store;
    int number;
} view;

struct qv__feature_store {
    qv__backend *backend;
    size_t max_bytes, bytes;
    uint64_t serial;              /* of the newest forward */
    uint64_t running[QV__ROUNDS]; /* serials; 0: not under way */
    view views[QV__ROUNDS];
    qv__feature_cache caches[QV__ROUNDS];
    entry *buckets[BUCKETS];
    entry *newest, *oldest;
    qv__feature_stats stats;
};

/* Keys are digests: any of their bits are as good as a hash. */
static entry **bucket_of(qv__feature_store *s, const uint8_t key[32]) {
    uint32_t bits;
    memcpy(&bits, key, sizeof bits);
    return &s->buckets[bits % BUCKETS];
}

static entry *lookup(qv__feature_store *s, const qv__vision_run *run) {
    entry *e = *bucket_of(s, run->key);
    while (e && (e->height != run->height || e->width != run->width || memcmp(e->key, run->key, sizeof e->key)))
        e = e->chain;
    return e;
}

static void unlink_entry(qv__feature_store *s, entry *e) {
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_newest(qv__feature_store *s, entry *e) {
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static bool is_pinned(const qv__feature_store *s, const entry *e) {
    for (int i = 0; i < QV__ROUNDS; i++)
        if (s->running[i] && e->pinned[i] == s->running[i]) return true;
    return false;
}

static void drop(qv__feature_store *s, entry *e) {
    entry **at = bucket_of(s, e->key);
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    unlink_entry(s, e);
    s->bytes -= e->bytes;
    s->stats.entries--;
    s->backend->ops->free(s->backend, e->features);
    qv__free(e);
}

static bool make_room(qv__feature_store *s, size_t bytes) {
    if (bytes > s->max_bytes) return false;
    for (entry *e = s->oldest, *newer; e && s->bytes > s->max_bytes - bytes; e = newer) {
        newer = e->newer;
        if (is_pinned(s, e)) continue;
        drop(s, e);
        s->stats.evictions++;
    }
    return s->bytes <= s->max_bytes - bytes;
}

/* ---- the network's side ---- */

static bool find(void *user, const qv__vision_run *run, const float **features) {
    const view *v = user;
    qv__feature_store *s = v->store;
    entry *e = lookup(s, run);
    if (!e) return s->stats.misses++, false;
    s->stats.hits++;
    e->pinned[v->number] = s->running[v->number];
    unlink_entry(s, e);
    link_newest(s, e);
    *features = e->features;
    return true;
}

static entry *make_entry(qv__feature_store *s, const qv__vision_run *run, const float *features, int64_t floats,
                         size_t bytes) {
    entry *e = qv__calloc(1, sizeof *e);
    void *memory = NULL;
    if (!e || s->backend->ops->alloc(s->backend, (size_t)floats * sizeof *features, &memory, NULL)) {
        qv__free(e);
        return NULL;
    }
    memcpy(e->key, run->key, sizeof e->key);
    e->height = run->height;
    e->width = run->width;
    e->features = memory;
    e->bytes = bytes;
    /* From device to device, as one row. */
    s->backend->ops->gather_rows(s->backend, e->features, floats, features, floats, &(int32_t){0}, 1, floats);
    return e;
}

/* What does not fit beside the pinned entries is not kept. */
static void offer(void *user, const qv__vision_run *run, const float *features, int64_t floats) {
    const view *v = user;
    qv__feature_store *s = v->store;
    size_t bytes = sizeof(entry) + (size_t)floats * sizeof *features;
    if (floats <= 0 || lookup(s, run) || !make_room(s, bytes)) return;
    entry *e = make_entry(s, run, features, floats, bytes);
    if (!e) return;
    entry **bucket = bucket_of(s, e->key);
    e->chain = *bucket;
    *bucket = e;
    link_newest(s, e);
    s->bytes += bytes;
    s->stats.entries++;
}

/* ---- the engine's side ---- */

qv_status qv__feature_store_open(qv__backend *backend, int64_t max_bytes, qv__feature_store **out, qv_error *err) {
    qv__feature_store *s = qv__calloc(1, sizeof *s);
    *out = s;
    if (!s) return qv__fail(err, QV_NO_MEMORY, "out of memory for the feature cache");
    s->backend = backend;
    s->max_bytes = (size_t)max_bytes;
    for (int i = 0; i < QV__ROUNDS; i++) {
        s->views[i] = (view){s, i};
        s->caches[i] = (qv__feature_cache){.find = find, .offer = offer, .user = &s->views[i]};
    }
    return QV_OK;
}

void qv__feature_store_close(qv__feature_store **store) {
    qv__feature_store *s = *store;
    if (!s) return;
    while (s->oldest) drop(s, s->oldest);
    qv__free(s);
    *store = NULL;
}

const qv__feature_cache *qv__feature_store_begin(qv__feature_store *s, int round) {
    s->running[round] = ++s->serial;
    return &s->caches[round];
}

void qv__feature_store_end(qv__feature_store *s, int round) {
    s->running[round] = 0;
}

void qv__feature_store_get_stats(const qv__feature_store *s, qv__feature_stats *stats) {
    *stats = s->stats;
    stats->bytes = (int64_t)s->bytes;
}
