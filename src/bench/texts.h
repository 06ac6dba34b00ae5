/* Random texts of an exact number of tokens, made as vLLM's benchmark makes them: random ids are turned into a text,
 * the text into ids again, and its end is cut or filled until the count is right. */
#ifndef QVEC_BENCH_TEXTS_H
#define QVEC_BENCH_TEXTS_H

#include "base/memory.h"
#include "bench/random.h"
#include "text/tokenizer.h"

typedef struct {
    const qv__tokenizer *tokenizer; /* the caller's */
    int32_t *ids;                   /* that may be drawn: plain tokens of whole, printable characters */
    size_t count;
} qv__texts;

qv_status qv__texts_open(const qv__tokenizer *tokenizer, qv__texts *out, qv_error *err);
void qv__texts_close(qv__texts *texts);

enum { QV__TEXT_TOKENS_MAX = 1 << 20 };

/* Appends a text of exactly `tokens` tokens to `out`, without special tokens. head: a text that it begins with, which
 * has fewer tokens; NULL: none. tokens: at most QV__TEXT_TOKENS_MAX. */
qv_status qv__texts_make(const qv__texts *texts, qv__random *random, int64_t tokens, const char *head, qv__buffer *out,
                         qv_error *err);
#endif
