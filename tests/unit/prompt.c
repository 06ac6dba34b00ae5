#include "prep/prompt.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "store/checkpoint.h"

static struct {
    qv__tokenizer *t;
    qv__config config;
} models[2];

static void open_model(const char *kind, const qv__tokenizer **t, const qv__config **config) {
    int k = kind[0] == 'r';
    qv_error err = {0};
    if (!models[k].t) {
        char path[4096], *json;
        size_t size;
        snprintf(path, sizeof path, "%s/tiny-%s", getenv("QVEC_TEST_CHECKPOINTS"), kind);
        CHECK_OK(qv__tokenizer_open(path, &models[k].t, &err), err);
        strcat(path, "/config.json");
        CHECK_OK(qv__file_read(path, 1 << 20, &json, &size, &err), err);
        CHECK_OK(qv__config_parse(json, size, &models[k].config, &err), err);
        free(json);
    }
    *t = models[k].t;
    *config = &models[k].config;
}

/* ---- golden cases: pictures by the frame sizes that the answers state, time stamps by the rule ---- */

enum { PARTS_MAX = 64, RUNS_MAX = 256 };

typedef struct {
    qv__prompt_part parts[PARTS_MAX];
    qv__visual visuals[PARTS_MAX];
    size_t count, visual_count;
    qv__vision_run runs[RUNS_MAX];
    double seconds[RUNS_MAX];
    int run_count;
} content;

static const json_t *at(const json_t *list_or_one, size_t i) {
    return json_is_array(list_or_one) ? json_array_get(list_or_one, i) : list_or_one;
}
static size_t count_of(const json_t *list_or_one) {
    return !list_or_one ? 0 : json_is_array(list_or_one) ? json_array_size(list_or_one) : 1;
}

static void add_run(content *c, const json_t *frames, size_t frame, double seconds) {
    const json_t *f = json_array_get(frames, frame);
    CHECK(f && c->run_count < RUNS_MAX);
    c->seconds[c->run_count] = seconds;
    c->runs[c->run_count++] = (qv__vision_run){.height = (int)json_integer_value(json_array_get(f, 0)),
                                               .width = (int)json_integer_value(json_array_get(f, 1))};
}

static void add_visual(content *c, bool video, int first_run) {
    qv__visual *v = &c->visuals[c->visual_count++];
    *v = (qv__visual){video, c->run_count - first_run, c->runs + first_run, c->seconds + first_run};
    c->parts[c->count++] = (qv__prompt_part){.visual = v};
}

/* docs/MODEL.md part 5; the test's clips by name. */
static void add_video(content *c, const json_t *video, const json_t *item, const json_t *frames, size_t *frame) {
    static const struct {
        const char *name;
        int frames, rate;
    } clips[] = {{"lossless_rgb.mkv", 26, 8}, {"h264.mp4", 132, 24}, {"vp9.webm", 45, 10}};
    double indices[64], rate = 2;
    const json_t *most = json_object_get(item, "max_frames"), *fps = json_object_get(item, "fps");
    int max_frames = most ? (int)json_integer_value(most) : 64, n = 0, first = c->run_count;
    if (json_is_array(video)) {
        n = (int)json_array_size(video);
        if (n > max_frames) n = max_frames;
        n += n % 2;
        for (int i = 0; i < n; i++) indices[i] = i;
    } else {
        for (size_t k = 0; k < sizeof clips / sizeof *clips; k++) {
            if (strcmp(clips[k].name, json_string_value(video))) continue;
            rate = clips[k].rate;
            double want = fmax(clips[k].frames / rate * (fps ? json_number_value(fps) : 1), 4);
            n = (int)fmin(fmin(want, max_frames / 2 * 2), clips[k].frames) / 2 * 2;
            for (int i = 0; i < n; i++) indices[i] = rint(i * (clips[k].frames - 1.0) / (n - 1));
        }
    }
    CHECK(n >= 2);
    for (int i = 0; i < n; i += 2, *frame += 2) add_run(c, frames, *frame, (indices[i] / rate + indices[i + 1] / rate) / 2);
    add_visual(c, true, first);
}

/* Adds what one side holds, in the order the frames are listed: videos, then pictures; texts are put in front to show
 * that the recipe sorts them. */
static void add_content(content *c, const json_t *item, const json_t *frames, size_t *frame) {
    const json_t *video = json_object_get(item, "video"), *image = json_object_get(item, "image");
    const json_t *text = json_object_get(item, "text");
    for (size_t i = 0; i < count_of(text); i++)
        c->parts[c->count++] =
            (qv__prompt_part){.text = json_string_value(at(text, i)), .size = json_string_length(at(text, i))};
    bool one = video && (!json_is_array(video) || json_is_string(json_array_get(video, 0)));
    for (size_t i = 0; i < (one ? 1 : count_of(video)); i++) add_video(c, one ? video : at(video, i), item, frames, frame);
    for (size_t i = 0; i < count_of(image); i++) {
        add_run(c, frames, (*frame)++, 0);
        add_visual(c, false, c->run_count - 1);
    }
}

