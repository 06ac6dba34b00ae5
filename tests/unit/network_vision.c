/* Pictures in the network: the same features alone, packed, cut into groups and blocks, from a cache, behind a prefix.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "network_fixture.h"

#define CHECK_ROWS(f, a, b) CHECK(memcmp(a, b, (size_t)(f).hidden * sizeof(float)) == 0)

static void forward(const fixture *f, const qv__batch *batch) {
    qv_error err = {0};
    qv_status status[64];
    CHECK(batch->count <= 64);
    CHECK_OK(qv__network_forward(f->network, batch, status, &err), err);
    for (int i = 0; i < batch->count; i++) CHECK_INT(status[i], QV_OK);
}

enum { PICTURES = 6, PROMPTS = 5 };

/* One to three pictures each; the first picture stands in three of the prompts. */
static void make_prompts(const fixture *f, qv__sequence **prompts) {
    uint64_t state = 31;
    qv__vision_run p[PICTURES] = {
        fixture_picture(96, 128, false, &state), fixture_picture(32, 32, false, &state),
        fixture_picture(64, 32, true, &state),   fixture_picture(32, 320, false, &state),
        fixture_picture(160, 96, true, &state),  fixture_picture(64, 64, false, &state),
    };
    prompts[0] = fixture_random_mixture(f, 3, p, 1, 2, &state);
    prompts[1] = fixture_random_mixture(f, 0, p + 1, 3, 0, &state);
    prompts[2] = fixture_random_text(f, 9, &state);
    prompts[3] = fixture_random_mixture(f, 20, (qv__vision_run[]){p[0], p[4], p[0]}, 3, 1, &state);
    prompts[4] = fixture_random_mixture(f, 1, (qv__vision_run[]){p[5], p[0]}, 2, 12, &state);
}

TEST(pictures_give_the_same_bytes_in_any_batch) {
    static const fixture_options ways[] = {
        {.model = "small-embedding"},
        {.model = "small-embedding", .network = {.row_block = 1}, .threads = 1},
        {.model = "small-embedding", .network = {.row_block = 10, .max_vision_rows = 1}, .tier = "c"},
        {.model = "small-embedding", .network = {.row_block = 64, .max_vision_rows = 64}, .threads = 3, .tier = "avx2"},
    };
    fixture f;
    qv__sequence *prompts[PROMPTS];
    const float *alone[PROMPTS];
    qv__batch_item items[PROMPTS];
    fixture_forget();
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        fixture_open(&f, &ways[way]);
        make_prompts(&f, prompts);
        for (int i = 0; i < PROMPTS && way == 0; i++) alone[i] = fixture_hidden(&f, prompts[i]);
        for (int i = 0; i < PROMPTS; i++)
            items[i] = (qv__batch_item){.sequence = prompts[PROMPTS - 1 - i], .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = items, .count = PROMPTS});
        for (int i = 0; i < PROMPTS; i++) CHECK_ROWS(f, items[i].hidden, alone[PROMPTS - 1 - i]);
        fixture_close(&f);
    }
    for (int i = 1; i < PROMPTS; i++) CHECK(memcmp(alone[i], alone[0], sizeof(float) * 4) != 0);
}

TEST(both_frames_and_every_pixel_count) {
    fixture f;
    uint64_t state = 37;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding"});
    qv__vision_run clip = fixture_picture(64, 96, true, &state);
    qv__sequence *s = fixture_random_mixture(&f, 3, &clip, 1, 2, &state);
    const float *first = fixture_hidden(&f, s);
    for (int frame = 0; frame < 2; frame++) {
        uint8_t *pixel = (uint8_t *)(uintptr_t)clip.frame[frame] + 64 * 96 * 3 - 1 - frame * 1000;
        *pixel ^= 0x80;
        CHECK(memcmp(fixture_hidden(&f, s), first, sizeof(float) * 4) != 0);
        *pixel ^= 0x80;
    }
    CHECK_ROWS(f, fixture_hidden(&f, s), first);
    fixture_close(&f);
}

/* ---- the feature cache ---------------------------------------------------------------------------- */

struct cache {
    const fixture *f;
    bool off; /* finds nothing */
    int count, hits;
    struct {
        uint8_t key[32];
        float *features;
    } entries[PICTURES];
};

static bool find(void *user, const qv__vision_run *run, const float **features) {
    struct cache *c = user;
    for (int i = 0; i < c->count && !c->off; i++) {
        if (memcmp(c->entries[i].key, run->key, sizeof run->key)) continue;
        *features = c->entries[i].features;
        c->hits++;
        return true;
    }
    return false;
}

