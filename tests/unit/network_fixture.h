/* What the network's tests share: opened models with dummy weights, prompts, pictures of random pixels. */
#ifndef QVEC_TESTS_NETWORK_FIXTURE_H
#define QVEC_TESTS_NETWORK_FIXTURE_H

#include "check.h"
#include "model/network.h"

typedef struct {
    const char *model;           /* "tiny-embedding", or a folder's absolute path */
    const char *tier;            /* NULL: the best */
    int threads;                 /* 0: 2 */
    qv__network_options network; /* max_tokens 0: 4096 */
} fixture_options;

typedef struct {
    qv__checkpoint *checkpoint; /* shared by all fixtures of a model, open until exit */
    const qv__config *config;
    qv__backend *backend;
    qv__network *network;
    int hidden;
} fixture;

qv__checkpoint *fixture_checkpoint(const char *model);
void fixture_open(fixture *f, const fixture_options *options);
void fixture_close(fixture *f);

/* Memory that lives until fixture_forget, which every test calls at its start. */
void *fixture_alloc(size_t count, size_t size);
void fixture_forget(void);

/* A prompt; positions and runs are filled in. Copies what it is given. */
qv__sequence *fixture_sequence(const fixture *f, const int32_t *ids, int32_t length, const qv__vision_run *runs,
                               int run_count);
/* `length` random ids, no special tokens. */
qv__sequence *fixture_random_text(const fixture *f, int32_t length, uint64_t *state);
/* A run of random pixels; two different frames when `video`. */
qv__vision_run fixture_picture(int height, int width, bool video, uint64_t *state);
/* `before` random ids, then each picture between its start and end tokens with 2 ids behind it, then `after` ids. */
qv__sequence *fixture_random_mixture(const fixture *f, int before, const qv__vision_run *pictures, int count, int after,
                                     uint64_t *state);

/* One item alone, in a batch of its own. */
const float *fixture_hidden(const fixture *f, const qv__sequence *s);
/* Room for keys and values in device memory; close with fixture_prefix_close. */
qv__prefix fixture_prefix(const fixture *f, int64_t capacity);
void fixture_prefix_close(const fixture *f, qv__prefix *prefix);
/* A batch's `pause`: runs `prompt` inside it, counts calls and those whose answer was not `expected` or which were
 * paused in turn. */
typedef struct {
    const fixture *f;
    const qv__sequence *prompt;
    const float *expected; /* [hidden] */
    int calls, different;
} fixture_nested;
void fixture_run_nested(void *nested);

float *fixture_row(const fixture *f); /* [hidden], filled with a value that no result has */
#endif
