#include "text/vocab.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/utf8.h"

/* A chain of this many occupied slots does not happen by chance; it would make look-ups slow. */
enum { PROBE_MAX = 4096, TOKEN_MAX = 1 << 16, MERGE_MAX = 1 << 22 };

void qv__vocab_clear(qv__vocab *v) {
    qv__buffer_clear(&v->pool);
    qv__free(v->tokens);
    qv__free(v->slots);
    qv__free(v->merges);
    *v = (qv__vocab){0};
}

/* The byte that a character of the byte alphabet stands for, or -1. Bytes that print stand for themselves, the
 * other 68 are U+0100 and on, in order. */
static int byte_of(uint32_t c) {
    if ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF)) return (int)c;
    if (c < 0x100 || c >= 0x144) return -1;
    int n = (int)c - 0x100;
    return n < 0x21 ? n : n < 0x21 + 0x22 ? n - 0x21 + 0x7F : 0xAD;
}

/* Undoes the byte alphabet; false when some character is not of it. `out` has room for size bytes. */
static bool to_bytes(const char *text, size_t size, char *out, size_t *out_size) {
    size_t n = 0, length;
    for (size_t i = 0; i < size; i += length) {
        int byte = byte_of(qv__utf8_decode(text + i, size - i, &length));
        if (byte < 0) return false;
        out[n++] = (char)byte;
    }
    *out_size = n;
    return true;
}

static uint64_t hash_of(const char *bytes, size_t size) {
    uint64_t h = size * 0x9E3779B97F4A7C15u, word;
    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        h = (h ^ word) * 0x9FB21C651E98DF25u;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, bytes, size);
    return qv__mix64(h ^ word);
}

static bool token_is(const qv__vocab *v, int32_t id, const char *bytes, size_t size, bool literal) {
    const qv__token *t = &v->tokens[id];
    return t->size == size && t->literal == literal && memcmp(v->pool.data + t->offset, bytes, size) == 0;
}

/* The slot of these bytes or the free one where they would go; SIZE_MAX: too many collisions. */
static size_t find_slot(const qv__vocab *v, const char *bytes, size_t size, bool literal) {
    size_t mask = v->slot_count - 1, i = (size_t)hash_of(bytes, size) & mask;
    for (int probe = 0; probe < PROBE_MAX; probe++, i = (i + 1) & mask)
        if (v->slots[i] == 0 || token_is(v, (int32_t)v->slots[i] - 1, bytes, size, literal)) return i;
    return SIZE_MAX;
}

int32_t qv__vocab_find(const qv__vocab *v, const char *bytes, size_t size, bool literal) {
    size_t slot = v->slot_count ? find_slot(v, bytes, size, literal) : SIZE_MAX;
    return slot == SIZE_MAX ? -1 : (int32_t)v->slots[slot] - 1;
}

int32_t qv__vocab_find_name(const qv__vocab *v, const char *name, size_t size) {
    char bytes[TOKEN_MAX];
    size_t n;
    if (size > sizeof bytes) return -1;
    if (!to_bytes(name, size, bytes, &n)) return qv__vocab_find(v, name, size, true);
    return qv__vocab_find(v, bytes, n, false);
}

static bool grow_slots(qv__vocab *v, size_t count) {
    size_t want = v->slot_count ? v->slot_count : 1024;
    while (want / 2 < count) want *= 2;
    if (want == v->slot_count) return true;
    uint32_t *slots = qv__calloc(want, sizeof *slots);
    if (!slots) return false;
    qv__free(v->slots);
    v->slots = slots;
    v->slot_count = want;
    for (int32_t id = 0; id < v->size; id++) {
        const qv__token *t = &v->tokens[id];
        size_t slot = t->present ? find_slot(v, v->pool.data + t->offset, t->size, t->literal) : SIZE_MAX;
        if (slot != SIZE_MAX) v->slots[slot] = (uint32_t)id + 1;
    }
    return true;
}

static bool grow_tokens(qv__vocab *v, int32_t size) {
    if (size > v->capacity) {
        int32_t capacity = v->capacity ? v->capacity : 1024;
        while (capacity < size) capacity *= 2;
        qv__token *tokens = qv__realloc(v->tokens, (size_t)capacity * sizeof *tokens);
        if (!tokens) return false;
        memset(tokens + v->capacity, 0, (size_t)(capacity - v->capacity) * sizeof *tokens);
        v->tokens = tokens;
        v->capacity = capacity;
    }
    if (size > v->size) v->size = size;
    return true;
}

