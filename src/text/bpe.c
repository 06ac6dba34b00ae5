/* Byte-pair encoding: again and again merge the pair of neighbours with the lowest rank, the leftmost of equals.
 *
 * Short pieces (nearly all) look for the lowest rank among at most SHORT of them. Long ones keep a heap of
 * (rank, position) over a linked list: n log n, so a piece of a megabyte is no problem. An entry of the heap is stale
 * when the pair at its position has another rank by now. */
#include <string.h>

#include "base/error.h"
#include "text/internal.h"

enum { SHORT = 32, NONE = -1 };
#define NO_RANK UINT32_MAX

static uint32_t rank_of(const qv__vocab *v, int32_t left, int32_t right, int32_t *id) {
    const qv__merge *m = qv__vocab_merge(v, left, right);
    if (!m) return NO_RANK;
    *id = m->id;
    return m->rank;
}

static qv_status push_all(qv__ids *out, const int32_t *ids, size_t n, qv_error *err) {
    for (size_t i = 0; i < n; i++) {
        qv_status status = qv__ids_push(out, ids[i], err);
        if (status) return status;
    }
    return QV_OK;
}

/* ids[n], n <= SHORT; returns how many are left. ranks[i], merged[i]: of the pair (i, i+1). */
static size_t merge_short(const qv__vocab *v, int32_t *ids, size_t n) {
    uint32_t ranks[SHORT];
    int32_t merged[SHORT];
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(v, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NO_RANK) break;
        ids[best] = merged[best];
        size_t behind = n - best - 2; /* elements behind the pair */
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        memmove(ranks + best, ranks + best + 1, behind * sizeof *ranks);
        memmove(merged + best, merged + best + 1, behind * sizeof *merged);
        n--;
        if (best > 0) ranks[best - 1] = rank_of(v, ids[best - 1], ids[best], &merged[best - 1]);
        if (best + 1 < n) ranks[best] = rank_of(v, ids[best], ids[best + 1], &merged[best]);
    }
    return n;
}

typedef struct {
    const qv__vocab *vocab;
    uint64_t *heap; /* [2n] rank << 32 | position */
    size_t heap_size;
    int32_t *ids, *previous, *next; /* [n] */
    uint32_t *ranks;                /* [n] of the pair that starts here */
} long_piece;

static void heap_push(long_piece *p, uint64_t key) {
    size_t i = p->heap_size++;
    for (; i > 0 && p->heap[(i - 1) / 2] > key; i = (i - 1) / 2) p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = key;
}

static void sift_down(long_piece *p, size_t i) {
    uint64_t key = p->heap[i];
    for (size_t child; (child = 2 * i + 1) < p->heap_size; i = child) {
        if (child + 1 < p->heap_size && p->heap[child + 1] < p->heap[child]) child++;
        if (p->heap[child] >= key) break;
        p->heap[i] = p->heap[child];
    }
    p->heap[i] = key;
}

static uint64_t heap_pop(long_piece *p) {
    uint64_t top = p->heap[0];
    p->heap[0] = p->heap[--p->heap_size];
    if (p->heap_size) sift_down(p, 0);
    return top;
}

/* Ranks the pair at i anew; true when it can merge. */
static bool update(long_piece *p, int32_t i) {
    int32_t id;
    p->ranks[i] = p->next[i] == NONE ? NO_RANK : rank_of(p->vocab, p->ids[i], p->ids[p->next[i]], &id);
    return p->ranks[i] != NO_RANK;
}

static void merge_at(long_piece *p, int32_t i) {
    int32_t gone = p->next[i], id = NONE;
    rank_of(p->vocab, p->ids[i], p->ids[gone], &id);
    p->ids[i] = id;
    p->next[i] = p->next[gone];
    p->ranks[gone] = NO_RANK;
    if (p->next[i] != NONE) p->previous[p->next[i]] = i;
    if (update(p, i)) heap_push(p, (uint64_t)p->ranks[i] << 32 | (uint32_t)i);
    int32_t before = p->previous[i];
    if (before != NONE && update(p, before)) heap_push(p, (uint64_t)p->ranks[before] << 32 | (uint32_t)before);
}

static void merge_long(long_piece *p, const char *text, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        p->ids[i] = p->vocab->byte_ids[(unsigned char)text[i]];
        p->previous[i] = i - 1;
        p->next[i] = i + 1 < n ? i + 1 : NONE;
    }
    for (int32_t i = 0; i < n; i++)
        if (update(p, i)) p->heap[p->heap_size++] = (uint64_t)p->ranks[i] << 32 | (uint32_t)i;
    for (size_t i = p->heap_size / 2; i-- > 0;) sift_down(p, i);
    while (p->heap_size) {
        uint64_t top = heap_pop(p);
        int32_t i = (int32_t)(uint32_t)top;
        if (p->ranks[i] == (uint32_t)(top >> 32)) merge_at(p, i);
    }
}

static qv_status bpe_long(const qv__vocab *v, const char *text, size_t size, qv__ids *out, qv_error *err) {
    if (size > INT32_MAX / 2) return qv__fail(err, QV_TOO_LARGE, "a word of %zu bytes cannot be tokenised", size);
    /* One block: heap [2n] of 8 bytes, four arrays [n] of 4. */
    char *block = qv__alloc_array(size, 2 * sizeof(uint64_t) + 4 * sizeof(int32_t));
    if (!block) return qv__fail(err, QV_NO_MEMORY, "out of memory for a word of %zu bytes", size);
    long_piece p = {.vocab = v, .heap = (uint64_t *)block};
    p.ids = (int32_t *)(p.heap + 2 * size);
    p.previous = p.ids + size;
    p.next = p.previous + size;
    p.ranks = (uint32_t *)(p.next + size);
    merge_long(&p, text, (int32_t)size);
    qv_status status = QV_OK;
    for (int32_t i = 0; i != NONE && !status; i = p.next[i]) status = qv__ids_push(out, p.ids[i], err);
    qv__free(block);
    return status;
}

qv_status qv__bpe(const qv__tokenizer *t, const char *text, size_t size, qv__ids *out, qv_error *err) {
    const qv__vocab *v = &t->vocab;
    if (t->ignore_merges) {
        int32_t id = qv__vocab_find(v, text, size, false);
        if (id >= 0) return qv__ids_push(out, id, err);
    }
    if (size > SHORT) return bpe_long(v, text, size, out, err);
    int32_t ids[SHORT];
    for (size_t i = 0; i < size; i++) ids[i] = v->byte_ids[(unsigned char)text[i]];
    return push_all(out, ids, merge_short(v, ids, size), err);
}
