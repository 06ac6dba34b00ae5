/* Answers of a hostile server, in two pieces wherever the first byte says: no crash, limits kept, and the same outcome
 * as in one piece. */
#include <stdlib.h>
#include <string.h>

#include "bench/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    qv_status status;
    size_t used;
    qv__answer answer;
} outcome;

static void feed(outcome *o, const char *data, size_t size) {
    qv_error err = {0};
    size_t used = 0;
    if (o->status || o->answer.state == QV__ANSWER_DONE) return;
    o->status = qv__answer_feed(&o->answer, data, size, &used, &err);
    if (used > size || (o->status && !err.message[0])) abort();
    o->used += used;
}

static void finish(outcome *o) {
    qv_error err = {0};
    if (!o->status) o->status = qv__answer_end(&o->answer, &err);
    if (o->answer.body.size > QV__ANSWER_BODY_MAX || strlen(o->answer.reason) >= sizeof o->answer.reason) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const char *text = (const char *)data + 1;
    size_t cut = data[0] < --size ? data[0] : size;
    outcome whole = {0}, parts = {0};
    qv__answer_start(&whole.answer);
    qv__answer_start(&parts.answer);
    feed(&whole, text, size);
    feed(&parts, text, cut);
    feed(&parts, text + cut, size - cut);
    finish(&whole);
    finish(&parts);
    const qv__answer *a = &whole.answer, *b = &parts.answer;
    if (whole.status != parts.status || a->status != b->status) abort();
    if (!whole.status && (whole.used != parts.used || a->body.size != b->body.size)) abort();
    if (!whole.status && a->body.size && memcmp(a->body.data, b->body.data, a->body.size)) abort();
    qv_error err = {0};
    int64_t tokens;
    qv_status status = qv__answer_tokens(a->body.data, a->body.size, &tokens, &err);
    if (status ? tokens != -1 || !err.message[0] : tokens < -1) abort();
    qv__answer_clear(&whole.answer);
    qv__answer_clear(&parts.answer);
    return 0;
}