static qv_status add_token(qv__vocab *v, qv__scan *s, qv__span name, int64_t id, size_t *count) {
    if (id >= QV__VOCAB_ID_MAX || id > (int64_t)*count * 4 + 65536)
        return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: the vocabulary's id %lld is far above its %zu entries", s->what,
                        (long long)id, *count);
    if (name.size > TOKEN_MAX || qv__utf8_valid_prefix(name.data, name.size) != name.size)
        return qv__scan_fail(s, "a token of valid UTF-8, at most 64 KiB");
    if (!qv__buffer_reserve(&v->pool, name.size + 1) || v->pool.size > UINT32_MAX / 2 ||
        !grow_tokens(v, (int32_t)id + 1) || !grow_slots(v, *count + 1))
        return qv__fail(s->err, QV_NO_MEMORY, "%s: out of memory for the vocabulary", s->what);
    char *bytes = v->pool.data + v->pool.size;
    size_t size = name.size;
    bool literal = !to_bytes(name.data, name.size, bytes, &size);
    if (literal) memcpy(bytes, name.data, size);
    qv__token *t = &v->tokens[id];
    size_t slot = find_slot(v, bytes, size, literal);
    if (t->present || slot == SIZE_MAX || v->slots[slot])
        return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: the vocabulary has %s %lld twice", s->what,
                        t->present ? "the id" : "the token of id", (long long)id);
    *t = (qv__token){(uint32_t)v->pool.size, (uint32_t)size, literal, 1};
    v->pool.size += size;
    v->slots[slot] = (uint32_t)id + 1;
    ++*count;
    return QV_OK;
}

/* Upper bound for the number of entries, so that the table is made once. */
static size_t count_commas(const qv__scan *s) {
    size_t n = 1;
    for (const char *p = s->at; p < s->end && (p = memchr(p, ':', (size_t)(s->end - p))); p++) n++;
    return n < QV__VOCAB_ID_MAX ? n : QV__VOCAB_ID_MAX;
}

qv_status qv__vocab_read(qv__vocab *v, qv__scan *s) {
    size_t count = 0;
    bool first = true, more;
    if (!grow_slots(v, count_commas(s))) return qv__fail(s->err, QV_NO_MEMORY, "out of memory for the vocabulary");
    qv_status status = qv__scan_expect(s, '{');
    while (!status && !(status = qv__scan_next(s, '}', &first, &more)) && more) {
        qv__span name;
        int64_t id;
        status = qv__scan_key(s, &name);
        if (!status) status = qv__scan_integer(s, &id);
        if (!status) status = add_token(v, s, name, id, &count);
    }
    if (status) return status;
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        v->byte_ids[b] = qv__vocab_find(v, &byte, 1, false);
        if (v->byte_ids[b] < 0)
            return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: the vocabulary has no token for the byte 0x%02X", s->what,
                            (unsigned)b);
    }
    return QV_OK;
}

/* ---- merges ---- */

static bool make_merge_table(qv__vocab *v, size_t count) {
    size_t slots = 1024;
    while (slots * 2 / 3 < count) slots *= 2;
    v->merges = qv__alloc_array(slots, sizeof *v->merges);
    if (!v->merges) return false;
    memset(v->merges, 0xFF, slots * sizeof *v->merges);
    v->merge_slots = slots;
    return true;
}

/* Adds one merge. Ids of merges mostly follow each other, so the one behind the last is tried before the table. */
static qv_status add_merge(qv__vocab *v, qv__span left, qv__span right, const char *what, int32_t *last,
                           qv_error *err) {
    char joined[2 * 1024];
    size_t sizes[2];
    if (left.size == 0 || right.size == 0 || left.size > 1024 || right.size > 1024 ||
        !to_bytes(left.data, left.size, joined, &sizes[0]) ||
        !to_bytes(right.data, right.size, joined + sizes[0], &sizes[1]))
        return qv__fail(err, QV_BAD_CHECKPOINT, "%s: merge %zu is not two tokens of at most 1024 bytes", what,
                        v->merge_count);
    size_t size = sizes[0] + sizes[1];
    int32_t a = qv__vocab_find(v, joined, sizes[0], false), b = qv__vocab_find(v, joined + sizes[0], sizes[1], false);
    int32_t id = *last + 1;
    if (id >= v->size || !v->tokens[id].present || !token_is(v, id, joined, size, false))
        id = qv__vocab_find(v, joined, size, false);
    if (a < 0 || b < 0 || id < 0)
        return qv__fail(err, QV_BAD_CHECKPOINT, "%s: merge %zu names a token that the vocabulary lacks", what,
                        v->merge_count);
    *last = id;
    uint64_t pair = (uint64_t)(uint32_t)a << 32 | (uint32_t)b, h = pair * 0x9E3779B97F4A7C15u;
    size_t mask = v->merge_slots - 1, i = (size_t)(h >> 32) & mask;
    for (int probe = 0; v->merges[i].pair != UINT64_MAX && v->merges[i].pair != pair; i = (i + 1) & mask)
        if (++probe == PROBE_MAX) return qv__fail(err, QV_BAD_CHECKPOINT, "%s: the merges collide", what);
    v->merges[i] = (qv__merge){pair, (uint32_t)v->merge_count++, id}; /* a pair given twice has its last rank */
    return QV_OK;
}

