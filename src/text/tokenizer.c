#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "store/checkpoint.h"
#include "store/file.h"
#include "text/internal.h"
#include "text/unicode.h"

enum { FILE_MAX = 256 << 20 };

/* ---- opening ---- */

qv_status qv__tokenizer_add_split(qv__tokenizer *t, const char *pattern, size_t size, bool literal, qv__split_keep keep,
                                  qv_error *err) {
    if (t->splitter_count == QV__SPLITTERS_MAX)
        return qv__fail(err, QV_UNSUPPORTED, "more than %d splits", QV__SPLITTERS_MAX);
    return qv__splitter_open(pattern, size, literal, keep, &t->splitters[t->splitter_count++], err);
}

/* Content of tokens matched after normalisation is itself normalised. */
static qv_status normalize_added(qv__tokenizer *t, qv_error *err) {
    qv__buffer buffer = {0};
    qv_status status = QV_OK;
    for (size_t i = 0; i < t->added.count && t->nfc && !status; i++) {
        qv__added_token *a = &t->added.tokens[i];
        const char *text;
        size_t size;
        if (!a->normalized) continue;
        char *copy = qv__nfc(a->text, a->size, &buffer, &text, &size) ? qv__strndup(text, size) : NULL;
        if (!copy)
            status = qv__fail(err, QV_NO_MEMORY, "out of memory for the added tokens");
        else {
            qv__free(a->text);
            a->text = copy;
            a->size = size;
        }
    }
    qv__buffer_clear(&buffer);
    return status;
}

qv_status qv__tokenizer_seal(qv__tokenizer *t, qv_error *err) {
    t->size = t->vocab.size;
    for (size_t i = 0; i < t->added.count; i++) {
        const qv__added_token *a = &t->added.tokens[i];
        int32_t id = qv__vocab_find_name(&t->vocab, a->text, a->size);
        if (id >= 0 && id != a->id)
            return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens: \"%.100s\" has the id %d, in the vocabulary %d",
                            a->text, a->id, id);
        if (id < 0 && a->id < t->vocab.size && t->vocab.tokens[a->id].present)
            return qv__fail(err, QV_BAD_CHECKPOINT, "added_tokens: the id %d of \"%.100s\" is another token's", a->id,
                            a->text);
        if (a->id >= t->size) t->size = a->id + 1;
    }
    for (size_t i = 0; i < t->suffix_count; i++)
        if (t->suffix[i] < 0 || t->suffix[i] >= t->size)
            return qv__fail(err, QV_BAD_CHECKPOINT, "post_processor: the id %d is not in the vocabulary", t->suffix[i]);
    qv_status status = normalize_added(t, err);
    if (!status) status = qv__matcher_make(&t->plain, &t->added, false, err);
    if (!status) status = qv__matcher_make(&t->normalized, &t->added, true, err);
    return status;
}

qv_status qv__tokenizer_parse(const char *json, size_t size, qv__tokenizer **out, qv_error *err) {
    *out = NULL;
    qv__tokenizer *t = qv__calloc(1, sizeof *t);
    if (!t) return qv__fail(err, QV_NO_MEMORY, "out of memory for the tokenizer");
    qv_status status = qv__tokenizer_read_json(t, json, size, err);
    if (!status) status = qv__tokenizer_seal(t, err);
    if (status) qv__tokenizer_close(&t);
    *out = t;
    return status;
}

static qv_status open_json(const char *path, qv__tokenizer **out, qv_error *err) {
    char *json;
    size_t size;
    qv_status status = qv__file_read(path, FILE_MAX, &json, &size, err);
    if (status) return status;
    status = qv__tokenizer_parse(json, size, out, err);
    free(json);
    return status ? qv__fail_in(err, status, "%s", path) : QV_OK;
}

qv_status qv__tokenizer_open(const char *folder, qv__tokenizer **out, qv_error *err) {
    *out = NULL;
    char *path = qv__path_join(folder, "tokenizer.json");
    qv__tokenizer *t = path ? qv__calloc(1, sizeof *t) : NULL;
    qv_status status;
    if (!t) {
        qv__free(path);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for the tokenizer");
    }
    qv_error absent = {0};
    status = open_json(path, out, &absent);
    if (status != QV_NOT_FOUND) {
        if (status && err) *err = absent;
        qv__tokenizer_close(&t);
    } else {
        status = qv__tokenizer_read_folder(t, folder, err);
        if (!status) status = qv__tokenizer_seal(t, err);
        if (status) qv__tokenizer_close(&t);
        *out = t;
    }
    qv__free(path);
    return status;
}

void qv__tokenizer_close(qv__tokenizer **tokenizer) {
    qv__tokenizer *t = *tokenizer;
    if (!t) return;
    for (int i = 0; i < t->splitter_count; i++) qv__splitter_close(&t->splitters[i]);
    qv__matcher_clear(&t->plain);
    qv__matcher_clear(&t->normalized);
    qv__added_clear(&t->added);
    qv__vocab_clear(&t->vocab);
    qv__free(t);
    *tokenizer = NULL;
}

/* ---- ids ---- */

void qv__ids_clear(qv__ids *ids) {
    qv__free(ids->data);
    *ids = (qv__ids){0};
}

