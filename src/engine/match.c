#include "engine/match.h"

#include <string.h>

#include "base/memory.h"

enum { BLOCK = 64 };

/* First index below n where a and b differ, n when nowhere. */
static int32_t differ(const int32_t *a, const int32_t *b, int32_t n) {
    int32_t i = 0;
    while (i + BLOCK <= n && memcmp(a + i, b + i, BLOCK * sizeof *a) == 0) i += BLOCK;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

static int compare_runs(const qv__vision_run *a, const qv__vision_run *b) {
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    if (a->width != b->width) return a->width < b->width ? -1 : 1;
    return memcmp(a->key, b->key, sizeof a->key);
}

/* First token below n where the runs of a and b differ; ids and positions are equal up to n. */
static int32_t differ_runs(const qv__sequence *a, const qv__sequence *b, int32_t n) {
    for (int k = 0;; k++) {
        int32_t in_a = k < a->run_count ? a->runs[k].first_token : n;
        int32_t in_b = k < b->run_count ? b->runs[k].first_token : n;
        int32_t first = in_a < in_b ? in_a : in_b;
        if (first >= n) return n;
        if (in_a != in_b || compare_runs(&a->runs[k], &b->runs[k])) return first;
    }
}

/* The first token that is not the same in both: its id, or what run begins there. */
static int32_t differ_in_content(const qv__sequence *a, const qv__sequence *b) {
    return differ_runs(a, b, differ(a->ids, b->ids, a->length < b->length ? a->length : b->length));
}

/* The first token below n whose position differs on an axis. */
static int32_t differ_in_position(const qv__sequence *a, const qv__sequence *b, int32_t n) {
    for (size_t axis = 0; axis < 3; axis++)
        n = differ(a->positions + axis * (size_t)a->length, b->positions + axis * (size_t)b->length, n);
    return n;
}

/* A run's tokens all have the pad's id, and another id (the end of vision) follows. */
static int32_t run_end(const qv__sequence *s, int run) {
    int32_t i = s->runs[run].first_token, pad = s->ids[i];
    int32_t stop = run + 1 < s->run_count ? s->runs[run + 1].first_token : s->length;
    while (i < stop && s->ids[i] == pad) i++;
    return i;
}

int32_t qv__sequence_cut(const qv__sequence *s, int32_t length) {
    for (int run = s->run_count - 1; run >= 0; run--) {
        int32_t first = s->runs[run].first_token;
        if (first < length) return length < run_end(s, run) ? first : length;
    }
    return length;
}

int32_t qv__sequence_match(const qv__sequence *a, const qv__sequence *b) {
    int32_t n = differ_in_position(a, b, differ_in_content(a, b));
    return qv__sequence_cut(a, qv__sequence_cut(b, n));
}

static const qv__vision_run *run_at(const qv__sequence *s, int32_t token) {
    for (int k = 0; k < s->run_count && s->runs[k].first_token <= token; k++)
        if (s->runs[k].first_token == token) return &s->runs[k];
    return NULL;
}

/* Positions follow from ids and runs in every prompt that prep/ makes, so they decide last, and are rarely read. */
int qv__sequence_order(const qv__sequence *a, const qv__sequence *b) {
    int32_t i = differ_in_content(a, b);
    if (i < a->length && i < b->length) {
        if (a->ids[i] != b->ids[i]) return a->ids[i] < b->ids[i] ? -1 : 1;
        const qv__vision_run *run_a = run_at(a, i), *run_b = run_at(b, i);
        return run_a && run_b ? compare_runs(run_a, run_b) : (run_a != NULL) - (run_b != NULL);
    }
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    for (size_t axis = 0; axis < 3; axis++) {
        const int32_t *p = a->positions + axis * (size_t)a->length, *q = b->positions + axis * (size_t)b->length;
        int32_t k = differ(p, q, a->length);
        if (k < a->length) return p[k] < q[k] ? -1 : 1;
    }
    return 0;
}

/* ---- copies ---- */

static int runs_before(const qv__sequence *s, int32_t length) {
    int count = 0;
    while (count < s->run_count && s->runs[count].first_token < length) count++;
    return count;
}

size_t qv__sequence_copy_bytes(const qv__sequence *s, int32_t length) {
    return (size_t)runs_before(s, length) * sizeof *s->runs + 4 * (size_t)length * sizeof *s->ids;
}

bool qv__sequence_copy(const qv__sequence *s, int32_t length, qv__sequence *out, void **block) {
    size_t n = (size_t)length;
    int runs = runs_before(s, length);
    qv__vision_run *to = qv__malloc(qv__sequence_copy_bytes(s, length));
    if (!to) return false;
    *block = to;
    *out = (qv__sequence){.ids = (int32_t *)(to + runs), .length = length, .runs = to, .run_count = runs};
    out->positions = out->ids + n;
    for (int k = 0; k < runs; k++) {
        to[k] = s->runs[k];
        to[k].frame[0] = to[k].frame[1] = NULL;
    }
    memcpy(out->ids, s->ids, n * sizeof *s->ids);
    for (size_t axis = 0; axis < 3; axis++)
        memcpy(out->positions + axis * n, s->positions + axis * (size_t)s->length, n * sizeof *s->ids);
    return true;
}

/* ---- the sorted set ---- */

size_t qv__sequence_set_place(const qv__sequence_set *set, const qv__sequence *s) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (qv__sequence_order(set->at[middle], s) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool qv__sequence_set_add(qv__sequence_set *set, const qv__sequence *s) {
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 64;
        const qv__sequence **at = qv__realloc(set->at, capacity * sizeof *at);
        if (!at) return false;
        set->at = at;
        set->capacity = capacity;
    }
    size_t place = qv__sequence_set_place(set, s);
    memmove(set->at + place + 1, set->at + place, (set->count - place) * sizeof *set->at);
    set->at[place] = s;
    set->count++;
    return true;
}

void qv__sequence_set_remove(qv__sequence_set *set, const qv__sequence *s) {
    size_t place = qv__sequence_set_place(set, s);
    while (set->at[place] != s) place++; /* equals stand together */
    set->count--;
    memmove(set->at + place, set->at + place + 1, (set->count - place) * sizeof *set->at);
}

void qv__sequence_set_clear(qv__sequence_set *set) {
    qv__free(set->at);
    *set = (qv__sequence_set){0};
}
