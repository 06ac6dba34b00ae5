/* Calls in pieces: the bytes of the whole call, a matrix of the caller's, progress, and cancelling at every stage. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "check.h"
#include "golden_inputs.h"

enum { MANY = 200, WIDTH = 64, LONG_TOKENS = 30000 };

typedef struct {
    char texts[MANY][64];
    qv_part parts[MANY];
    qv_input inputs[MANY];
    qv_embedding results[MANY];
} texts;

static texts *make_texts(void) {
    texts *t = calloc(1, sizeof *t);
    for (int i = 0; i < MANY; i++) {
        snprintf(t->texts[i], sizeof t->texts[i], "text number %d %.*s", i, i * 7 % 26, "abcdefghijklmnopqrstuvwxyz");
        t->parts[i] = (qv_part){QV_PART_TEXT, t->texts[i], strlen(t->texts[i])};
        t->inputs[i] = (qv_input){.parts = &t->parts[i], .part_count = 1};
    }
    return t;
}

/* One text of so many tokens. */
static char *make_long(qv_part *part, int tokens) {
    char *text = malloc((size_t)tokens * 2);
    for (int i = 0; i < 2 * tokens; i += 2) memcpy(text + i, " a", 2);
    *part = (qv_part){QV_PART_TEXT, text, (size_t)tokens * 2};
    return text;
}

static void check_rows(const texts *t, const qv_embedding *want, const float *matrix, size_t stride) {
    for (size_t i = 0; i < MANY; i++) {
        CHECK_INT(t->results[i].status, QV_OK);
        CHECK(!t->results[i].values);
        CHECK_INT(t->results[i].tokens, want[i].tokens);
        CHECK(memcmp(matrix + i * stride, want[i].values, WIDTH * sizeof(float)) == 0);
        for (size_t k = WIDTH; k < stride; k++)
            CHECK(matrix[i * stride + k] == -7); /* what lies between is not touched */
    }
}

TEST(a_job_in_steps_fills_the_matrix_with_the_same_bytes) {
    enum { STRIDE = WIDTH + 3 };
    static float matrix[MANY * STRIDE];
    static const double waits[] = {0, 1e-4, 0.05, INFINITY};
    static const int threads[] = {1, 9};
    texts *t = make_texts();
    qv_embedding *want = calloc(MANY, sizeof *want);
    qv_error err = {0};
    for (int k = 0; k < 2; k++) {
        qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.threads = threads[k]});
        CHECK_OK(qv_model_embed(model, t->inputs, MANY, want, &err), err);
        for (size_t w = 0; w < sizeof waits / sizeof *waits; w++) {
            qv_job *job;
            size_t finished = 0;
            int64_t tokens = 0, sum = 0;
            for (size_t i = 0; i < sizeof matrix / sizeof *matrix; i++) matrix[i] = -7;
            CHECK_OK(qv_job_embed(model, t->inputs, MANY, t->results, matrix, STRIDE, &job, &err), err);
            while (!qv_job_wait(job, waits[w])) {
                size_t before = finished;
                qv_job_progress(job, &finished, &tokens);
                CHECK(finished >= before && finished <= MANY);
            }
            qv_job_progress(job, &finished, &tokens);
            CHECK_INT(finished, MANY);
            CHECK_OK(qv_job_end(&job, &err), err);
            CHECK(!job);
            for (int i = 0; i < MANY; i++) sum += want[i].tokens;
            CHECK_INT(tokens, sum);
            check_rows(t, want, matrix, STRIDE);
        }
        qv_embedding_clear(want, MANY);
        qv_model_close(&model);
    }
    free(want);
    free(t);
}

TEST(a_matrix_that_is_too_narrow_fails_alone) {
    static float matrix[MANY * 16];
    texts *t = make_texts();
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_error err = {0};
    qv_job *job;
    for (int i = 0; i < MANY; i++) t->inputs[i].dimensions = i == 3 ? 17 : 16;
    CHECK_OK(qv_job_embed(model, t->inputs, MANY, t->results, matrix, 16, &job, &err), err);
    CHECK_INT(qv_job_end(&job, &err), QV_INVALID_ARGUMENT);
    CHECK(strstr(err.message, "input 3: 17 dimensions") && strstr(err.message, "room for 16"));
    for (int i = 0; i < MANY; i++) CHECK_INT(t->results[i].status, i == 3 ? QV_INVALID_ARGUMENT : QV_OK);
    CHECK(matrix[3 * 16] == 0 && matrix[4 * 16] != 0);
    CHECK_INT(qv_job_end(&job, &err), QV_OK);
    CHECK_INT(qv_job_end(NULL, &err), QV_OK);
    CHECK_INT(qv_job_embed(model, NULL, 1, t->results, NULL, 0, &job, &err), QV_INVALID_ARGUMENT);
    CHECK(!job);
    qv_model_close(&model);
    free(t);
}

