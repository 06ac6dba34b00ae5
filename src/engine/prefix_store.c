#include "engine/prefix_store.h"

#include "base/error.h"
#include "base/memory.h"

enum { LOOK_AROUND = 16 }; /* entries looked at on each side for one that may be used */

struct qv__prefix_store {
    qv__backend *backend;
    size_t token_bytes;
    size_t max_bytes, bytes; /* bytes: of entries that are listed or referenced */
    size_t idle_bytes;       /* of those that are listed and not referenced: what can be dropped */
    qv__sequence_set set;    /* the listed ones, by content */
    qv__prefix_entry *newest, *oldest;
    qv__prefix_entry *dropped; /* chained by `older`, not yet freed */
    qv__prefix_stats stats;
};

static size_t entry_bytes(const qv__prefix_store *s, const qv__sequence *sequence, int32_t length) {
    return sizeof(qv__prefix_entry) + qv__sequence_copy_bytes(sequence, length) + (size_t)length * s->token_bytes;
}

static qv__prefix_entry *entry_at(const qv__prefix_store *s, size_t i) {
    return (qv__prefix_entry *)s->set.at[i];
}

/* ---- the list by last use ---- */

static void unlink_entry(qv__prefix_store *s, qv__prefix_entry *e) {
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void link_newest(qv__prefix_store *s, qv__prefix_entry *e) {
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static void touch(qv__prefix_store *s, qv__prefix_entry *e) {
    unlink_entry(s, e);
    link_newest(s, e);
}

/* ---- in and out ---- */

/* Out of sight: no longer found. Its memory goes with the last reference. */
static void unlist(qv__prefix_store *s, qv__prefix_entry *e) {
    qv__sequence_set_remove(&s->set, &e->sequence);
    unlink_entry(s, e);
    e->listed = false;
    if (e->references == 0) s->idle_bytes -= e->bytes;
}

static void drop(qv__prefix_store *s, qv__prefix_entry *e) {
    s->bytes -= e->bytes;
    e->older = s->dropped;
    s->dropped = e;
}

/* Drops entries that nobody uses until `bytes` more fit; false, and nothing is dropped, when they cannot. */
static bool make_room(qv__prefix_store *s, size_t bytes) {
    if (bytes > s->max_bytes || s->bytes - s->idle_bytes > s->max_bytes - bytes) return false;
    for (qv__prefix_entry *e = s->oldest, *newer; e && s->bytes > s->max_bytes - bytes; e = newer) {
        newer = e->newer;
        if (e->references > 0) continue;
        unlist(s, e);
        drop(s, e);
        s->stats.evictions++;
    }
    return true;
}

static void free_entry(qv__prefix_store *s, qv__prefix_entry *e) {
    if (e->prefix.k) s->backend->ops->free(s->backend, e->prefix.k);
    qv__free(e->block);
    qv__free(e);
}

static qv__prefix_entry *make_entry(qv__prefix_store *s, const qv__sequence *sequence, int32_t length) {
    qv__prefix_entry *e = qv__calloc(1, sizeof *e);
    if (!e) return NULL;
    void *memory = NULL;
    size_t size = (size_t)length * s->token_bytes;
    if (!qv__sequence_copy(sequence, length, &e->sequence, &e->block) ||
        s->backend->ops->alloc(s->backend, size, &memory, NULL)) {
        free_entry(s, e);
        return NULL;
    }
    e->prefix = (qv__prefix){.length = length, .capacity = length, .k = memory};
    e->prefix.v = e->prefix.k + size / 2 / sizeof *e->prefix.v;
    e->bytes = entry_bytes(s, sequence, length);
    return e;
}

qv_status qv__prefix_store_open(qv__backend *backend, size_t token_bytes, int64_t max_bytes, qv__prefix_store **out,
                                qv_error *err) {
    qv__prefix_store *s = qv__calloc(1, sizeof *s);
    *out = s;
    if (!s) return qv__fail(err, QV_NO_MEMORY, "out of memory for the prefix store");
    s->backend = backend;
    s->token_bytes = token_bytes;
    s->max_bytes = (size_t)max_bytes;
    return QV_OK;
}

void qv__prefix_store_close(qv__prefix_store **store) {
    qv__prefix_store *s = *store;
    if (!s) return;
    qv__prefix_store_sweep(s);
    for (qv__prefix_entry *e = s->oldest, *newer; e; e = newer) {
        newer = e->newer;
        free_entry(s, e);
    }
    qv__sequence_set_clear(&s->set);
    qv__free(s);
    *store = NULL;
}

void qv__prefix_store_sweep(qv__prefix_store *s) {
    for (qv__prefix_entry *e = s->dropped, *next; e; e = next) {
        next = e->older;
        free_entry(s, e);
    }
    s->dropped = NULL;
}

/* ---- looking up ---- */

typedef struct {
    qv__prefix_entry *entry;
    int32_t length;
} match;

/* The better of `best` and what entry i has in common with s; false: no entry further out can be better. */
static bool consider(const qv__prefix_store *store, size_t i, const qv__sequence *s, int maker, match *best) {
    qv__prefix_entry *e = entry_at(store, i);
    int32_t length = qv__sequence_match(&e->sequence, s);
    if (length == s->length) length = qv__sequence_cut(s, s->length - 1);
    if (length < QV__PREFIX_MIN || length <= best->length) return false;
    if (e->maker != 0 && e->maker != maker && maker >= 0) return true;
    *best = (match){e, length};
    return false;
}

/* Matches get shorter with the distance from the place of s in the order. maker < 0: whoever made it. */
static match best_match(const qv__prefix_store *store, const qv__sequence *s, int maker) {
    size_t place = qv__sequence_set_place(&store->set, s), count = store->set.count;
    match best = {NULL, 0};
    for (size_t i = place; i < count && i - place < LOOK_AROUND && consider(store, i, s, maker, &best);) i++;
    for (size_t i = place; i > 0 && place - i < LOOK_AROUND && consider(store, i - 1, s, maker, &best);) i--;
    return best;
}

qv__prefix_entry *qv__prefix_store_find(qv__prefix_store *store, const qv__sequence *s, int maker, int32_t *length) {
    match best = best_match(store, s, maker);
    qv__prefix_entry *e = best.entry;
    if (!e) return NULL;
    if (e->references++ == 0) store->idle_bytes -= e->bytes;
    /* Many entries may begin with the same head, and each can serve it: one that serves little of itself ages. */
    if (best.length >= e->sequence.length / 2) touch(store, e);
    *length = best.length;
    return e;
}

void qv__prefix_store_count(qv__prefix_store *store, int32_t saved) {
    store->stats.hits += saved > 0;
    store->stats.misses += saved == 0;
    store->stats.saved_tokens += saved;
}

/* ---- keeping ---- */

/* The longest prefix of s up to `length` that an otherwise empty store has room for. */
static int32_t cut_to_fit(const qv__prefix_store *store, const qv__sequence *s, int32_t length) {
    size_t each = store->token_bytes + 4 * sizeof *s->ids; /* and the runs' share, hence the loop */
    while (length > 0 && entry_bytes(store, s, length) > store->max_bytes) {
        size_t over = entry_bytes(store, s, length) - store->max_bytes;
        size_t tokens = (over + each - 1) / each;
        length = tokens < (size_t)length ? qv__sequence_cut(s, length - (int32_t)tokens) : 0;
    }
    return length;
}

qv__prefix_entry *qv__prefix_store_begin(qv__prefix_store *store, const qv__sequence *s, int32_t length, int32_t have,
                                         int maker) {
    if (length > s->length - 1) length = s->length - 1;
    length = cut_to_fit(store, s, qv__sequence_cut(s, length));
    if (length < QV__PREFIX_MIN || length - have < QV__PREFIX_MIN) return NULL;
    if (best_match(store, s, -1).length >= length) return NULL; /* it is being computed for others */
    if (!make_room(store, entry_bytes(store, s, length))) return NULL;
    qv__prefix_entry *e = make_entry(store, s, length);
    if (!e) return NULL;
    if (!qv__sequence_set_add(&store->set, &e->sequence)) {
        free_entry(store, e);
        return NULL;
    }
    e->references = 1;
    e->maker = maker;
    e->listed = true;
    link_newest(store, e);
    store->bytes += e->bytes;
    return e;
}

/* Entries that are prefixes of e stand before it, and a view of e serves whom they serve. */
static void drop_contained(qv__prefix_store *store, const qv__prefix_entry *e) {
    size_t i = qv__sequence_set_place(&store->set, &e->sequence);
    while (i > 0) {
        qv__prefix_entry *before = entry_at(store, --i);
        int32_t length = qv__sequence_match(&before->sequence, &e->sequence);
        if (length < QV__PREFIX_MIN) return;
        if (length < before->sequence.length || before->references > 0) continue;
        unlist(store, before);
        drop(store, before);
    }
}

void qv__prefix_store_end(qv__prefix_store *store, qv__prefix_entry *entry, bool computed) {
    entry->maker = 0;
    if (computed)
        drop_contained(store, entry);
    else if (entry->listed)
        unlist(store, entry);
    qv__prefix_store_release(store, entry);
}

void qv__prefix_store_release(qv__prefix_store *store, qv__prefix_entry *entry) {
    if (--entry->references > 0) return;
    if (entry->listed)
        store->idle_bytes += entry->bytes;
    else
        drop(store, entry);
}

void qv__prefix_store_get_stats(const qv__prefix_store *store, qv__prefix_stats *stats) {
    *stats = store->stats;
    stats->bytes = (int64_t)store->bytes;
    stats->entries = (int64_t)store->set.count;
}

bool qv__prefix_store_is_sound(const qv__prefix_store *s) {
    size_t bytes = 0, idle = 0, count = 0;
    for (const qv__prefix_entry *e = s->oldest; e; e = e->newer, count++) {
        bytes += e->bytes;
        if (e->references == 0) idle += e->bytes;
        if (!e->listed || e->references < 0 || (e->maker != 0 && e->references == 0)) return false;
        if ((e->newer ? e->newer->older : s->newest) != e) return false;
        if (e->prefix.length != e->sequence.length || e->bytes != entry_bytes(s, &e->sequence, e->sequence.length))
            return false;
    }
    for (size_t i = 1; i < s->set.count; i++)
        if (qv__sequence_order(s->set.at[i - 1], s->set.at[i]) >= 0) return false;
    return count == s->set.count && bytes <= s->bytes && s->bytes <= s->max_bytes && idle == s->idle_bytes;
}
