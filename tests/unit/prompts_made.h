/* Prompts for the engine's tests: random ones that often begin alike, with pictures in them. */
#ifndef QVEC_TESTS_PROMPTS_MADE_H
#define QVEC_TESTS_PROMPTS_MADE_H

#include <stdlib.h>

#include "check.h"
#include "fake_network.h"

enum { MADE_RUNS = 4 };

typedef struct {
    qv__sequence sequence;
    qv__vision_run runs[MADE_RUNS];
} made;

static inline void made_free(made *m) {
    free(m->sequence.ids);
    free(m->sequence.positions);
}

static inline void made_reserve(made *m, int32_t capacity) {
    *m = (made){.sequence = {.ids = calloc((size_t)capacity, sizeof(int32_t))}};
}

static inline void made_put(made *m, int32_t id) {
    m->sequence.ids[m->sequence.length++] = id;
}

/* A picture of rows x columns tokens whose pixels are told by `name`, and the end of vision behind it. */
static inline void made_picture(made *m, int rows, int columns, uint8_t name) {
    qv__vision_run *run = &m->runs[m->sequence.run_count++];
    *run = (qv__vision_run){.height = 32 * rows, .width = 32 * columns, .first_token = m->sequence.length};
    memset(run->key, name, sizeof run->key);
    for (int i = 0; i < rows * columns; i++) made_put(m, FAKE_VISION_PAD);
    made_put(m, FAKE_VISION_PAD + 1);
}

/* Positions as prep/ makes them: a run takes max(rows, columns) steps. `m` stays where it is from here on. */
static inline void made_finish(made *m) {
    qv__sequence *s = &m->sequence;
    size_t n = (size_t)s->length;
    s->positions = calloc(3 * n, sizeof(int32_t));
    int32_t p = 0, run = 0;
    s->runs = m->runs;
    for (int32_t i = 0; i < s->length;) {
        if (run < s->run_count && m->runs[run].first_token == i) {
            int rows = m->runs[run].height / 32, columns = m->runs[run].width / 32;
            for (int k = 0; k < rows * columns; k++, i++) {
                s->positions[i] = p;
                s->positions[n + (size_t)i] = p + k / columns;
                s->positions[2 * n + (size_t)i] = p + k % columns;
            }
            p += rows > columns ? rows : columns;
            run++;
        } else {
            for (size_t axis = 0; axis < 3; axis++) s->positions[axis * n + (size_t)i] = p;
            p++, i++;
        }
    }
}

/* Words of a few tokens from a small vocabulary, now and then a picture: prompts of one `seed` often begin alike. */
static inline void made_random(made *m, uint64_t *seed, int32_t max_length) {
    made_reserve(m, max_length + 64);
    int32_t want = 2 + (int32_t)(check_random(seed) % (uint64_t)(max_length - 1));
    while (m->sequence.length < want) {
        uint64_t word = check_random(seed) % 40;
        if (word == 0 && m->sequence.run_count < MADE_RUNS)
            made_picture(m, 1 + (int)(check_random(seed) % 3), 1 + (int)(check_random(seed) % 3),
                         check_random(seed) % 2);
        else
            for (int k = 0; k < 9; k++) made_put(m, word < 24 ? k : word < 36 ? 100 + k : (int32_t)word);
    }
    made_finish(m);
}
#endif
