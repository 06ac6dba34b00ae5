#include "bench/texts.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

enum { ROUNDS = 40, STARTS = 10 }; /* corrections of one text; texts begun anew before giving up */

/* Special tokens would mean something; control characters are refused by some servers. */
static bool may_be_drawn(const qv__tokenizer *t, int32_t id) {
    size_t size;
    const char *bytes = qv__tokenizer_bytes(t, id, &size);
    if (!bytes || !size || qv__tokenizer_is_special(t, id) || qv__utf8_valid_prefix(bytes, size) != size) return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7F) return false;
    return true;
}

qv_status qv__texts_open(const qv__tokenizer *tokenizer, qv__texts *out, qv_error *err) {
    int32_t size = qv__tokenizer_size(tokenizer);
    *out = (qv__texts){.tokenizer = tokenizer, .ids = qv__alloc_array((size_t)size, sizeof *out->ids)};
    if (!out->ids) return qv__fail(err, QV_NO_MEMORY, "out of memory for %d token ids", (int)size);
    for (int32_t id = 0; id < size; id++)
        if (may_be_drawn(tokenizer, id)) out->ids[out->count++] = id;
    if (out->count) return QV_OK;
    qv__texts_close(out);
    return qv__fail(err, QV_UNSUPPORTED, "the tokenizer has no token that a random text could be made of");
}

void qv__texts_close(qv__texts *texts) {
    qv__free(texts->ids);
    *texts = (qv__texts){0};
}

static void draw(const qv__texts *texts, qv__random *random, int64_t count, qv__buffer *text) {
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *bytes =
            qv__tokenizer_bytes(texts->tokenizer, texts->ids[qv__random_below(random, texts->count)], &size);
        qv__buffer_append(text, bytes, size);
    }
}

/* The text of the first `count` ids, without the character that the cut may have gone through. */
static void rewrite(const qv__texts *texts, const qv__ids *ids, int64_t count, qv__buffer *text) {
    text->size = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *bytes = qv__tokenizer_bytes(texts->tokenizer, ids->data[i], &size);
        if (bytes) qv__buffer_append(text, bytes, size);
    }
    text->size = qv__utf8_valid_prefix(text->data, text->size);
}

/* One start: *exact tells whether the text came out right. */
static qv_status try(const qv__texts *texts, qv__random *random, int64_t tokens, qv__buffer *text, bool *exact,
                     qv_error *err) {
    qv__ids ids = {0};
    qv_status status = QV_OK;
    for (int round = 0; round < ROUNDS && !status && !*exact; round++) {
        ids.size = 0;
        status = qv__tokenizer_encode(texts->tokenizer, text->data ? text->data : "", text->size, false, 0, &ids, err);
        int64_t missing = tokens - (int64_t)ids.size;
        *exact = !status && !missing;
        if (status || !missing) break;
        if (missing > 0)
            draw(texts, random, missing, text);
        else
            rewrite(texts, &ids, tokens, text);
        if (text->failed)
            status = qv__fail(err, QV_NO_MEMORY, "out of memory for a text of %lld tokens", (long long)tokens);
    }
    qv__ids_clear(&ids);
    return status;
}

qv_status qv__texts_make(const qv__texts *texts, qv__random *random, int64_t tokens, const char *head, qv__buffer *out,
                         qv_error *err) {
    if (tokens > QV__TEXT_TOKENS_MAX)
        return qv__fail(err, QV_TOO_LONG, "a random text of %lld tokens; at most %d", (long long)tokens,
                        QV__TEXT_TOKENS_MAX);
    qv__buffer text = {0};
    qv_status status = QV_OK;
    bool exact = false;
    for (int start = 0; start < STARTS && !status && !exact; start++) {
        text.size = 0;
        if (head) qv__buffer_puts(&text, head);
        status = try(texts, random, tokens, &text, &exact, err);
    }
    if (!status && !exact)
        status = qv__fail(err, QV_UNSUPPORTED, "no random text of exactly %lld tokens was found", (long long)tokens);
    if (!status && text.size && !qv__buffer_append(out, text.data, text.size))
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for a text of %lld tokens", (long long)tokens);
    qv__buffer_clear(&text);
    return status;
}
