/* Added tokens: fixed strings that are cut out of the text before (or, with "normalized", after) NFC. Matching is
 * leftmost-longest, as the reference's Aho-Corasick automaton is set up.
 *
 * The strings are sorted; at each position that can start one, the range of candidates is narrowed byte by byte. A
 * byte map passes over all other positions, so plain text costs one look-up per byte, and the worst case is
 * text size times longest token. */
#ifndef QVEC_TEXT_ADDED_H
#define QVEC_TEXT_ADDED_H

#include "base/memory.h"
#include "qvec/qvec.h"

typedef struct {
    char *text;
    size_t size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} qv__added_token;

typedef struct {
    qv__added_token *tokens; /* sorted by bytes once `seal` was called */
    size_t count, capacity;
} qv__added;

/* One half of them (normalized or not), ready for matching. */
typedef struct {
    const qv__added_token **tokens;
    size_t count;
    bool starts[256];
} qv__matcher;

typedef struct {
    size_t start, end; /* what is cut out: with lstrip/rstrip more than the token itself */
    const qv__added_token *token;
} qv__match;

qv_status qv__added_push(qv__added *a, const char *text, size_t size, const qv__added_token *flags, qv_error *err);
void qv__added_clear(qv__added *a);
const qv__added_token *qv__added_find(const qv__added *a, const char *text, size_t size); /* NULL: absent */
const qv__added_token *qv__added_by_id(const qv__added *a, int32_t id);

qv_status qv__matcher_make(qv__matcher *m, qv__added *a, bool normalized, qv_error *err);
void qv__matcher_clear(qv__matcher *m);
/* The next token at or behind `from`; false: none. `cut` is where the last match ended (lstrip goes no further back);
 * `next` gets the position to go on from. */
bool qv__matcher_next(const qv__matcher *m, const char *text, size_t size, size_t from, size_t cut, qv__match *out,
                      size_t *next);
#endif