/* "a b": exactly one space. */
static bool split_pair(qv__span line, qv__span *left, qv__span *right) {
    const char *space = memchr(line.data, ' ', line.size);
    if (!space) return false;
    *left = (qv__span){line.data, (size_t)(space - line.data)};
    *right = (qv__span){space + 1, line.size - left->size - 1};
    return !memchr(right->data, ' ', right->size);
}

static qv_status read_merge(qv__vocab *v, qv__scan *s, int32_t *last) {
    qv__span left, right;
    char first[1024];
    qv_status status;
    if (qv__scan_peek(s) == '[') {
        if ((status = qv__scan_expect(s, '[')) || (status = qv__scan_string(s, &left))) return status;
        if (left.size > sizeof first) return qv__scan_fail(s, "a shorter token");
        memcpy(first, left.data, left.size);
        left.data = first;
        if ((status = qv__scan_expect(s, ',')) || (status = qv__scan_string(s, &right)) ||
            (status = qv__scan_expect(s, ']')))
            return status;
    } else {
        qv__span line;
        if ((status = qv__scan_string(s, &line))) return status;
        if (!split_pair(line, &left, &right)) return qv__scan_fail(s, "a merge of two tokens before this point");
    }
    if (v->merge_count >= MERGE_MAX) return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: too many merges", s->what);
    return add_merge(v, left, right, s->what, last, s->err);
}

qv_status qv__vocab_read_merges(qv__vocab *v, qv__scan *s) {
    /* No merge is shorter than `"a b",`. */
    size_t bound = (size_t)(s->end - s->at) / 6 + 1, tokens = (size_t)v->size * 2;
    if (!make_merge_table(v, bound < tokens ? bound : tokens))
        return qv__fail(s->err, QV_NO_MEMORY, "out of memory for the merges");
    bool first = true, more;
    int32_t last = -1;
    qv_status status = qv__scan_expect(s, '[');
    while (!status && !(status = qv__scan_next(s, ']', &first, &more)) && more) {
        if (v->merge_count * 4 > v->merge_slots * 3)
            return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: more merges than the vocabulary allows", s->what);
        status = read_merge(v, s, &last);
    }
    return status;
}

qv_status qv__vocab_read_merges_text(qv__vocab *v, const char *text, size_t size, const char *what, qv_error *err) {
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    if (lines > MERGE_MAX) return qv__fail(err, QV_BAD_CHECKPOINT, "%s: too many merges", what);
    if (!make_merge_table(v, lines)) return qv__fail(err, QV_NO_MEMORY, "out of memory for the merges");
    size_t bad = qv__utf8_valid_prefix(text, size);
    if (bad != size) return qv__fail(err, QV_BAD_CHECKPOINT, "%s: not valid UTF-8 at byte %zu", what, bad);
    int32_t last = -1;
    for (const char *p = text, *end = text + size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        qv__span line = {p, (size_t)((stop ? stop : end) - p)}, left, right;
        p = stop ? stop + 1 : end;
        if (line.size && line.data[line.size - 1] == '\r') line.size--;
        if (line.size == 0 || (line.size >= 8 && memcmp(line.data, "#version", 8) == 0)) continue;
        if (!split_pair(line, &left, &right))
            return qv__fail(err, QV_BAD_CHECKPOINT, "%s: line behind merge %zu is not two tokens", what,
                            v->merge_count);
        qv_status status = add_merge(v, left, right, what, &last, err);
        if (status) return status;
    }
    return QV_OK;
}
