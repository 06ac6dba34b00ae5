/* The C API over small dummy models: what it refuses and how it says so, failures that stay alone, bounded queues, many
 * threads, lack of memory. The numbers themselves are library_golden.c's matter. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "golden_inputs.h"
#include "lib/session.h"

static qv_part text_part(const char *text) {
    return (qv_part){QV_PART_TEXT, text, strlen(text)};
}

static const char *asset(const char *name) {
    static char paths[8][4096];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", golden_assets(), name);
    return path;
}

static qv_part image_file(const char *name) {
    return (qv_part){QV_PART_IMAGE_FILE, asset(name), 0};
}

static qv_input input_of(const qv_part *parts, size_t count) {
    return (qv_input){.parts = parts, .part_count = count};
}

/* Embeds one input and demands this failure. */
static void refuses(qv_model *model, const qv_input *in, qv_status status, const char *word, const char *other) {
    qv_embedding e;
    qv_error err = {0};
    CHECK_INT(qv_model_embed(model, in, 1, &e, &err), status);
    CHECK_INT(e.status, status);
    CHECK_INT(e.error.code, status);
    CHECK(!e.values);
    CHECK_STR(err.message, e.error.message);
    CHECK_MSG(strstr(err.message, word) && strstr(err.message, other), "\"%s\" says nothing of \"%s\" and \"%s\"",
              err.message, word, other);
}

/* ---- opening ---- */

static void open_refuses(const char *name, const qv_model_options *o, qv_status status, const char *word) {
    char folder[4096];
    qv_error err = {0};
    qv_model *model = (qv_model *)&err;
    if (name) snprintf(folder, sizeof folder, "%s/%s", getenv("QVEC_TEST_CHECKPOINTS"), name);
    CHECK_INT(qv_model_open(name ? folder : NULL, o, &model, &err), status);
    CHECK(!model);
    CHECK_MSG(strstr(err.message, word), "\"%s\" says nothing of \"%s\"", err.message, word);
}

TEST(open_refuses_what_it_cannot_do) {
    open_refuses(NULL, NULL, QV_INVALID_ARGUMENT, "folder");
    open_refuses("no-such-model", NULL, QV_NOT_FOUND, "no-such-model");
    open_refuses("tiny-embedding", NULL, QV_NOT_FOUND, "safetensors"); /* there are no weights */
    open_refuses("tiny-embedding", &(qv_model_options){.load_format = "pickle"}, QV_INVALID_ARGUMENT, "pickle");
    static const struct {
        qv_model_options options;
        const char *word;
    } rows[] = {{{.threads = -1}, "threads is -1"},
                {{.threads = 5000}, "threads is 5000"},
                {{.max_model_len = -5}, "max_model_len is -5"},
                {{.max_model_len = 1 << 22}, "positions"},
                {{.max_batched_tokens = INT64_MAX}, "max_batched_tokens"},
                {{.max_queued_items = -1}, "max_queued_items"},
                {{.image_cache_bytes = -2}, "image_cache_bytes is -2"},
                {{.prefix_cache_bytes = INT64_MIN}, "prefix_cache_bytes"},
                {{.max_media_bytes = -1}, "max_media_bytes"},
                {{.max_image_side = (int64_t)1 << 40}, "max_image_side"},
                {{.max_decode_seconds = NAN}, "max_decode_seconds"},
                {{.task = (qv_task)7}, "task is 7"},
                {{.cpu_tier = "sse9"}, "sse9"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_model_options o = rows[i].options;
        o.load_format = "dummy";
        open_refuses("tiny-embedding", &o, QV_INVALID_ARGUMENT, rows[i].word);
    }
}

TEST(facts_and_defaults) {
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_model_facts facts;
    qv_model_get_facts(model, &facts);
    CHECK_INT(facts.task, QV_TASK_EMBED);
    CHECK_INT(facts.embedding_size, 64);
    CHECK_INT(facts.max_model_len, 32768);
    CHECK(facts.threads >= 1 && facts.cpu_tier && *facts.cpu_tier);
    qv_model_close(&model);
    qv_model_close(&model);
    qv_model_close(NULL);
    model = golden_model("tiny-reranker", 0, &(qv_model_options){.threads = 3, .max_model_len = 77, .cpu_tier = "c"});
    qv_model_get_facts(model, &facts);
    CHECK_INT(facts.task, QV_TASK_RERANK);
    CHECK_INT(facts.max_model_len, 77);
    CHECK_INT(facts.threads, 3);
    CHECK_STR(facts.cpu_tier, "c");
    qv_model_close(&model);
    CHECK_STR(qv_version(), QVEC_VERSION);
}

/* ---- embedding ---- */

enum { MANY = 300 };

static void make_texts(char texts[][64], qv_part *parts, qv_input *inputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "text number %zu %.*s", i, (int)(i * 7 % 40),
                 "abcdefghijklmnopqrstuvwxyz 0123456789 and so on");
        parts[i] = text_part(texts[i]);
        inputs[i] = input_of(&parts[i], 1);
        inputs[i].prompt = i % 3 ? QV_PROMPT_RAW : QV_PROMPT_OFFICIAL;
    }
}