static void offer(void *user, const qv__vision_run *run, const float *features, int64_t floats) {
    struct cache *c = user;
    const qv__vision_config *v = &c->f->config->vision;
    CHECK_INT(floats, qv__vision_tokens(v, run->height, run->width) * (1 + v->deepstack_count) * c->f->hidden);
    CHECK(c->count < PICTURES);
    c->entries[c->count].features = fixture_alloc((size_t)floats, sizeof(float));
    memcpy(c->entries[c->count].features, features, (size_t)floats * sizeof(float));
    memcpy(c->entries[c->count++].key, run->key, sizeof run->key);
}

TEST(cached_features_give_the_same_bytes_and_each_picture_is_computed_once) {
    fixture f;
    qv__sequence *prompts[PROMPTS];
    const float *alone[PROMPTS];
    qv__batch_item items[PROMPTS];
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "untied-embedding"});
    make_prompts(&f, prompts);
    for (int i = 0; i < PROMPTS; i++) alone[i] = fixture_hidden(&f, prompts[i]);
    struct cache cache = {.f = &f};
    qv__feature_cache calls = {find, offer, &cache};
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < PROMPTS; i++)
            items[i] = (qv__batch_item){.sequence = prompts[i], .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = items, .count = PROMPTS, .features = &calls});
        for (int i = 0; i < PROMPTS; i++) CHECK_ROWS(f, items[i].hidden, alone[i]);
        CHECK_INT(cache.count, PICTURES);
        CHECK_INT(cache.hits, turn ? PICTURES : 0);
    }
    cache.entries[0].features[5] += 1; /* what the cache holds is what is used */
    items[0] = (qv__batch_item){.sequence = prompts[0], .hidden = fixture_row(&f)};
    forward(&f, &(qv__batch){.items = items, .count = 1, .features = &calls});
    CHECK(memcmp(items[0].hidden, alone[0], (size_t)f.hidden * sizeof(float)) != 0);
    fixture_close(&f);
}

/* ---- prefixes ------------------------------------------------------------------------------------- */

TEST(a_prefix_may_end_inside_a_picture) {
    fixture f;
    uint64_t state = 41;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "small-embedding", .network.row_block = 8});
    qv__vision_run pictures[] = {fixture_picture(64, 96, false, &state), fixture_picture(64, 64, true, &state)};
    qv__sequence *s = fixture_random_mixture(&f, 4, pictures, 2, 3, &state);
    const float *whole = fixture_hidden(&f, s);
    qv__prefix kept = fixture_prefix(&f, s->length);
    qv__batch_item item = {.sequence = s, .keep = &kept};
    forward(&f, &(qv__batch){.items = &item, .count = 1});
    for (int cut = 1; cut < s->length; cut++) {
        qv__prefix view = kept;
        view.length = cut;
        item = (qv__batch_item){.sequence = s, .prefix = &view, .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = &item, .count = 1});
        CHECK_ROWS(f, item.hidden, whole);
    }
    fixture_prefix_close(&f, &kept);
    fixture_close(&f);
}

/* Chunks whose ends cut pictures, with less room for rows than the pictures have tokens. */
TEST(chunks_may_end_inside_a_picture) {
    fixture f, whole;
    uint64_t state = 43;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network = {.max_tokens = 10, .row_block = 4}});
    fixture_open(&whole, &(fixture_options){.model = "tiny-embedding"});
    qv__vision_run pictures[] = {fixture_picture(128, 96, false, &state), fixture_picture(64, 64, true, &state)};
    qv__sequence *s = fixture_random_mixture(&f, 4, pictures, 2, 3, &state);
    qv__prefix store = fixture_prefix(&f, s->length);
    float *hidden = fixture_row(&f);
    for (int done = 0; done < s->length;) {
        int end = done + 10 < s->length ? done + 10 : s->length;
        qv__sequence *chunk = fixture_sequence(&f, s->ids, s->length, s->runs, s->run_count);
        for (int axis = 1; axis < 3; axis++)
            memmove(chunk->positions + axis * end, chunk->positions + axis * s->length, (size_t)end * sizeof(int32_t));
        chunk->length = end; /* runs may reach beyond it */
        qv__prefix before = store, after = store;
        before.length = done;
        after.length = end;
        qv__batch_item item = {
            .sequence = chunk, .prefix = &before, .keep = &after, .hidden = end == s->length ? hidden : NULL};
        forward(&f, &(qv__batch){.items = &item, .count = 1});
        done = end;
    }
    CHECK_ROWS(f, hidden, fixture_hidden(&whole, s));
    fixture_prefix_close(&f, &store);
    fixture_close(&f);
    fixture_close(&whole);
}

