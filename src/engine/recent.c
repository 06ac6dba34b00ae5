#include "engine/recent.h"

#include "base/memory.h"

static void add(qv__recent *r, const qv__sequence *s, int32_t length) {
    qv__sequence copy;
    void *block;
    if (!qv__sequence_copy(s, length, &copy, &block)) return;
    if (r->ring[r->turn].block) qv__sequence_set_remove(&r->set, &r->ring[r->turn].sequence);
    qv__free(r->ring[r->turn].block);
    r->ring[r->turn].sequence = copy;
    r->ring[r->turn].block = block;
    if (!qv__sequence_set_add(&r->set, &r->ring[r->turn].sequence)) {
        qv__free(block);
        r->ring[r->turn].block = NULL;
        return;
    }
    r->turn = (r->turn + 1) % QV__RECENT_PROMPTS;
}

int32_t qv__recent_match(qv__recent *r, const qv__sequence *s) {
    size_t place = qv__sequence_set_place(&r->set, s);
    int32_t best = 0;
    for (size_t i = place > 0 ? place - 1 : 0; i < r->set.count && i <= place; i++) {
        int32_t match = qv__sequence_match(r->set.at[i], s);
        if (match > best) best = match;
    }
    int32_t length = qv__sequence_cut(s, s->length < QV__RECENT_TOKENS ? s->length : QV__RECENT_TOKENS);
    if (best < length) add(r, s, length);
    return best;
}

void qv__recent_clear(qv__recent *r) {
    for (int i = 0; i < QV__RECENT_PROMPTS; i++) qv__free(r->ring[i].block);
    qv__sequence_set_clear(&r->set);
    *r = (qv__recent){0};
}