static void check_same(const qv_embedding *a, const qv_embedding *b) {
    CHECK_INT(a->status, QV_OK);
    CHECK_INT(b->status, QV_OK);
    CHECK_INT(a->dimensions, b->dimensions);
    CHECK(memcmp(a->values, b->values, (size_t)a->dimensions * sizeof *a->values) == 0);
}

/* Alone, all at once, in a queue of three, with other threads and caches: the same bytes, in the inputs' order. */
TEST(many_inputs_give_the_bytes_of_each_alone) {
    static char texts[MANY][64];
    static qv_part parts[MANY];
    static qv_input inputs[MANY];
    static qv_embedding alone[MANY], together[MANY];
    static const qv_model_options ways[] = {
        {.threads = 1},
        {.threads = 9, .max_queued_items = 3},
        {.threads = 2, .max_batched_tokens = 50, .prefix_cache_bytes = -1, .image_cache_bytes = -1},
    };
    make_texts(texts, parts, inputs, MANY);
    qv_error err = {0};
    qv_model *model = golden_model("tiny-embedding", 3, &(qv_model_options){.threads = 2});
    for (int i = 0; i < MANY; i += 7) CHECK_OK(qv_model_embed(model, &inputs[i], 1, &alone[i], &err), err);
    qv_model_close(&model);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        model = golden_model("tiny-embedding", 3, &ways[w]);
        CHECK_OK(qv_model_embed(model, inputs, MANY, together, &err), err);
        for (int i = 0; i < MANY; i += 7) check_same(&alone[i], &together[i]);
        CHECK(memcmp(together[0].values, together[1].values, 64) != 0);
        qv_embedding_clear(together, MANY);
        qv_model_close(&model);
    }
    qv_embedding_clear(alone, MANY);
}

