#include "engine/queue.h"

#include "base/hash.h"
#include "base/memory.h"

enum { BUCKETS = 1024 };
static const size_t NOT_IN_HEAP = SIZE_MAX;

typedef struct {
    qv__item *first, *last;
} list;

struct qv__lane {
    uint64_t client;
    list lists[2];             /* long items, short items */
    int64_t items, tokens;     /* of both */
    qv__lane *next, *previous; /* the ring */
    qv__lane *chain;           /* of the bucket */
};

bool qv__queue_open(qv__queue *q, int32_t short_tokens) {
    *q = (qv__queue){.short_tokens = short_tokens};
    q->buckets = qv__calloc(BUCKETS, sizeof(qv__lane *));
    return q->buckets != NULL;
}

void qv__queue_close(qv__queue *q) {
    qv__free(q->buckets);
    qv__free(q->heap);
    *q = (qv__queue){0};
}

/* ---- lanes ---- */

static qv__lane **bucket_of(const qv__queue *q, uint64_t client) {
    return &q->buckets[qv__mix64(client) % BUCKETS];
}

/* A new lane comes last: before the one whose turn it is. */
static void link_lane(qv__queue *q, qv__lane *l) {
    if (!q->turn) q->turn = l->next = l->previous = l;
    l->next = q->turn;
    l->previous = q->turn->previous;
    l->next->previous = l->previous->next = l;
    q->lanes++;
}

static void drop_lane(qv__queue *q, qv__lane *l) {
    qv__lane **at = bucket_of(q, l->client);
    while (*at != l) at = &(*at)->chain;
    *at = l->chain;
    if (q->turn == l) q->turn = l->next == l ? NULL : l->next;
    l->next->previous = l->previous;
    l->previous->next = l->next;
    q->lanes--;
    qv__free(l);
}

static qv__lane *find_lane(const qv__queue *q, uint64_t client) {
    qv__lane *l = *bucket_of(q, client);
    while (l && l->client != client) l = l->chain;
    return l;
}

static qv__lane *find_or_make_lane(qv__queue *q, uint64_t client) {
    qv__lane **bucket = bucket_of(q, client), *l = find_lane(q, client);
    if (l || !(l = qv__calloc(1, sizeof *l))) return l;
    l->client = client;
    l->chain = *bucket;
    *bucket = l;
    link_lane(q, l);
    return l;
}

static bool is_empty(const qv__lane *l) {
    return !l->lists[0].first && !l->lists[1].first;
}

/* ---- the heap ---- */

static void put_at(qv__queue *q, size_t i, qv__item *item) {
    q->heap[i] = item;
    item->heap_index = i;
}

