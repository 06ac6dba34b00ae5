/* The split pattern of tokenizer.json on PCRE2.
 *
 * The reference runs these patterns on Oniguruma with newer Unicode tables. The pattern is therefore read here, and
 * only constructs that mean the same in both engines are let through; \s, \p{L} and \p{N} are written out as what the
 * reference's tables say (PCRE2 counts U+180E as space, and 10.42 knows Unicode 14 only). */
#ifndef QVEC_TEXT_SPLIT_H
#define QVEC_TEXT_SPLIT_H

#include "base/memory.h"
#include "qvec/qvec.h"

/* Rewrites a pattern for PCRE2. QV_UNSUPPORTED names the construct and its place. literal: quote it whole. */
qv_status qv__pattern_rewrite(const char *pattern, size_t size, bool literal, qv__buffer *out, qv_error *err);

typedef struct qv__splitter qv__splitter;

/* Which pieces are kept: all (behaviour "Isolated"), or those that match / do not match ("Removed", inverted or not).
 */
typedef enum { QV__KEEP_ALL, QV__KEEP_MATCHES, QV__KEEP_GAPS } qv__split_keep;

qv_status qv__splitter_open(const char *pattern, size_t size, bool literal, qv__split_keep keep, qv__splitter **out,
                            qv_error *err);
void qv__splitter_close(qv__splitter **s);

typedef qv_status qv__piece(void *user, const char *text, size_t size);
/* Calls piece for each piece in order; stops at its first error. text: valid UTF-8. */
qv_status qv__splitter_run(const qv__splitter *s, const char *text, size_t size, qv__piece *piece, void *user,
                           qv_error *err);
#endif