TEST(nothing_to_embed) {
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_error err = {0};
    qv_embedding e;
    qv_input in = {0};
    CHECK_OK(qv_model_embed(model, NULL, 0, NULL, &err), err);
    CHECK_INT(qv_model_embed(model, NULL, 1, &e, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv_model_embed(model, &in, 1, NULL, &err), QV_INVALID_ARGUMENT);
    CHECK_OK(qv_model_embed(model, &in, 1, &e, &err), err); /* the official recipe embeds NULL */
    qv_embedding_clear(&e, 1);
    in.prompt = QV_PROMPT_RAW;
    CHECK_OK(qv_model_embed(model, &in, 1, &e, &err), err); /* the end token alone */
    CHECK_INT(e.tokens, 1);
    qv_embedding_clear(&e, 1);
    in.no_special_tokens = true;
    refuses(model, &in, QV_INVALID_ARGUMENT, "no tokens", "");
    in = (qv_input){.part_count = 2};
    refuses(model, &in, QV_INVALID_ARGUMENT, "2 parts", "");
    qv_model_close(&model);
}

TEST(dimensions_and_length) {
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_part part = text_part("red shoes");
    qv_input in[4] = {input_of(&part, 1), input_of(&part, 1), input_of(&part, 1), input_of(&part, 1)};
    qv_embedding e[4];
    qv_error err = {0};
    in[1].no_normalize = true;
    in[2].dimensions = 16;
    in[3].dimensions = 16;
    in[3].no_normalize = true;
    CHECK_OK(qv_model_embed(model, in, 4, e, &err), err);
    CHECK_INT(e[2].dimensions, 16);
    CHECK(memcmp(e[1].values, e[3].values, 16 * sizeof(float)) == 0);
    double whole = 0, first = 0;
    for (int i = 0; i < 64; i++) whole += (double)e[1].values[i] * (double)e[1].values[i];
    for (int i = 0; i < 16; i++) first += (double)e[1].values[i] * (double)e[1].values[i];
    CHECK(fabs(sqrt(whole) - 1) > 0.1);
    for (int i = 0; i < 16; i++) {
        CHECK(e[0].values[i] == (float)((double)e[1].values[i] / sqrt(whole)));
        CHECK(e[2].values[i] == (float)((double)e[1].values[i] / sqrt(first)));
    }
    qv_embedding_clear(e, 4);
    in[0].dimensions = 65;
    refuses(model, &in[0], QV_INVALID_ARGUMENT, "65", "64");
    in[0].dimensions = -1;
    refuses(model, &in[0], QV_INVALID_ARGUMENT, "-1", "64");
    qv_model_close(&model);
}

TEST(token_ids_are_embedded_as_given) {
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_error err = {0};
    const char *text = "token ids are embedded as given";
    int32_t *ids = NULL, *bare = NULL;
    size_t count, bare_count;
    CHECK_OK(qv_model_tokenize(model, text, strlen(text), true, &ids, &count, &err), err);
    CHECK_OK(qv_model_tokenize(model, text, strlen(text), false, &bare, &bare_count, &err), err);
    CHECK_INT(count, bare_count + 1);
    CHECK(memcmp(ids, bare, bare_count * sizeof *ids) == 0);
    CHECK_INT(ids[count - 1], 151643);
    qv_part parts[3] = {text_part(text), {QV_PART_TOKENS, ids, count}, text_part("x")};
    qv_input in[2] = {input_of(&parts[0], 1), input_of(&parts[1], 1)};
    in[0].prompt = in[1].prompt = QV_PROMPT_RAW;
    qv_embedding e[2];
    CHECK_OK(qv_model_embed(model, in, 2, e, &err), err);
    check_same(&e[0], &e[1]);
    qv_embedding_clear(e, 2);
    in[1].part_count = 2;
    refuses(model, &in[1], QV_INVALID_ARGUMENT, "token ids", "alone");
    CHECK_INT(qv_model_tokenize(model, "a\xff", 2, true, &ids, &count, &err), QV_INVALID_UTF8);
    CHECK(!ids && count == 0);
    qv_tokens_free(bare);
    qv_tokens_free((int32_t *)parts[1].data);
    qv_model_close(&model);
}

/* ---- failures ---- */

TEST(a_failing_input_does_not_disturb_the_others) {
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.max_model_len = 200});
    char longer[2000];
    memset(longer, 'a', sizeof longer);
    for (size_t i = 0; i < sizeof longer; i += 2) longer[i] = ' ';
    const qv_part parts[] = {text_part("good"),
                             {QV_PART_TEXT, "bad \xc3", 5},
                             {QV_PART_IMAGE, "no picture", 10},
                             {QV_PART_TEXT, longer, sizeof longer},
                             text_part("good")};
    static const qv_status want[] = {QV_OK, QV_INVALID_UTF8, QV_IMAGE_DECODE, QV_TOO_LONG, QV_OK};
    qv_input in[5];
    qv_embedding e[5], alone;
    qv_error err = {0};
    for (int i = 0; i < 5; i++) in[i] = input_of(&parts[i], 1);
    CHECK_INT(qv_model_embed(model, in, 5, e, &err), QV_INVALID_UTF8);
    CHECK(strstr(err.message, "input 1: "));
    for (int i = 0; i < 5; i++) {
        CHECK_INT(e[i].status, want[i]);
        CHECK((e[i].values != NULL) == (want[i] == QV_OK));
    }
    CHECK(e[3].untruncated == 1020 && strstr(e[3].error.message, "1020") && strstr(e[3].error.message, "200"));
    CHECK_OK(qv_model_embed(model, in, 1, &alone, &err), err);
    check_same(&alone, &e[0]);
    check_same(&alone, &e[4]);
    qv_embedding_clear(&alone, 1);
    qv_embedding_clear(e, 5);
    qv_model_close(&model);
}