/* ---- a forward inside a pause --------------------------------------------------------------------- */

TEST(a_picture_inside_a_pause_of_the_vision_tower) {
    fixture f;
    uint64_t state = 47;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network = {.row_block = 24, .nested_tokens = 30}});
    qv__vision_run large = fixture_picture(160, 192, false, &state), small = fixture_picture(64, 96, true, &state);
    qv__sequence *outer = fixture_random_mixture(&f, 4, &large, 1, 3, &state);
    qv__sequence *inner = fixture_random_mixture(&f, 2, &small, 1, 3, &state);
    const float *expected = fixture_hidden(&f, outer);
    fixture_nested n = {.f = &f, .prompt = inner, .expected = fixture_hidden(&f, inner)};
    qv__batch_item item = {.sequence = outer, .hidden = fixture_row(&f)};
    forward(&f, &(qv__batch){.items = &item, .count = 1, .pause = fixture_run_nested, .user = &n});
    CHECK_ROWS(f, item.hidden, expected);
    CHECK_INT(n.different, 0);
    CHECK_MSG(n.calls > 20, "%d pauses", n.calls);
    fixture_close(&f);
}

/* ---- errors --------------------------------------------------------------------------------------- */

static qv_status refused(const fixture *f, const qv__sequence *s, qv_error *err) {
    qv_status status;
    float hidden[1024];
    qv__batch_item item = {.sequence = s, .hidden = hidden};
    return qv__network_forward(f->network, &(qv__batch){.items = &item, .count = 1}, &status, err);
}

TEST(wrong_pictures_are_refused) {
    fixture f;
    qv_error err;
    uint64_t state = 53;
    fixture_forget();
    fixture_open(&f,
                 &(fixture_options){.model = "tiny-embedding", .network = {.max_tokens = 64, .max_vision_rows = 4}});
    qv__vision_run pictures[] = {fixture_picture(64, 64, false, &state), fixture_picture(32, 32, false, &state)};
    qv__sequence *s = fixture_random_mixture(&f, 4, pictures, 2, 3, &state);
    CHECK_INT(refused(&f, s, &err), QV_OK);
    s->runs[0].width = 48;
    CHECK_INT(refused(&f, s, &err), QV_INVALID_ARGUMENT);
    CHECK_STR(err.message, "item 0 of the batch: a picture of 64 x 48 pixels, not multiples of 32");
    s->runs[0].width = 0;
    CHECK_INT(refused(&f, s, &err), QV_INVALID_ARGUMENT);
    s->runs[0].width = 64;
    s->runs[1].first_token = s->runs[0].first_token + 3; /* inside the first */
    CHECK_INT(refused(&f, s, &err), QV_INVALID_ARGUMENT);
    s->run_count = 1;
    s->runs[0].first_token = -1;
    CHECK_INT(refused(&f, s, &err), QV_INVALID_ARGUMENT);
    s->runs[0].first_token = 5;
    s->runs[0].height = 32 * 33; /* 2112 tokens: more than the 2048 there is always room for */
    s->runs[0].width = 32 * 64;
    CHECK_INT(refused(&f, s, &err), QV_TOO_LARGE);
    CHECK_STR(err.message, "a picture of 1056 x 2048 pixels has 8448 patches, more than the 8192 there is room for");
    fixture_close(&f);
}

/* Dummy weights go by name, so the same config.json without its vision tower gives the same decoder. */
TEST(a_checkpoint_without_a_vision_tower) {
    fixture f, whole;
    uint64_t state = 59;
    qv_error err = {0};
    char folder[] = "/tmp/qvec-test-XXXXXX", path[64];
    fixture_forget();
    json_t *config = json_load_file(check_source_path("golden/data/configs/tiny/config.json"), 0, NULL);
    CHECK(config && json_object_del(config, "vision_config") == 0 && mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    CHECK(json_dump_file(config, path, 0) == 0);
    json_decref(config);
    fixture_open(&f, &(fixture_options){.model = folder});
    remove(path);
    remove(folder);
    CHECK(!f.config->has_vision);
    fixture_open(&whole, &(fixture_options){.model = "tiny-embedding"});
    qv__sequence *text = fixture_random_text(&whole, 50, &state);
    CHECK_ROWS(f, fixture_hidden(&f, text), fixture_hidden(&whole, text));
    qv__vision_run picture = fixture_picture(64, 64, false, &state);
    CHECK_INT(refused(&f, fixture_random_mixture(&whole, 4, &picture, 1, 3, &state), &err), QV_UNSUPPORTED);
    CHECK_STR(err.message, "this checkpoint has no vision tower");
    fixture_close(&f);
    fixture_close(&whole);
}
