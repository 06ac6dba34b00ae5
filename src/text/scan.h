/* A pull reader for JSON text that is too large to be worth a tree: tokenizer.json has 300,000 small strings in two
 * sections. The caller walks objects and arrays itself and skips values to get their spans; small spans go to
 * jansson, which checks them fully. Only the walked parts are checked here, strictly (RFC 8259, valid UTF-8). */
#ifndef QVEC_TEXT_SCAN_H
#define QVEC_TEXT_SCAN_H

#include "base/memory.h"
#include "qvec/qvec.h"

typedef struct {
    const char *start, *at, *end;
    const char *what; /* names the text in errors: "tokenizer.json" */
    qv_error *err;
    qv__buffer unescaped; /* holds the last string that had escapes */
} qv__scan;

typedef struct {
    const char *data;
    size_t size;
} qv__span;

qv_status qv__scan_fail(qv__scan *s, const char *expected); /* BAD_CHECKPOINT: what was expected, and the byte */
char qv__scan_peek(qv__scan *s);                            /* next character that is not white space; 0 at the end */
qv_status qv__scan_expect(qv__scan *s, char c);
/* Reads a string; *out stays valid until the next string is read (or points into the text). */
qv_status qv__scan_string(qv__scan *s, qv__span *out);
qv_status qv__scan_integer(qv__scan *s, int64_t *out);
qv_status qv__scan_skip(qv__scan *s, qv__span *out); /* passes over any value; its span */

/* Walks an object or array: begin, then next until it says false. `*first` starts as true.
 *     QV_TRY(expect '{'); bool first = true, more; while ((status = next(s, '}', &first, &more)) == 0 && more) ... */
qv_status qv__scan_next(qv__scan *s, char close, bool *first, bool *more);
qv_status qv__scan_key(qv__scan *s, qv__span *out); /* a string and the colon behind it */
bool qv__span_is(qv__span span, const char *text);
#endif