/* `item` goes to place i or, as the order demands, above or below it. */
static void sift(qv__queue *q, size_t i, qv__item *item) {
    while (i > 0 && q->heap[(i - 1) / 2]->deadline_ns > item->deadline_ns) {
        put_at(q, i, q->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (size_t child; (child = 2 * i + 1) < q->heap_count; i = child) {
        if (child + 1 < q->heap_count && q->heap[child + 1]->deadline_ns < q->heap[child]->deadline_ns) child++;
        if (q->heap[child]->deadline_ns >= item->deadline_ns) break;
        put_at(q, i, q->heap[child]);
    }
    put_at(q, i, item);
}

static bool heap_reserve(qv__queue *q, size_t extra) {
    size_t need = q->heap_count + extra, capacity = q->heap_capacity ? q->heap_capacity : 64;
    if (need <= q->heap_capacity) return true;
    while (capacity < need) capacity *= 2;
    qv__item **heap = qv__realloc(q->heap, capacity * sizeof(qv__item *));
    if (!heap) return false;
    q->heap = heap;
    q->heap_capacity = capacity;
    return true;
}

static void heap_remove(qv__queue *q, qv__item *item) {
    if (item->heap_index == NOT_IN_HEAP) return;
    qv__item *last = q->heap[--q->heap_count];
    if (last != item) sift(q, item->heap_index, last);
    item->heap_index = NOT_IN_HEAP;
}

int64_t qv__queue_oldest(const qv__queue *q) {
    int64_t oldest = INT64_MAX;
    const qv__lane *lane = q->turn;
    for (int64_t i = 0; i < q->lanes; i++, lane = lane->next)
        for (int k = 0; k < 2; k++) {
            const qv__item *item = lane->lists[k].first;
            if (item && item->queued_ns < oldest) oldest = item->queued_ns;
        }
    return oldest;
}

int64_t qv__queue_next_deadline(const qv__queue *q) {
    return q->heap_count ? q->heap[0]->deadline_ns : INT64_MAX;
}

qv__item *qv__queue_take_expired(qv__queue *q, int64_t now) {
    if (qv__queue_next_deadline(q) > now) return NULL;
    qv__item *item = q->heap[0];
    qv__queue_remove(q, item);
    return item;
}

/* ---- items ---- */

static bool is_short(const qv__queue *q, const qv__item *item) {
    return item->sequence.length <= q->short_tokens;
}

static void link_item(qv__queue *q, qv__item *item) {
    list *l = &item->lane->lists[is_short(q, item)];
    item->next = NULL;
    item->previous = l->last;
    *(l->last ? &l->last->next : &l->first) = item;
    l->last = item;
    item->order = q->order++;
    item->heap_index = NOT_IN_HEAP;
    if (item->deadline_ns) sift(q, q->heap_count++, item);
    q->items++;
    item->lane->items++;
    q->tokens += item->sequence.length;
    item->lane->tokens += item->sequence.length;
    q->short_items += is_short(q, item);
}

static void drop_empty_lanes(qv__queue *q) {
    qv__lane *l = q->turn;
    for (int64_t n = q->lanes; n > 0; n--) {
        qv__lane *next = l->next;
        if (is_empty(l)) drop_lane(q, l);
        l = next;
    }
}

bool qv__queue_add(qv__queue *q, qv__item *const *items, size_t count) {
    size_t deadlines = 0;
    for (size_t i = 0; i < count; i++) deadlines += items[i]->deadline_ns != 0;
    if (!heap_reserve(q, deadlines)) return false;
    for (size_t i = 0; i < count; i++) {
        items[i]->lane = find_or_make_lane(q, items[i]->client);
        if (!items[i]->lane) return drop_empty_lanes(q), false;
    }
    for (size_t i = 0; i < count; i++) link_item(q, items[i]);
    return true;
}

void qv__queue_remove(qv__queue *q, qv__item *item) {
    list *l = &item->lane->lists[is_short(q, item)];
    *(item->previous ? &item->previous->next : &l->first) = item->next;
    *(item->next ? &item->next->previous : &l->last) = item->previous;
    heap_remove(q, item);
    q->items--;
    item->lane->items--;
    q->tokens -= item->sequence.length;
    item->lane->tokens -= item->sequence.length;
    q->short_items -= is_short(q, item);
    if (is_empty(item->lane)) drop_lane(q, item->lane);
    item->lane = NULL;
}

void qv__queue_count_client(const qv__queue *q, uint64_t client, int64_t *items, int64_t *tokens) {
    const qv__lane *l = find_lane(q, client);
    *items = l ? l->items : 0;
    *tokens = l ? l->tokens : 0;
}

qv__item *qv__queue_take_client(qv__queue *q, uint64_t client) {
    const qv__lane *l = find_lane(q, client);
    if (!l) return NULL;
    qv__item *item = l->lists[0].first ? l->lists[0].first : l->lists[1].first;
    qv__queue_remove(q, item);
    return item;
}

qv__item *qv__queue_peek(qv__queue *q, bool short_only) {
    if (short_only) {
        if (q->short_items == 0) return NULL;
        while (!q->turn->lists[1].first) qv__queue_skip(q);
        return q->turn->lists[1].first;
    }
    if (!q->turn) return NULL;
    qv__item *a = q->turn->lists[0].first, *b = q->turn->lists[1].first;
    return !a ? b : !b || a->order < b->order ? a : b;
}

void qv__queue_take(qv__queue *q, qv__item *item) {
    qv__queue_skip(q); /* first: the lane may go with its last item */
    qv__queue_remove(q, item);
}

void qv__queue_skip(qv__queue *q) {
    q->turn = q->turn->next;
}