static void check_case(const char *file, const json_t *item, const qv__sequence *s, const json_t *want) {
    const char *id = json_string_value(json_object_get(item, "id"));
    CHECK_MSG((size_t)s->length == json_array_size(want), "%s %s: %d tokens, expected %zu", file, id, s->length,
              json_array_size(want));
    for (int32_t i = 0; i < s->length; i++) {
        json_int_t w = json_integer_value(json_array_get(want, (size_t)i));
        CHECK_MSG(s->ids[i] == w, "%s %s: token %d is %d, expected %lld", file, id, i, s->ids[i], (long long)w);
    }
    for (int k = 0; k < s->run_count; k++)
        CHECK_MSG(s->ids[s->runs[k].first_token] > 151654 && s->ids[s->runs[k].first_token - 1] == 151652,
                  "%s %s: run %d does not begin at a pad", file, id, k);
}

static qv__prompt_options options_of(const json_t *item) {
    const char *prompt = json_string_value(json_object_get(item, "prompt"));
    return (qv__prompt_options){.prompt = prompt && strcmp(prompt, "raw") == 0 ? QV_PROMPT_RAW : QV_PROMPT_OFFICIAL,
                                .instruction = json_string_value(json_object_get(item, "instruction")),
                                .max_length = json_integer_value(json_object_get(item, "max_length"))};
}

static json_t *load(const char *file) {
    char name[256];
    json_error_t e;
    snprintf(name, sizeof name, "golden/data/%s.json", file);
    json_t *rows = json_load_file(check_source_path(name), JSON_ALLOW_NUL, &e);
    CHECK_MSG(rows && json_array_size(rows), "%s: %s", name, e.text);
    return rows;
}

static void embed_cases(const char *file) {
    const qv__tokenizer *t;
    const qv__config *config;
    open_model("embedding", &t, &config);
    json_t *rows = load(file);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *item = json_array_get(rows, i);
        qv_error err = {0};
        content c = {0};
        size_t frame = 0;
        add_content(&c, item, json_object_get(item, "frames"), &frame);
        qv__prompt_options o = options_of(item);
        qv__arena arena = {0};
        qv__sequence s;
        qv__prompt_facts facts;
        CHECK_OK(qv__prompt_embed(t, config, c.parts, c.count, &o, &arena, &s, &facts, &err), err);
        check_case(file, item, &s, json_object_get(item, "ids"));
        CHECK(facts.untruncated >= s.length);
        qv__arena_clear(&arena);
    }
    json_decref(rows);
}

static void rerank_cases(const char *file) {
    const qv__tokenizer *t;
    const qv__config *config;
    open_model("reranker", &t, &config);
    json_t *rows = load(file);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *item = json_array_get(rows, i), *documents = json_object_get(item, "documents");
        for (size_t d = 0; d < json_array_size(documents); d++) {
            const json_t *frames = json_array_get(json_object_get(item, "frames"), d);
            qv_error err = {0};
            content query = {0}, document = {0};
            size_t frame = 0; /* the reference lists videos of both sides, then pictures of both */
            const json_t *sides[2] = {json_object_get(item, "query"), json_array_get(documents, d)};
            content *filled[2] = {&query, &document};
            bool mixed = json_object_get(sides[0], "image") && json_object_get(sides[1], "video");
            if (mixed) { /* the query's pictures come behind the document's video frames */
                size_t video_frames = 0;
                content skip = {0};
                json_t *only = json_object();
                json_object_set(only, "video", json_object_get(sides[1], "video"));
                add_content(&skip, only, frames, &video_frames);
                json_decref(only);
                frame = video_frames;
                add_content(filled[0], sides[0], frames, &frame);
                size_t from = 0;
                json_t *video = json_object(), *rest = json_deep_copy(sides[1]);
                json_object_set(video, "video", json_object_get(sides[1], "video"));
                json_object_del(rest, "video");
                add_content(filled[1], video, frames, &from);
                add_content(filled[1], rest, frames, &frame);
                json_decref(video); /* the texts of `rest` are read below: leave it alive until then */
                qv__prompt_options o = options_of(item);
                qv__arena arena = {0};
                qv__sequence s;
                qv__prompt_facts facts;
                CHECK_OK(qv__prompt_rerank(t, config, query.parts, query.count, document.parts, document.count, &o, &arena,
                                           &s, &facts, &err), err);
                check_case(file, item, &s, json_array_get(json_object_get(item, "ids"), d));
                qv__arena_clear(&arena);
                json_decref(rest);
                continue;
            }
            add_content(&query, sides[0], frames, &frame);
            add_content(&document, sides[1], frames, &frame);
            qv__prompt_options o = options_of(item);
            qv__arena arena = {0};
            qv__sequence s;
            qv__prompt_facts facts;
            CHECK_OK(qv__prompt_rerank(t, config, query.parts, query.count, document.parts, document.count, &o, &arena, &s,
                                       &facts, &err), err);
            check_case(file, item, &s, json_array_get(json_object_get(item, "ids"), d));
            qv__arena_clear(&arena);
        }
    }
    json_decref(rows);
}

TEST(golden_embed_tiny) { embed_cases("tiny-embed"); }
TEST(golden_embed_small) { embed_cases("small-embed"); }
TEST(golden_embed_untied) { embed_cases("untied-embed"); }
TEST(golden_embed_2b) { embed_cases("2b-embed"); }
TEST(golden_embed_extra) { embed_cases("extra-tiny-embed"); }
TEST(golden_rerank_tiny) { rerank_cases("tiny-rerank"); }
TEST(golden_rerank_extra) { rerank_cases("extra-tiny-rerank"); }
