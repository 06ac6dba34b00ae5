/* Allocation: one set of wrappers, so that a test can fail every allocation in turn, and an arena for
 * bytes that die together (a request, a batch).
 *
 * Every function gives NULL on failure or on a size that overflows; none aborts. */
#ifndef QVEC_BASE_MEMORY_H
#define QVEC_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *qv__malloc(size_t size);
void *qv__calloc(size_t count, size_t size);
void *qv__realloc(void *old, size_t size);
void *qv__alloc_array(size_t count, size_t size);       /* malloc(count*size), NULL on overflow */
void *qv__alloc_aligned(size_t size, size_t alignment); /* free with qv__free */
char *qv__strdup(const char *text);
char *qv__strndup(const char *text, size_t size); /* copies size bytes, adds a NUL */
void qv__free(void *block);

/* Test hook: the n-th allocation from now (1 = the next) fails, and every one after it when `forever`.
 * 0 switches the hook off. qv__alloc_count counts allocations since the last call. */
void qv__alloc_fail_at(uint64_t n, bool forever);
uint64_t qv__alloc_count(void);

/* An arena: allocations are 64-byte aligned, freed together. Not thread-safe. max bounds the total. */
typedef struct qv__arena {
    struct qv__arena_block *blocks;
    size_t used, max; /* bytes handed out; limit, 0 = none */
} qv__arena;

void *qv__arena_alloc(qv__arena *arena, size_t count, size_t size); /* uninitialised; NULL: overflow, limit, memory */
char *qv__arena_strndup(qv__arena *arena, const char *text, size_t size);
void qv__arena_clear(qv__arena *arena); /* frees all; the arena can be used again */

/* A growable byte buffer that never grows past max (0: no limit). Zero-initialise. After a failed append
 * `failed` stays set and further appends do nothing, so callers may check once at the end. */
typedef struct qv__buffer {
    char *data;
    size_t size, capacity, max;
    bool failed;
} qv__buffer;

bool qv__buffer_reserve(qv__buffer *b, size_t extra);
bool qv__buffer_append(qv__buffer *b, const void *data, size_t size);
bool qv__buffer_puts(qv__buffer *b, const char *text);
__attribute__((format(printf, 2, 3))) bool qv__buffer_printf(qv__buffer *b, const char *format, ...);
void qv__buffer_clear(qv__buffer *b); /* frees; keeps max */
#endif
