/* Vocabulary and merge table of a byte-level BPE model, packed: token bytes in one pool, two open-addressing tables.
 * For Qwen3 (151,643 tokens, 151,387 merges) about 8 MB.
 *
 * tokenizer.json writes a token's bytes as printable characters (each byte has one); they are turned back into
 * bytes here, so encoding never sees that alphabet. A token with other characters ("literal") can never come out of
 * the merges; it is kept for look-ups by name. */
#ifndef QVEC_TEXT_VOCAB_H
#define QVEC_TEXT_VOCAB_H

#include "base/memory.h"
#include "text/scan.h"

enum { QV__VOCAB_ID_MAX = 1 << 22 };

typedef struct {
    uint32_t offset; /* in pool */
    uint32_t size : 30;
    uint32_t literal : 1; /* text outside the byte alphabet */
    uint32_t present : 1;
} qv__token;

typedef struct {
    uint64_t pair; /* left id << 32 | right id; ~0: free */
    uint32_t rank;
    int32_t id;
} qv__merge;

typedef struct {
    qv__buffer pool;
    qv__token *tokens; /* [size] */
    int32_t size, capacity;
    uint32_t *slots;   /* id + 1; 0: free */
    size_t slot_count; /* power of two */
    qv__merge *merges;
    size_t merge_count, merge_slots;
    int32_t byte_ids[256];
} qv__vocab;

void qv__vocab_clear(qv__vocab *v);

/* Adds every entry of a JSON object {"token": id, ...}. */
qv_status qv__vocab_read(qv__vocab *v, qv__scan *s);
/* Adds the merges of a JSON array of ["a","b"] or "a b", in rank order. */
qv_status qv__vocab_read_merges(qv__vocab *v, qv__scan *s);
/* The same from merges.txt: "#version" lines are passed over. */
qv_status qv__vocab_read_merges_text(qv__vocab *v, const char *text, size_t size, const char *what, qv_error *err);

int32_t qv__vocab_find(const qv__vocab *v, const char *bytes, size_t size, bool literal); /* -1: absent */
int32_t qv__vocab_find_name(const qv__vocab *v, const char *name, size_t size);           /* as written in the file */

/* The merge of two neighbours; NULL: none. */
static inline const qv__merge *qv__vocab_merge(const qv__vocab *v, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, h = pair * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(h >> 32) & (v->merge_slots - 1);; i = (i + 1) & (v->merge_slots - 1)) {
        if (v->merges[i].pair == pair) return &v->merges[i];
        if (v->merges[i].pair == UINT64_MAX) return NULL;
    }
}
#endif