qv_status qv__ids_push(qv__ids *ids, int32_t id, qv_error *err) {
    if (ids->size == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        int32_t *data = capacity > SIZE_MAX / 8 ? NULL : qv__realloc(ids->data, capacity * sizeof *data);
        if (!data) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu token ids", capacity);
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->size++] = id;
    return QV_OK;
}

/* ---- encoding ---- */

typedef struct {
    const qv__tokenizer *t;
    qv__ids *out;
    size_t limit; /* out->size may not pass it */
    int stage;    /* next splitter */
    qv__buffer normal;
    qv_error *err;
} encoder;

static qv_status check_limit(const encoder *e) {
    return e->out->size <= e->limit ? QV_OK
                                    : qv__fail(e->err, QV_TOO_LARGE, "the text makes more than %zu tokens", e->limit);
}

static qv_status encode_piece(void *user, const char *text, size_t size) {
    encoder *e = user;
    if (e->stage == e->t->splitter_count) {
        qv_status status = qv__bpe(e->t, text, size, e->out, e->err);
        return status ? status : check_limit(e);
    }
    const qv__splitter *s = e->t->splitters[e->stage++];
    qv_status status = qv__splitter_run(s, text, size, encode_piece, e, e->err);
    e->stage--;
    return status;
}

static qv_status encode_normalized(encoder *e, const char *text, size_t size);

/* What lies between added tokens that are matched before normalisation. */
static qv_status encode_plain(encoder *e, const char *text, size_t size) {
    const char *normal = text;
    size_t normal_size = size;
    if (e->t->nfc && !qv__nfc(text, size, &e->normal, &normal, &normal_size))
        return qv__fail(e->err, QV_NO_MEMORY, "out of memory for normalising the text");
    return encode_normalized(e, normal, normal_size);
}

/* Cuts the matches out; what is between goes to `between`. */
static qv_status cut(encoder *e, const qv__matcher *m, const char *text, size_t size,
                     qv_status (*between)(encoder *, const char *, size_t)) {
    size_t done = 0, next = 0;
    qv__match match;
    qv_status status = QV_OK;
    while (!status && qv__matcher_next(m, text, size, next, done, &match, &next)) {
        if (match.start > done) status = between(e, text + done, match.start - done);
        if (!status) status = qv__ids_push(e->out, match.token->id, e->err);
        if (!status) status = check_limit(e);
        done = match.end;
    }
    if (!status && done < size) status = between(e, text + done, size - done);
    return status;
}

static qv_status encode_between(encoder *e, const char *text, size_t size) {
    return encode_piece(e, text, size);
}

static qv_status encode_normalized(encoder *e, const char *text, size_t size) {
    return cut(e, &e->t->normalized, text, size, encode_between);
}

qv_status qv__tokenizer_encode(const qv__tokenizer *t, const char *text, size_t size, bool post_process, size_t limit,
                               qv__ids *out, qv_error *err) {
    size_t bad = qv__utf8_valid_prefix(text, size), suffix = post_process ? t->suffix_count : 0;
    if (bad != size) return qv__fail(err, QV_INVALID_UTF8, "the text is not valid UTF-8 at byte %zu", bad);
    if (limit && limit < suffix) return qv__fail(err, QV_TOO_LARGE, "the text makes more than %zu tokens", limit);
    encoder e = {.t = t, .out = out, .limit = limit ? out->size + limit - suffix : SIZE_MAX, .err = err};
    qv_status status = cut(&e, &t->plain, text, size, encode_plain);
    qv__buffer_clear(&e.normal);
    for (size_t i = 0; i < suffix && !status; i++) status = qv__ids_push(out, t->suffix[i], err);
    return status;
}

/* ---- look-ups ---- */

size_t qv__tokenizer_suffix(const qv__tokenizer *t, const int32_t **ids) {
    *ids = t->suffix;
    return t->suffix_count;
}

int32_t qv__tokenizer_id(const qv__tokenizer *t, const char *token) {
    size_t size = strlen(token);
    const qv__added_token *a = qv__added_find(&t->added, token, size);
    return a ? a->id : qv__vocab_find_name(&t->vocab, token, size);
}

bool qv__tokenizer_is_special(const qv__tokenizer *t, int32_t id) {
    const qv__added_token *a = qv__added_by_id(&t->added, id);
    return a && a->special;
}

int32_t qv__tokenizer_size(const qv__tokenizer *t) {
    return t->size;
}

const char *qv__tokenizer_bytes(const qv__tokenizer *t, int32_t id, size_t *size) {
    const qv__added_token *a = qv__added_by_id(&t->added, id);
    *size = 0;
    if (a) return *size = a->size, a->text;
    if (id < 0 || id >= t->vocab.size || !t->vocab.tokens[id].present) return NULL;
    *size = t->vocab.tokens[id].size;
    return t->vocab.pool.data + t->vocab.tokens[id].offset;
}

size_t qv__tokenizer_find_token(const qv__tokenizer *t, const char *text, size_t size, int32_t id) {
    const qv__added_token *a = qv__added_by_id(&t->added, id);
    const char *at = a && size ? memmem(text, size, a->text, a->size) : NULL;
    return at ? (size_t)(at - text) : SIZE_MAX;
}