TEST(media_errors_name_the_part) {
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_part frames[] = {image_file("frame0.png"), image_file("frame1.png"), image_file("wide.jpg"), text_part("x")};
    const struct {
        qv_part parts[3];
        size_t count;
        qv_status status;
        const char *word, *other;
    } rows[] = {
        {{text_part("t"), image_file("small.png"), {QV_PART_IMAGE, "???", 3}}, 3, QV_IMAGE_DECODE, "image 2: ", ""},
        {{image_file("none.png")}, 1, QV_MEDIA_SOURCE, "image 1: ", "none.png"},
        {{{QV_PART_IMAGE_FILE, NULL, 0}}, 1, QV_INVALID_ARGUMENT, "image 1: ", "path"},
        {{image_file("small.png"), {QV_PART_VIDEO, "no video", 8}}, 2, QV_VIDEO_DECODE, "video 1: ", ""},
        {{{QV_PART_VIDEO_FILE, asset("small.png"), 0}}, 1, QV_VIDEO_DECODE, "video 1: ", ""},
        {{{QV_PART_VIDEO_FRAMES, frames, 3}}, 1, QV_INVALID_ARGUMENT, "video 1: frame 3: ", "900 x 80"},
        {{{QV_PART_VIDEO_FRAMES, frames + 3, 1}}, 1, QV_INVALID_ARGUMENT, "video 1: frame 1: ", "picture"},
        {{{QV_PART_VIDEO_FRAMES, frames, 0}}, 1, QV_INVALID_ARGUMENT, "video 1: ", "0 frames"},
        {{{(qv_part_kind)99, NULL, 0}}, 1, QV_INVALID_ARGUMENT, "kind 99", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_input in = input_of(rows[i].parts, rows[i].count);
        refuses(model, &in, rows[i].status, rows[i].word, rows[i].other);
    }
    qv_part image = image_file("small.png"), video = {QV_PART_VIDEO_FILE, asset("lossless_rgb.mkv"), 0};
    qv_input in = input_of(&image, 1);
    in.min_pixels = 9000;
    in.max_pixels = 8000;
    refuses(model, &in, QV_INVALID_ARGUMENT, "image 1: min_pixels is 9000", "8000");
    in = input_of(&video, 1);
    in.max_frames = 1;
    refuses(model, &in, QV_INVALID_ARGUMENT, "video 1: max_frames is 1", "2");
    in.max_frames = 5000;
    refuses(model, &in, QV_INVALID_ARGUMENT, "video 1: max_frames is 5000", "768");
    in = (qv_input){.parts = &video, .part_count = 1, .fps = -3};
    refuses(model, &in, QV_INVALID_ARGUMENT, "video 1: fps is -3", "");
    qv_model_close(&model);
}

/* Pictures are counted before they are resized: whatever the wishes, memory follows max_model_len. */
TEST(media_that_cannot_fit_are_refused_early) {
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.max_model_len = 100});
    qv_part parts[] = {image_file("base.jpg"), image_file("base.jpg")}; /* 54 tokens each */
    qv_input in = input_of(parts, 2);
    refuses(model, &in, QV_TOO_LONG, "image 2: ", "108 here, 8 over the 100");
    in.part_count = 1;
    in.min_pixels = in.max_pixels = INT64_C(1) << 40;
    refuses(model, &in, QV_TOO_LONG, "image 1: ", "over the 100 that");
    in = input_of(parts, 1);
    in.max_length = 30;
    refuses(model, &in, QV_TOO_LONG, "would cut into a picture", "");
    qv_part video = {QV_PART_VIDEO_FILE, asset("lossless_rgb.mkv"), 0};
    in = input_of(&video, 1);
    refuses(model, &in, QV_TOO_LONG, "video 1: ", "280");
    qv_model_close(&model);
}

