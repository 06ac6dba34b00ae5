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
    for (int i = 0; i < n; i += 2, *frame += 2)
        add_run(c, frames, *frame, (indices[i] / rate + indices[i + 1] / rate) / 2);
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
    for (size_t i = 0; i < (one ? 1 : count_of(video)); i++)
        add_video(c, one ? video : at(video, i), item, frames, frame);
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
            size_t video_frame = 0, image_frame = 0;
            const json_t *sides[2] = {json_object_get(item, "query"), json_array_get(documents, d)};
            /* The answers list the video frames of both sides first, then the pictures of both. */
            json_t *moving[2], *still[2];
            for (int k = 0; k < 2; k++) {
                moving[k] = json_copy((json_t *)sides[k]);
                still[k] = json_copy((json_t *)sides[k]);
                json_object_del(moving[k], "image");
                json_object_del(still[k], "video");
                json_object_del(still[k], "text");
            }
            add_content(&query, moving[0], frames, &video_frame);
            add_content(&document, moving[1], frames, &video_frame);
            image_frame = video_frame;
            add_content(&query, still[0], frames, &image_frame);
            add_content(&document, still[1], frames, &image_frame);
            qv__prompt_options o = options_of(item);
            qv__arena arena = {0};
            qv__sequence s;
            qv__prompt_facts facts;
            CHECK_OK(qv__prompt_rerank(t, config, query.parts, query.count, document.parts, document.count, &o, &arena,
                                       &s, &facts, &err),
                     err);
            check_case(file, item, &s, json_array_get(json_object_get(item, "ids"), d));
            CHECK_INT(image_frame, json_array_size(frames));
            qv__arena_clear(&arena);
            for (int k = 0; k < 2; k++) json_decref(moving[k]), json_decref(still[k]);
        }
    }
    json_decref(rows);
}

TEST(golden_embed_tiny) {
    embed_cases("tiny-embed");
}
TEST(golden_embed_small) {
    embed_cases("small-embed");
}
TEST(golden_embed_untied) {
    embed_cases("untied-embed");
}
TEST(golden_embed_2b) {
    embed_cases("2b-embed");
}
TEST(golden_embed_extra) {
    embed_cases("extra-tiny-embed");
}
TEST(golden_rerank_tiny) {
    rerank_cases("tiny-rerank");
}
TEST(golden_rerank_extra) {
    rerank_cases("extra-tiny-rerank");
}

/* ---- edges ---- */

typedef struct {
    qv_status status;
    qv_error err;
    qv__sequence s;
    qv__prompt_facts facts;
    qv__arena arena;
} result;

static result embed(const qv__prompt_part *parts, size_t count, qv__prompt_options o) {
    const qv__tokenizer *t;
    const qv__config *config;
    open_model("embedding", &t, &config);
    result r = {0};
    r.status = qv__prompt_embed(t, config, parts, count, &o, &r.arena, &r.s, &r.facts, &r.err);
    return r;
}
#define TEXT(literal) ((qv__prompt_part){.text = (literal), .size = strlen(literal)})

static void check_refused(result r, qv_status status, const char *words) {
    CHECK_MSG(r.status == status, "status %d (%s), expected %d", r.status, r.err.message, status);
    CHECK_MSG(strstr(r.err.message, words), "\"%s\" lacks \"%s\"", r.err.message, words);
    qv__arena_clear(&r.arena);
}

TEST(pads_in_the_users_text) {
    static qv__vision_run run = {.height = 64, .width = 64};
    static const qv__visual picture = {false, 1, &run, NULL};
    qv__prompt_part one = TEXT("x<|image_pad|>y"), seam[2] = {TEXT("x<|video_"), TEXT("pad|>y")};
    qv__prompt_part with[2] = {one, {.visual = &picture}};
    check_refused(embed(&one, 1, (qv__prompt_options){0}), QV_INVALID_ARGUMENT, "<|image_pad|>");
    check_refused(embed(seam, 2, (qv__prompt_options){0}), QV_INVALID_ARGUMENT, "<|video_pad|>");
    check_refused(embed(with, 2, (qv__prompt_options){.prompt = QV_PROMPT_RAW}), QV_INVALID_ARGUMENT, "<|image_pad|>");
    result r =
        embed(&one, 1, (qv__prompt_options){.prompt = QV_PROMPT_RAW}); /* taken literally, as the reference does */
    CHECK_OK(r.status, r.err);
    CHECK_INT(r.s.length, 4);
    CHECK_INT(r.s.ids[1], 151655);
    CHECK_INT(r.s.positions[4 + 3], 3);
    qv__arena_clear(&r.arena);
}

