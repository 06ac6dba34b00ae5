/* What two prompts have in common: token ids, M-RoPE positions, and for pictures their keys and sizes.
 *
 * Keys and values of a prefix depend on exactly these, so they may be shared where these are equal. A common prefix
 * never ends inside a vision run: its tokens are told apart by the run's key alone, which stands at the first one. */
#ifndef QVEC_ENGINE_MATCH_H
#define QVEC_ENGINE_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "model/sequence.h"

/* Tokens that a and b both begin with. */
int32_t qv__sequence_match(const qv__sequence *a, const qv__sequence *b);
/* The longest prefix of at most `length` tokens that ends outside every vision run. */
int32_t qv__sequence_cut(const qv__sequence *s, int32_t length);
/* A total order, < 0, 0, > 0, in which the longest match of a prompt stands next to it (if positions follow from ids
 * and runs, as they do; else a shorter one may). */
int qv__sequence_order(const qv__sequence *a, const qv__sequence *b);

/* Content of the first `length` tokens, without pixels. One block holds the arrays: *block, freed with qv__free. */
bool qv__sequence_copy(const qv__sequence *s, int32_t length, qv__sequence *out, void **block);
size_t qv__sequence_copy_bytes(const qv__sequence *s, int32_t length);

/* A sorted set of prompts that belong to someone else. */
typedef struct {
    const qv__sequence **at; /* [count], in order */
    size_t count, capacity;
} qv__sequence_set;

size_t qv__sequence_set_place(const qv__sequence_set *set, const qv__sequence *s); /* first that is not before s */
bool qv__sequence_set_add(qv__sequence_set *set, const qv__sequence *s);           /* false: no memory */
void qv__sequence_set_remove(qv__sequence_set *set, const qv__sequence *s);        /* by address; must be in */
void qv__sequence_set_clear(qv__sequence_set *set);
#endif
