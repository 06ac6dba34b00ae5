/* Arbitrary texts, pictures and videos through every recipe: what comes out has each run's pads in its place and
 * nowhere else, ids that the model has, and positions within the sequence.
 *
 * The bytes: recipe, max_length, then parts: 'I' height width, 'V' runs height width (sizes in cells of 32), any other
 * byte starts a text that goes on to the next 0xFF. 0xFE ends the query of a rerank pair. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "prep/prompt.h"
#include "small_tokenizer.h"

enum { PARTS_MAX = 16, RUNS_MAX = 8, CELL = 32, FIRST = 303 };

static const qv__config config = {
    .text = {.vocab = 320},
    .has_vision = true,
    .vision = {.patch = 16, .merge = 2, .temporal_patch = 2},
    .image_token = FIRST,
    .video_token = FIRST + 1,
    .vision_start_token = FIRST + 2,
    .vision_end_token = FIRST + 3,
};

static qv__tokenizer *open_tokenizer(void) {
    static const char vision[] =
        "{\"id\":303,\"content\":\"<|i|>\",\"special\":true},{\"id\":304,\"content\":\"<|v|>\",\"special\":true},"
        "{\"id\":305,\"content\":\"<|s|>\",\"special\":true},{\"id\":306,\"content\":\"<|e|>\",\"special\":true},";
    const char *json = small_tokenizer(""), *list = strchr(json, '[') + 1;
    qv__buffer b = {0};
    qv__tokenizer *t = NULL;
    qv__buffer_append(&b, json, (size_t)(list - json));
    qv__buffer_puts(&b, vision);
    qv__buffer_puts(&b, list);
    if (b.failed || qv__tokenizer_parse(b.data, b.size, &t, NULL)) abort();
    qv__buffer_clear(&b);
    return t;
}

typedef struct {
    qv__prompt_part parts[PARTS_MAX];
    qv__visual visuals[PARTS_MAX];
    qv__vision_run runs[PARTS_MAX][RUNS_MAX];
    double seconds[RUNS_MAX];
    size_t count, first_document; /* parts; those of a pair's document */
} content;

static void add_visual(content *c, bool video, int runs, int height, int width) {
    qv__visual *v = &c->visuals[c->count];
    *v = (qv__visual){video, runs, c->runs[c->count], c->seconds};
    for (int i = 0; i < runs; i++)
        v->runs[i] = (qv__vision_run){.height = (height % 8 + 1) * CELL, .width = (width % 8 + 1) * CELL};
    c->parts[c->count++] = (qv__prompt_part){.visual = v};
}

static void read_parts(content *c, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size && c->count < PARTS_MAX;) {
        if (data[i] == 'I' && size - i >= 3)
            add_visual(c, false, 1, data[i + 1], data[i + 2]), i += 3;
        else if (data[i] == 'V' && size - i >= 4)
            add_visual(c, true, data[i + 1] % RUNS_MAX + 1, data[i + 2], data[i + 3]), i += 4;
        else if (data[i] == 0xFE)
            c->first_document = c->count, i++;
        else {
            const uint8_t *stop = memchr(data + i, 0xFF, size - i);
            size_t n = stop ? (size_t)(stop - data) - i : size - i;
            c->parts[c->count++] = (qv__prompt_part){.text = (const char *)data + i, .size = n};
            i += n + 1;
        }
    }
}

static void demand(bool condition) {
    if (!condition) __builtin_trap();
}

static void check_sequence(const qv__sequence *s) {
    int64_t pads = 0, run_tokens = 0;
    demand(s->length > 0);
    for (int32_t i = 0; i < s->length; i++) {
        demand(s->ids[i] >= 0 && s->ids[i] < config.text.vocab);
        pads += s->ids[i] == config.image_token || s->ids[i] == config.video_token;
        for (int axis = 0; axis < 3; axis++) {
            int32_t p = s->positions[(int64_t)axis * s->length + i];
            demand(p >= 0 && p < s->length);
        }
    }
    for (int r = 0; r < s->run_count; r++) {
        const qv__vision_run *run = &s->runs[r];
        int64_t n = (int64_t)(run->height / CELL) * (run->width / CELL);
        demand(run->first_token >= 0 && n <= s->length - run->first_token);
        demand(r == 0 || run->first_token > s->runs[r - 1].first_token);
        for (int64_t i = 0; i < n; i++) demand(s->ids[run->first_token + i] == s->ids[run->first_token]);
        demand(s->ids[run->first_token] == config.image_token || s->ids[run->first_token] == config.video_token);
        run_tokens += n;
    }
    demand(s->run_count == 0 || pads == run_tokens); /* raw text alone may hold literal pads */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static qv__tokenizer *t;
    if (!t) t = open_tokenizer();
    if (size < 2) return 0;
    content c = {.seconds = {0.25, 1.5, -0.0, 1e9, 0.05, 3, 4, 5}};
    read_parts(&c, data + 2, size - 2);
    bool raw = data[0] & 1, pair = data[0] & 2;
    qv__prompt_options options = {.prompt = raw ? QV_PROMPT_RAW : QV_PROMPT_OFFICIAL,
                                  .max_length = data[1],
                                  .no_special_tokens = raw && data[0] & 4};
    qv__arena arena = {.max = 1 << 24};
    qv__sequence s;
    qv__prompt_facts facts;
    qv_error err = {0};
    size_t queries = c.first_document;
    qv_status status = pair ? qv__prompt_rerank(t, &config, c.parts, queries, c.parts + queries, c.count - queries,
                                                &options, &arena, &s, &facts, &err)
                            : qv__prompt_embed(t, &config, c.parts, c.count, &options, &arena, &s, &facts, &err);
    if (!status) {
        check_sequence(&s);
        demand(facts.untruncated >= s.length);
        demand(pair || !options.max_length || s.length <= options.max_length);
    } else {
        demand(err.message[0]);
    }
    qv__arena_clear(&arena);
    return 0;
}