TEST(cuts_and_limits) {
    static qv__vision_run run = {.height = 64, .width = 96}; /* 6 tokens */
    static const qv__visual picture = {false, 1, &run, NULL};
    qv__prompt_part parts[2] = {{.visual = &picture}, TEXT("one two three")};
    /* 14 tokens in front, 1 + 6 + 1 of the picture, 3, 5, 1: 31. The last pad is the 21st. */
    result r = embed(parts, 2, (qv__prompt_options){.max_length = 22});
    CHECK_OK(r.status, r.err);
    CHECK_INT(r.facts.untruncated, 31);
    CHECK_INT(r.s.length, 22);
    CHECK_INT(r.s.ids[20], 151655);
    CHECK_INT(r.s.ids[21], 151643);
    qv__arena_clear(&r.arena);
    check_refused(embed(parts, 2, (qv__prompt_options){.max_length = 20}), QV_TOO_LONG, "2 tokens behind the cut");
    check_refused(embed(parts, 2, (qv__prompt_options){.max_model_len = 30}), QV_TOO_LONG,
                  "31 tokens, 1 over the 30 that");
    check_refused(embed(parts, 2, (qv__prompt_options){.max_length = -1}), QV_INVALID_ARGUMENT, "negative");
    check_refused(embed(parts, 2, (qv__prompt_options){.no_special_tokens = true}), QV_INVALID_ARGUMENT, "raw");
    check_refused(embed(NULL, 0, (qv__prompt_options){.prompt = QV_PROMPT_RAW, .no_special_tokens = true}),
                  QV_INVALID_ARGUMENT, "no tokens");
    qv__prompt_part bad[2] = {TEXT("ok"), TEXT("abc\xFF")};
    check_refused(embed(bad, 2, (qv__prompt_options){0}), QV_INVALID_UTF8, "part 2 is not valid UTF-8 at byte 3");
    check_refused(embed(bad, 1, (qv__prompt_options){.instruction = "\xC0"}), QV_INVALID_UTF8, "instruction");
}

/* The rule of docs/MODEL.md part 4, seen in the tokens behind "system\n". */
TEST(instructions) {
    static const char *const same[][2] = {
        {"\xC2\x85\x1C Find it \xE3\x80\x80\n", "Find it."},
        {"Find it.", "Find it."},
        {"Find it\xE3\x80\x82 ", "Find it\xE3\x80\x82"},
        {"", "Represent the user's input."},
        {"\xE2\x80\x89", "Represent the user's input."},
        {"a+", "a+."},
        {"(a)", "(a)"},
        {"\xE2\x80\x8B", "\xE2\x80\x8B."}, /* a zero-width space is no white space */
    };
    qv__prompt_part x = TEXT("x");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        result a = embed(&x, 1, (qv__prompt_options){.instruction = same[i][0]});
        const qv__tokenizer *t;
        const qv__config *config;
        open_model("embedding", &t, &config);
        CHECK_OK(a.status, a.err);
        char text[256];
        qv__ids ids = {0};
        snprintf(text, sizeof text, "<|im_start|>system\n%s<|im_end|>\n", same[i][1]);
        CHECK_OK(qv__tokenizer_encode(t, text, strlen(text), false, 0, &ids, &a.err), a.err);
        for (size_t k = 0; k < ids.size; k++) CHECK_MSG(a.s.ids[k] == ids.data[k], "row %zu token %zu", i, k);
        qv__ids_clear(&ids);
        qv__arena_clear(&a.arena);
    }
}