/* ---- cancelling ---- */

TEST(cancelled_before_the_first_step) {
    texts *t = make_texts();
    qv_model *model = golden_model("tiny-embedding", 0, NULL);
    qv_error err = {0};
    qv_job *job;
    CHECK_OK(qv_job_embed(model, t->inputs, MANY, t->results, NULL, 0, &job, &err), err);
    qv_job_cancel(job);
    CHECK(qv_job_wait(job, 10));
    CHECK_INT(qv_job_end(&job, &err), QV_CANCELLED);
    CHECK(strstr(err.message, "cancelled"));
    for (int i = 0; i < MANY; i++) CHECK(t->results[i].status == QV_CANCELLED && !t->results[i].values);
    qv_model_close(&model);
    free(t);
}

/* The input alone would be computed to its end if the forward pass were not given up. */
TEST(a_long_input_is_given_up_while_it_is_computed) {
    qv_model *model = golden_model("small-embedding", 0, &(qv_model_options){.threads = 1});
    qv_part part, after = {QV_PART_TEXT, "after", 5};
    char *text = make_long(&part, LONG_TOKENS);
    qv_input in = {.parts = &part, .part_count = 1, .prompt = QV_PROMPT_RAW},
             later = {.parts = &after, .part_count = 1};
    qv_embedding e, want, got;
    qv_error err = {0};
    qv_job *job;
    CHECK_OK(qv_model_embed(model, &later, 1, &want, &err), err);
    CHECK_OK(qv_job_embed(model, &in, 1, &e, NULL, 0, &job, &err), err);
    CHECK(!qv_job_wait(job, 0.1));
    qv_job_cancel(job);
    CHECK_INT(qv_job_end(&job, &err), QV_CANCELLED);
    CHECK(strstr(err.message, "while it was computed"));
    CHECK(!e.values);
    CHECK_OK(qv_model_embed(model, &later, 1, &got, &err), err); /* nothing half computed was kept */
    CHECK(memcmp(want.values, got.values, (size_t)want.dimensions * sizeof(float)) == 0);
    qv_embedding_clear(&want, 1);
    qv_embedding_clear(&got, 1);
    qv_model_close(&model);
    free(text);
}

static void *cancel_soon(void *job) {
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    qv_job_cancel(job);
    return NULL;
}

/* From another thread, while this one waits; what had its result keeps it. */
TEST(cancelled_from_another_thread) {
    texts *t = make_texts();
    qv_model *model = golden_model("small-embedding", 0, &(qv_model_options){.threads = 2, .max_batched_tokens = 64});
    qv_embedding want[2];
    qv_error err = {0};
    qv_job *job;
    pthread_t thread;
    CHECK_OK(qv_model_embed(model, t->inputs, 2, want, &err), err);
    CHECK_OK(qv_job_embed(model, t->inputs, MANY, t->results, NULL, 0, &job, &err), err);
    CHECK_INT(pthread_create(&thread, NULL, cancel_soon, job), 0);
    CHECK(qv_job_wait(job, INFINITY));
    pthread_join(thread, NULL);
    CHECK_INT(qv_job_end(&job, &err), QV_CANCELLED);
    int done = 0;
    for (int i = 0; i < MANY; i++) {
        CHECK((t->results[i].status == QV_OK) == (t->results[i].values != NULL));
        done += t->results[i].status == QV_OK;
    }
    CHECK_MSG(done < MANY, "%d of %d were computed", done, MANY);
    for (int i = 0; i < 2; i++)
        if (t->results[i].values) CHECK(memcmp(t->results[i].values, want[i].values, 256) == 0);
    qv_embedding_clear(t->results, MANY);
    qv_embedding_clear(want, 2);
    qv_model_close(&model);
    free(t);
}