TEST(files_stay_below_the_media_root) {
    char root[4096];
    snprintf(root, sizeof root, "%s", golden_assets());
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.media_root = root});
    memset(root, 'x', 5); /* the model keeps a copy */
    qv_part inside = {QV_PART_IMAGE_FILE, "small.png", 0}, outside = {QV_PART_IMAGE_FILE, "../tiny-embed.json", 0};
    qv_input in = input_of(&inside, 1);
    qv_embedding e;
    qv_error err = {0};
    CHECK_OK(qv_model_embed(model, &in, 1, &e, &err), err);
    qv_embedding_clear(&e, 1);
    in = input_of(&outside, 1);
    refuses(model, &in, QV_MEDIA_SOURCE, "image 1: ", "");
    qv_model_close(&model);
}

/* ---- reranking ---- */

TEST(rerank_refuses_and_goes_on) {
    qv_model *model = golden_model("tiny-reranker", 0, NULL);
    const qv_part parts[] = {text_part("query"), text_part("one"), {QV_PART_IMAGE, "?", 1}, text_part("one")};
    qv_input query = input_of(parts, 1), documents[3];
    qv_score s[3];
    qv_error err = {0};
    for (int i = 0; i < 3; i++) documents[i] = input_of(&parts[i + 1], 1);
    CHECK_INT(qv_model_rerank(model, &query, documents, 3, s, &err), QV_IMAGE_DECODE);
    CHECK(strstr(err.message, "document 1: image 1: "));
    CHECK_INT(s[0].status, QV_OK);
    CHECK_INT(s[1].status, QV_IMAGE_DECODE);
    CHECK(s[0].score == s[2].score && s[0].logit == s[2].logit && s[0].score > 0 && s[0].score < 1);
    query = input_of(&parts[2], 1);
    CHECK_INT(qv_model_rerank(model, &query, documents, 3, s, &err), QV_IMAGE_DECODE);
    CHECK(strstr(err.message, "query: image 1: "));
    for (int i = 0; i < 3; i++) CHECK_INT(s[i].status, QV_IMAGE_DECODE);
    CHECK_INT(qv_model_rerank(model, NULL, documents, 3, s, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv_model_rerank(model, &query, documents, 3, NULL, &err), QV_INVALID_ARGUMENT);
    query = input_of(&parts[0], 1);
    CHECK_OK(qv_model_rerank(model, &query, NULL, 0, NULL, &err), err);
    int32_t id = 5;
    qv_part tokens = {QV_PART_TOKENS, &id, 1};
    documents[0] = input_of(&tokens, 1);
    CHECK_INT(qv_model_rerank(model, &query, documents, 1, s, &err), QV_INVALID_ARGUMENT);
    qv_model_close(&model);
}

TEST(each_model_does_its_own_task) {
    qv_model *embedder = golden_model("tiny-embedding", 0, NULL), *reranker = golden_model("tiny-reranker", 0, NULL);
    qv_part part = text_part("x");
    qv_input in = input_of(&part, 1);
    qv_score s;
    qv_error err = {0};
    CHECK_INT(qv_model_rerank(embedder, &in, &in, 1, &s, &err), QV_WRONG_TASK);
    CHECK_INT(s.status, QV_WRONG_TASK);
    refuses(reranker, &in, QV_WRONG_TASK, "reranker", "");
    qv_model_close(&embedder);
    qv_model_close(&reranker);
    reranker = golden_model("tiny-embedding", 0, &(qv_model_options){.task = QV_TASK_RERANK}); /* forced */
    CHECK_OK(qv_model_rerank(reranker, &in, &in, 1, &s, &err), err);
    qv_model_close(&reranker);
}

/* The query's pictures are decoded once; an item keeps them alive after the query was released. */
TEST(items_hold_on_to_their_query) {
    qv_model *model = golden_model("tiny-reranker", 0, NULL);
    qv_part parts[] = {image_file("small.png"), text_part("doc")};
    qv_input query_input = input_of(parts, 1), document = input_of(parts + 1, 1);
    qv__query *query;
    qv__item *items[2], *pair;
    qv__prepared facts;
    qv_error err = {0};
    CHECK_OK(qv__query_open(model, &query_input, NULL, &query, &err), err);
    for (int i = 0; i < 2; i++)
        CHECK_OK(qv__session_prepare_document(model, query, &document, NULL, &items[i], &facts, &err), err);
    qv__query_release(&query);
    CHECK(!query);
    CHECK_OK(qv__query_open(model, &query_input, NULL, &query, &err), err);
    CHECK_OK(qv__session_prepare_document(model, query, &document, NULL, &pair, &facts, &err), err);
    qv__query_release(&query);
    CHECK_INT(facts.visual_count, 1);
    const qv__vision_run *a = items[0]->sequence.runs, *b = items[1]->sequence.runs, *c = pair->sequence.runs;
    CHECK(a->frame[0] == b->frame[0] && a->frame[0] != c->frame[0]);
    CHECK(memcmp(a->key, c->key, sizeof a->key) == 0);
    qv__item_free(items[0]);
    CHECK(memcmp(b->frame[0], c->frame[0], (size_t)b->height * (size_t)b->width * 3) == 0);
    qv__item_free(items[1]);
    qv__item_free(pair);
    qv__item_free(NULL);
    qv_model_close(&model);
}

/* ---- many threads ---- */

enum { CALLERS = 4, CALLS = 12, PER_CALL = 6 };

typedef struct {
    qv_model *model;
    const qv_input *inputs;
    const qv_embedding *want;
    int first, wrong;
} caller;

static void *call_often(void *context) {
    caller *c = context;
    for (int i = 0; i < CALLS; i++) {
        int first = (c->first + i * 5) % (MANY - PER_CALL);
        qv_embedding got[PER_CALL];
        c->wrong += qv_model_embed(c->model, c->inputs + first, PER_CALL, got, NULL) != QV_OK;
        for (int k = 0; k < PER_CALL; k++)
            c->wrong += !got[k].values || memcmp(got[k].values, c->want[first + k].values, 64 * sizeof(float)) != 0;
        qv_embedding_clear(got, PER_CALL);
    }
    return NULL;
}

TEST(many_threads_share_a_model) {
    static char texts[MANY][64];
    static qv_part parts[MANY];
    static qv_input inputs[MANY];
    static qv_embedding want[MANY];
    pthread_t threads[CALLERS];
    caller callers[CALLERS];
    qv_error err = {0};
    make_texts(texts, parts, inputs, MANY);
    parts[5] = image_file("small.png");
    parts[50] = image_file("odd444.jpg");
    inputs[5].prompt = inputs[50].prompt = QV_PROMPT_OFFICIAL;
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.threads = 4, .max_queued_items = 40});
    CHECK_OK(qv_model_embed(model, inputs, MANY, want, &err), err);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){model, inputs, want, i * 40, 0};
        CHECK(pthread_create(&threads[i], NULL, call_often, &callers[i]) == 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(callers[i].wrong, 0);
    }
    qv_embedding_clear(want, MANY);
    qv_model_close(&model);
}

