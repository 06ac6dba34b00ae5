#include "text/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

enum { PATTERN_MAX = 4096, STEPS_MAX = 200000000, HEAP_MAX_KIB = 1 << 20 };

struct qv__splitter {
    pcre2_code *code;
    pcre2_general_context *general;
    pcre2_match_context *context;
    qv__split_keep keep;
};

static void *allocate(size_t size, void *user) {
    return qv__malloc(size);
}
static void release(void *block, void *user) {
    qv__free(block);
}

static qv_status compile(qv__splitter *s, const qv__buffer *pattern, qv_error *err) {
    int code;
    PCRE2_SIZE offset;
    uint32_t may_be_empty = 0;
    pcre2_compile_context *c = pcre2_compile_context_create(s->general);
    if (!c) return qv__fail(err, QV_NO_MEMORY, "out of memory for the pattern");
    pcre2_set_newline(c, PCRE2_NEWLINE_LF);
    s->code = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->size,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C, &code, &offset, c);
    pcre2_compile_context_free(c);
    if (!s->code && code == PCRE2_ERROR_NOMEMORY) return qv__fail(err, QV_NO_MEMORY, "out of memory for the pattern");
    if (!s->code && code == 121 /* heap failed inside pcre2_compile */)
        return qv__fail(err, QV_NO_MEMORY, "out of memory for the pattern");
    if (!s->code) {
        PCRE2_UCHAR text[128] = "";
        pcre2_get_error_message(code, text, sizeof text);
        return qv__fail(err, QV_UNSUPPORTED, "pattern: %s", (const char *)text);
    }
    pcre2_pattern_info(s->code, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
    if (may_be_empty)
        return qv__fail(err, QV_UNSUPPORTED, "pattern: it can match nothing at all, which is not supported");
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); /* without it the interpreter runs */
    return QV_OK;
}

qv_status qv__splitter_open(const char *pattern, size_t size, bool literal, qv__split_keep keep, qv__splitter **out,
                            qv_error *err) {
    *out = NULL;
    if (size == 0 || size > PATTERN_MAX)
        return qv__fail(err, QV_UNSUPPORTED, "pattern: %zu bytes long, supported are 1 to %d", size, PATTERN_MAX);
    qv__buffer rewritten = {0};
    qv__splitter *s = NULL;
    qv_status status = qv__pattern_rewrite(pattern, size, literal, &rewritten, err);
    if (status) goto done;
    s = qv__calloc(1, sizeof *s);
    if (s) s->general = pcre2_general_context_create(allocate, release, NULL);
    if (s && s->general) s->context = pcre2_match_context_create(s->general);
    if (!s || !s->context) {
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for the pattern");
        goto done;
    }
    s->keep = keep;
    pcre2_set_match_limit(s->context, STEPS_MAX);
    pcre2_set_heap_limit(s->context, HEAP_MAX_KIB);
    status = compile(s, &rewritten, err);
done:
    qv__buffer_clear(&rewritten);
    if (status) qv__splitter_close(&s);
    *out = s;
    return status;
}

void qv__splitter_close(qv__splitter **splitter) {
    qv__splitter *s = *splitter;
    if (!s) return;
    pcre2_code_free(s->code);
    pcre2_match_context_free(s->context);
    pcre2_general_context_free(s->general);
    qv__free(s);
    *splitter = NULL;
}

/* JIT code first, on its 32 KiB of machine stack; the interpreter (on the heap) when that is too little. */
static int match(const qv__splitter *s, const char *text, size_t size, size_t at, pcre2_match_data *data) {
    int n = pcre2_match(s->code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK, data, s->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(s->code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, s->context);
    return n;
}

qv_status qv__splitter_run(const qv__splitter *s, const char *text, size_t size, qv__piece *piece, void *user,
                           qv_error *err) {
    pcre2_match_data *data = pcre2_match_data_create(1, s->general);
    if (!data) return qv__fail(err, QV_NO_MEMORY, "out of memory for splitting the text");
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(data);
    qv_status status = QV_OK;
    for (size_t at = 0; at < size && !status;) {
        int n = match(s, text, size, at, data);
        if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
            status = n == PCRE2_ERROR_NOMEMORY
                         ? qv__fail(err, QV_NO_MEMORY, "out of memory for splitting the text")
                         : qv__fail(err, QV_UNSUPPORTED, "the split pattern takes too many steps at byte %zu", at);
            break;
        }
        size_t start = n < 0 ? size : span[0], end = n < 0 ? size : span[1];
        if (start > at && s->keep != QV__KEEP_MATCHES) status = piece(user, text + at, start - at);
        if (!status && end > start && s->keep != QV__KEEP_GAPS) status = piece(user, text + start, end - start);
        at = end > at ? end : size;
    }
    pcre2_match_data_free(data);
    return status;
}