TEST(a_cancelled_rerank) {
    texts *t = make_texts();
    qv_score scores[MANY], want[3];
    qv_model *model = golden_model("tiny-reranker", 0, NULL);
    qv_error err = {0};
    qv_job *job;
    CHECK_OK(qv_model_rerank(model, &t->inputs[0], t->inputs, 3, want, &err), err);
    CHECK_OK(qv_job_rerank(model, &t->inputs[0], t->inputs, 3, scores, &job, &err), err);
    CHECK_OK(qv_job_end(&job, &err), err);
    for (int i = 0; i < 3; i++) CHECK(scores[i].score == want[i].score && scores[i].logit == want[i].logit);
    CHECK_OK(qv_job_rerank(model, &t->inputs[0], t->inputs, MANY, scores, &job, &err), err);
    qv_job_cancel(job);
    CHECK_INT(qv_job_end(&job, &err), QV_CANCELLED);
    CHECK_INT(qv_job_rerank(model, NULL, t->inputs, 3, scores, &job, &err), QV_INVALID_ARGUMENT);
    CHECK(!job);
    qv_model_close(&model);
    free(t);
}

/* ---- pixels ---- */

TEST(pixels_are_a_picture) {
    enum { H = 70, W = 90 };
    static uint8_t rgb[H][W][3];
    static char bmp[54 + H * (W * 3 + 2)]; /* a BMP: rows from the bottom, blue first, each of W * 3 + 2 bytes */
    uint64_t seed = check_seed();
    for (size_t i = 0; i < sizeof rgb; i++) ((uint8_t *)rgb)[i] = (uint8_t)check_random(&seed);
    memcpy(bmp, "BM", 2);
    bmp[10] = 54, bmp[14] = 40, bmp[18] = W, bmp[22] = H, bmp[26] = 1, bmp[28] = 24;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int k = 0; k < 3; k++) bmp[54 + (H - 1 - y) * (W * 3 + 2) + x * 3 + k] = (char)rgb[y][x][2 - k];
    qv_pixels pixels = {H, W, &rgb[0][0][0]}, empty = {0, W, &rgb[0][0][0]};
    qv_part parts[] = {{QV_PART_PIXELS, &pixels, 0}, {QV_PART_IMAGE, bmp, sizeof bmp}, {QV_PART_PIXELS, &empty, 0}};
    qv_part raw[] = {parts[0], parts[0]}, files[] = {parts[1], parts[1]};
    qv_part videos[] = {{QV_PART_VIDEO_FRAMES, raw, 2}, {QV_PART_VIDEO_FRAMES, files, 2}};
    const qv_part *pictures[] = {&parts[0], &parts[1], &videos[0], &videos[1], &parts[2]};
    qv_input in[5] = {0};
    for (int i = 0; i < 5; i++) {
        in[i].parts = pictures[i];
        in[i].part_count = 1;
    }
    qv_embedding e[5];
    qv_error err = {0};
    qv_model *model = golden_model("tiny-embedding", 0, &(qv_model_options){.image_cache_bytes = -1});
    CHECK_OK(qv_model_embed(model, in, 4, e, &err), err);
    for (int i = 0; i < 4; i += 2) CHECK(memcmp(e[i].values, e[i + 1].values, WIDTH * sizeof(float)) == 0);
    CHECK(memcmp(e[0].values, e[2].values, WIDTH * sizeof(float)) != 0);
    qv_embedding_clear(e, 4);
    CHECK_INT(qv_model_embed(model, &in[4], 1, e, &err), QV_INVALID_ARGUMENT);
    CHECK(strstr(err.message, "image 1: there are no pixels"));
    qv_model_close(&model);
    model = golden_model("tiny-embedding", 0, &(qv_model_options){.max_image_side = 80});
    CHECK_INT(qv_model_embed(model, in, 1, e, &err), QV_MEDIA_LIMIT);
    CHECK(strstr(err.message, "90 x 70"));
    qv_model_close(&model);
}

TEST(a_model_is_found) {
    char path[4096], small[3];
    qv_error err = {0};
    const char *folder = golden_assets();
    CHECK_OK(qv_model_find(folder, NULL, path, sizeof path, &err), err);
    CHECK_STR(path, folder);
    CHECK_INT(qv_model_find(folder, NULL, small, sizeof small, &err), QV_TOO_LARGE);
    CHECK_INT(qv_model_find("no/such", "/nowhere", path, sizeof path, &err), QV_NOT_FOUND);
    CHECK(strstr(err.message, "/nowhere"));
    CHECK_INT(qv_model_find(NULL, NULL, path, sizeof path, &err), QV_INVALID_ARGUMENT);
}