TEST(positions_of_pictures_and_clips) {
    static qv__vision_run runs[3] = {
        {.height = 64, .width = 96}, {.height = 96, .width = 32}, {.height = 96, .width = 32}};
    static const double seconds[2] = {0.25, 1.25};
    static const qv__visual picture = {false, 1, runs, NULL}, clip = {true, 2, runs + 1, seconds};
    qv__prompt_part parts[2] = {{.visual = &picture}, {.visual = &clip}};
    result r = embed(parts, 2, (qv__prompt_options){.prompt = QV_PROMPT_RAW});
    CHECK_OK(r.status, r.err);
    /* start, 2x3 pads, end; "<0.2 seconds>" start 3x1 pads end; "<1.2 seconds>" start 3x1 pads end; end of text. */
    int32_t n = r.s.length, stamp = (n - 8 - 5 - 5 - 1) / 2;
    const int32_t *p = r.s.positions;
    static const int32_t picture_at[3][6] = {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 2, 2, 2}, {1, 2, 3, 1, 2, 3}};
    for (int axis = 0; axis < 3; axis++) {
        CHECK_INT(p[axis * n], 0);
        for (int i = 0; i < 6; i++) CHECK_INT(p[axis * n + 1 + i], picture_at[axis][i]);
        CHECK_INT(p[axis * n + 7], 4); /* 1 + max(2, 3) */
        int32_t first = r.s.runs[1].first_token, second = r.s.runs[2].first_token;
        CHECK_INT(first, 8 + stamp + 1);
        CHECK_INT(p[axis * n + first], 5 + stamp + 1);
        CHECK_INT(p[axis * n + first + 2], 5 + stamp + 1 + (axis == 1 ? 2 : 0));
        CHECK_INT(p[axis * n + first + 3], 5 + stamp + 1 + 3);
        CHECK_INT(p[axis * n + second], p[first + 3] + stamp + 2);
        CHECK_INT(p[axis * n + n - 1], p[second] + 4);
    }
    qv__arena_clear(&r.arena);
}

TEST(finished_tokens) {
    const qv__tokenizer *t;
    const qv__config *config;
    open_model("embedding", &t, &config);
    int32_t ids[3] = {14990, 1879, 151643};
    qv__arena arena = {0};
    qv__sequence s;
    qv__prompt_facts facts;
    qv_error err = {0};
    qv__prompt_options o = {.max_length = 2};
    CHECK_OK(qv__prompt_tokens(t, config, ids, 3, &o, &arena, &s, &facts, &err), err);
    CHECK(s.length == 2 && s.ids != ids && s.ids[1] == 1879 && s.positions[5] == 1 && facts.untruncated == 3);
    o.max_length = 0;
    ids[1] = config->text.vocab;
    CHECK_INT(qv__prompt_tokens(t, config, ids, 3, &o, &arena, &s, &facts, &err), QV_INVALID_ARGUMENT);
    ids[1] = -1;
    CHECK_INT(qv__prompt_tokens(t, config, ids, 3, &o, &arena, &s, &facts, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__prompt_tokens(t, config, ids, 0, &o, &arena, &s, &facts, &err), QV_INVALID_ARGUMENT);
    qv__arena_clear(&arena);
}

TEST(allocation_failures) {
    static qv__vision_run run = {.height = 64, .width = 96};
    static const qv__visual picture = {false, 1, &run, NULL};
    qv__prompt_part parts[2] = {{.visual = &picture}, TEXT("we\xCC\x81 three")};
    const qv__tokenizer *t;
    const qv__config *config;
    open_model("embedding", &t, &config); /* before the sweep */
    for (uint64_t n = 1;; n++) {
        qv__alloc_fail_at(n, true);
        result r = embed(parts, 2, (qv__prompt_options){0});
        bool reached = qv__alloc_count() >= n;
        qv__alloc_fail_at(0, false);
        qv__arena_clear(&r.arena);
        if (!reached) {
            CHECK_OK(r.status, r.err);
            CHECK(n > 5);
            break;
        }
        CHECK_INT(r.status, QV_NO_MEMORY);
    }
}
