#include "text/added.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/unicode.h"

enum { TOKEN_MAX = 4096, COUNT_MAX = 1 << 17 };

qv_status qv__added_push(qv__added *a, const char *text, size_t size, const qv__added_token *flags, qv_error *err) {
    if (size == 0) return QV_OK; /* the reference ignores it */
    size_t bad = qv__utf8_valid_prefix(text, size);
    if (size > TOKEN_MAX || bad != size || a->count >= COUNT_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens: %s",
                        bad != size ? "content is not valid UTF-8"
                                    : "more than 131072 of them, or content over 4096 bytes");
    if (a->count == a->capacity) {
        size_t capacity = a->capacity ? a->capacity * 2 : 32;
        qv__added_token *tokens = qv__realloc(a->tokens, capacity * sizeof *tokens);
        if (!tokens) return qv__fail(err, QV_NO_MEMORY, "out of memory for the added tokens");
        a->tokens = tokens;
        a->capacity = capacity;
    }
    qv__added_token *t = &a->tokens[a->count];
    *t = *flags;
    t->size = size;
    t->text = qv__strndup(text, size);
    if (!t->text) return qv__fail(err, QV_NO_MEMORY, "out of memory for the added tokens");
    a->count++;
    return QV_OK;
}

void qv__added_clear(qv__added *a) {
    for (size_t i = 0; i < a->count; i++) qv__free(a->tokens[i].text);
    qv__free(a->tokens);
    *a = (qv__added){0};
}

const qv__added_token *qv__added_find(const qv__added *a, const char *text, size_t size) {
    for (size_t i = 0; i < a->count; i++)
        if (a->tokens[i].size == size && memcmp(a->tokens[i].text, text, size) == 0) return &a->tokens[i];
    return NULL;
}

const qv__added_token *qv__added_by_id(const qv__added *a, int32_t id) {
    for (size_t i = 0; i < a->count; i++)
        if (a->tokens[i].id == id) return &a->tokens[i];
    return NULL;
}

static int by_text(const void *x, const void *y) {
    const qv__added_token *a = *(const qv__added_token *const *)x, *b = *(const qv__added_token *const *)y;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : a->size < b->size ? -1 : a->size > b->size;
}

qv_status qv__matcher_make(qv__matcher *m, qv__added *a, bool normalized, qv_error *err) {
    m->tokens = qv__alloc_array(a->count + 1, sizeof *m->tokens);
    if (!m->tokens) return qv__fail(err, QV_NO_MEMORY, "out of memory for the added tokens");
    for (size_t i = 0; i < a->count; i++) {
        if (a->tokens[i].normalized != normalized) continue;
        m->tokens[m->count++] = &a->tokens[i];
        m->starts[(unsigned char)a->tokens[i].text[0]] = true;
    }
    qsort(m->tokens, m->count, sizeof *m->tokens, by_text);
    for (size_t i = 1; i < m->count; i++)
        if (by_text(&m->tokens[i - 1], &m->tokens[i]) == 0)
            return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens: \"%.100s\" is there twice", m->tokens[i]->text);
    return QV_OK;
}

void qv__matcher_clear(qv__matcher *m) {
    qv__free(m->tokens);
    *m = (qv__matcher){0};
}

/* First index in [low, high) whose byte at `depth` is at least `byte`. Tokens that end before depth come first. */
static size_t lower(const qv__matcher *m, size_t low, size_t high, size_t depth, int byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const qv__added_token *t = m->tokens[middle];
        int c = depth < t->size ? (unsigned char)t->text[depth] : -1;
        if (c < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that the text begins with. */
static const qv__added_token *longest_at(const qv__matcher *m, const char *text, size_t size) {
    const qv__added_token *best = NULL;
    size_t low = 0, high = m->count;
    for (size_t depth = 0; depth < size && low < high; depth++) {
        int byte = (unsigned char)text[depth];
        low = lower(m, low, high, depth, byte);
        high = lower(m, low, high, depth, byte + 1);
        if (low < high && m->tokens[low]->size == depth + 1) best = m->tokens[low];
    }
    return best;
}

static bool word_before(const char *text, size_t at) {
    size_t start = at, length;
    if (at == 0) return false;
    do start--;
    while (start > 0 && ((unsigned char)text[start] & 0xC0) == 0x80);
    return qv__is_word(qv__utf8_decode(text + start, at - start, &length));
}

static bool word_after(const char *text, size_t at, size_t size) {
    size_t length;
    return at < size && qv__is_word(qv__utf8_decode(text + at, size - at, &length));
}

/* Start of the white space that ends at `at`, not before `cut`. */
static size_t spaces_before(const char *text, size_t at, size_t cut) {
    while (at > cut) {
        size_t start = at, length;
        do start--;
        while (start > cut && ((unsigned char)text[start] & 0xC0) == 0x80);
        if (!qv__is_space(qv__utf8_decode(text + start, at - start, &length))) break;
        at = start;
    }
    return at;
}

static size_t spaces_after(const char *text, size_t at, size_t size) {
    for (size_t length; at < size; at += length)
        if (!qv__is_space(qv__utf8_decode(text + at, size - at, &length))) break;
    return at;
}

bool qv__matcher_next(const qv__matcher *m, const char *text, size_t size, size_t from, size_t cut, qv__match *out,
                      size_t *next) {
    if (m->count == 0) return false;
    for (size_t i = from; i < size; i++) {
        if (!m->starts[(unsigned char)text[i]]) continue;
        const qv__added_token *t = longest_at(m, text + i, size - i);
        if (!t) continue;
        size_t end = i + t->size;
        if (t->single_word && (word_before(text, i) || word_after(text, end, size))) {
            i = end - 1; /* a rejected match is passed over whole, as the reference does */
            continue;
        }
        *next = end;
        out->token = t;
        out->start = t->lstrip && i > cut ? spaces_before(text, i, cut) : i;
        out->end = t->rstrip ? spaces_after(text, end, size) : end;
        return true;
    }
    return false;
}
