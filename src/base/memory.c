#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t allocations;
static _Atomic uint64_t fail_at;
static _Atomic bool fail_forever;

void qv__alloc_fail_at(uint64_t n, bool forever) {
    allocations = 0;
    fail_forever = forever;
    fail_at = n;
}

uint64_t qv__alloc_count(void) {
    return allocations;
}

static bool refuse(void) {
    uint64_t n = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return at != 0 && (n == at || (n > at && fail_forever));
}

void *qv__malloc(size_t size) {
    return refuse() ? NULL : malloc(size ? size : 1);
}
void *qv__calloc(size_t count, size_t size) {
    return refuse() ? NULL : calloc(count ? count : 1, size ? size : 1);
}
void *qv__realloc(void *old, size_t size) {
    return refuse() ? NULL : realloc(old, size ? size : 1);
}
void qv__free(void *block) {
    free(block);
}

void *qv__alloc_array(size_t count, size_t size) {
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : qv__malloc(total);
}

void *qv__alloc_aligned(size_t size, size_t alignment) {
    void *block = NULL;
    if (refuse() || posix_memalign(&block, alignment, size ? size : 1)) return NULL;
    return block;
}

char *qv__strndup(const char *text, size_t size) {
    if (size == SIZE_MAX) return NULL;
    char *copy = qv__malloc(size + 1);
    if (!copy) return NULL;
    if (size) memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

char *qv__strdup(const char *text) {
    return qv__strndup(text, strlen(text));
}

/* ---- arena: a list of blocks, newest first; each at least 64 KiB so that small requests need one ---- */

enum { ARENA_ALIGN = 64, ARENA_BLOCK = 1 << 16 };

struct qv__arena_block {
    struct qv__arena_block *next;
    size_t size, used;
    _Alignas(ARENA_ALIGN) char bytes[];
};

void *qv__arena_alloc(qv__arena *arena, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total) || total > SIZE_MAX / 2) return NULL;
    total = (total + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (total == 0) total = ARENA_ALIGN;
    if (arena->max && (total > arena->max || arena->used > arena->max - total)) return NULL;
    struct qv__arena_block *b = arena->blocks;
    if (!b || b->size - b->used < total) {
        size_t room = total > ARENA_BLOCK ? total : ARENA_BLOCK;
        b = qv__alloc_aligned(sizeof *b + room, ARENA_ALIGN);
        if (!b) return NULL;
        b->size = room;
        b->used = 0;
        b->next = arena->blocks;
        arena->blocks = b;
    }
    void *out = b->bytes + b->used;
    b->used += total;
    arena->used += total;
    return out;
}

char *qv__arena_strndup(qv__arena *arena, const char *text, size_t size) {
    char *copy = size == SIZE_MAX ? NULL : qv__arena_alloc(arena, size + 1, 1);
    if (!copy) return NULL;
    if (size) memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

void qv__arena_clear(qv__arena *arena) {
    while (arena->blocks) {
        struct qv__arena_block *next = arena->blocks->next;
        qv__free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}

/* ---- buffer ---- */

bool qv__buffer_reserve(qv__buffer *b, size_t extra) {
    if (b->failed) return false;
    size_t need;
    if (__builtin_add_overflow(b->size, extra, &need) || (b->max && need > b->max)) return b->failed = true, false;
    if (need <= b->capacity) return true;
    size_t room = b->capacity ? b->capacity : 256;
    while (room < need) room = room > SIZE_MAX / 2 ? need : room * 2;
    if (b->max && room > b->max) room = b->max;
    char *data = qv__realloc(b->data, room);
    if (!data) return b->failed = true, false;
    b->data = data;
    b->capacity = room;
    return true;
}

bool qv__buffer_append(qv__buffer *b, const void *data, size_t size) {
    if (!qv__buffer_reserve(b, size)) return false;
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

bool qv__buffer_puts(qv__buffer *b, const char *text) {
    return qv__buffer_append(b, text, strlen(text));
}

bool qv__buffer_printf(qv__buffer *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    bool ok = n >= 0 && qv__buffer_reserve(b, (size_t)n + 1);
    if (ok) {
        vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return ok;
}

void qv__buffer_clear(qv__buffer *b) {
    qv__free(b->data);
    b->data = NULL;
    b->size = b->capacity = 0;
    b->failed = false;
}