/* ---- without memory ---- */

TEST(open_without_memory) {
    char folder[4096];
    qv_model *model = NULL;
    qv_error err;
    int failures = 0;
    snprintf(folder, sizeof folder, "%s/tiny-reranker", getenv("QVEC_TEST_CHECKPOINTS"));
    /* Opening takes tens of thousands of allocations: every one of the first, then fewer and fewer. */
    for (uint64_t n = 1;; n += 1 + n / 4) {
        err = (qv_error){0};
        qv__alloc_fail_at(n, n % 2);
        qv_status status = qv_model_open(
            folder, &(qv_model_options){.load_format = "dummy", .threads = 2, .media_root = "/"}, &model, &err);
        qv__alloc_fail_at(0, false);
        if (!status) break;
        CHECK_MSG(status == QV_NO_MEMORY, "allocation %llu: %s: %s", (unsigned long long)n, qv_status_name(status),
                  err.message);
        CHECK(!model && err.message[0]);
        failures++;
    }
    CHECK(failures > 10);
    qv_model_close(&model);
}

/* Either the whole answer, the same as always, or an error that says why. */
TEST(embed_without_memory) {
    qv_part frames[] = {image_file("frame0.png"), image_file("frame1.png"), image_file("frame2.png")};
    qv_part parts[] = {text_part("text"), image_file("rgba.png"), {QV_PART_VIDEO_FRAMES, frames, 3}};
    qv_input in = input_of(parts, 3);
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.threads = 2, .image_cache_bytes = -1});
    qv_embedding want, got;
    qv_error err = {0};
    CHECK_OK(qv_model_embed(model, &in, 1, &want, &err), err);
    int failures = 0, in_a_row = 0;
    for (uint64_t n = 1; in_a_row < 3; n++) {
        err = (qv_error){0};
        qv__alloc_fail_at(n, false);
        qv_status status = qv_model_embed(model, &in, 1, &got, &err);
        bool reached = qv__alloc_count() >= n;
        qv__alloc_fail_at(0, false);
        in_a_row = reached ? 0 : in_a_row + 1;
        if (status) {
            CHECK_MSG(status == QV_NO_MEMORY, "allocation %llu: %s: %s", (unsigned long long)n, qv_status_name(status),
                      err.message);
            CHECK(!got.values);
            failures++;
        } else
            check_same(&want, &got);
        qv_embedding_clear(&got, 1);
    }
    CHECK(failures > 15);
    qv_embedding_clear(&want, 1);
    qv_model_close(&model);
}

TEST(rerank_without_memory) {
    qv_part parts[] = {image_file("small.png"), text_part("a document")};
    qv_input query = input_of(parts, 1), document = input_of(parts + 1, 1);
    qv_model *model = golden_model("tiny-reranker", 0, &(qv_model_options){.threads = 1});
    qv_score want, got;
    qv_error err = {0};
    int failures = 0, in_a_row = 0;
    CHECK_OK(qv_model_rerank(model, &query, &document, 1, &want, &err), err);
    for (uint64_t n = 1; in_a_row < 3; n++) {
        qv__alloc_fail_at(n, false);
        qv_status status = qv_model_rerank(model, &query, &document, 1, &got, &err);
        in_a_row = qv__alloc_count() >= n ? 0 : in_a_row + 1;
        qv__alloc_fail_at(0, false);
        CHECK_MSG(status == QV_OK || status == QV_NO_MEMORY, "allocation %llu: %s", (unsigned long long)n, err.message);
        CHECK(status || got.score == want.score);
        failures += status != QV_OK;
    }
    CHECK(failures > 5);
    qv_model_close(&model);
}
