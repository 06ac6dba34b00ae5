/* Embeds a question, two texts and (if given) pictures, and prints how near each is to the question.
 *
 *     cc embed.c $(pkg-config --cflags --libs qvec) -o embed
 *     ./embed path/to/Qwen3-VL-Embedding-2B photo.jpg
 *
 * QVEC_LOAD_FORMAT=dummy makes weights for a folder that has none. */
#include <qvec/qvec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 3, MOST = 16 };

/* Vectors have length one: their product is the cosine. */
static double similarity(const qv_embedding *a, const qv_embedding *b) {
    double sum = 0;
    for (int i = 0; i < a->dimensions; i++) sum += (double)a->values[i] * (double)b->values[i];
    return sum;
}

int main(int argc, char **argv) {
    static const char *const texts[TEXTS] = {"What is the capital of China?", "The capital of China is Beijing.",
                                             "Gravity pulls two bodies towards each other."};
    const char *names[MOST];
    qv_part parts[MOST];
    qv_input inputs[MOST];
    qv_embedding results[MOST];
    qv_model_options options = {.load_format = getenv("QVEC_LOAD_FORMAT")};
    qv_model *model;
    qv_error err = {0};
    size_t count = 0;
    if (argc < 2 || argc - 2 > MOST - TEXTS) return fprintf(stderr, "usage: embed MODEL-FOLDER [PICTURE]...\n"), 2;
    for (; count < TEXTS; count++) {
        names[count] = texts[count];
        parts[count] = (qv_part){QV_PART_TEXT, texts[count], strlen(texts[count])};
    }
    for (int i = 2; i < argc; i++, count++) {
        names[count] = argv[i];
        parts[count] = (qv_part){QV_PART_IMAGE_FILE, argv[i], 0};
    }
    for (size_t i = 0; i < count; i++) inputs[i] = (qv_input){.parts = &parts[i], .part_count = 1};
    inputs[0].instruction = "Retrieve what answers the question."; /* documents take the model's default */

    if (qv_model_open(argv[1], &options, &model, &err)) return fprintf(stderr, "%s\n", err.message), 3;
    int failed = qv_model_embed(model, inputs, count, results, &err) != QV_OK;
    for (size_t i = 1; i < count && results[0].status == QV_OK; i++)
        if (results[i].status)
            printf("%s: %s\n", names[i], results[i].error.message);
        else
            printf("%6.3f  %s (%lld tokens)\n", similarity(&results[0], &results[i]), names[i],
                   (long long)results[i].tokens);
    if (failed) fprintf(stderr, "%s\n", err.message);
    qv_embedding_clear(results, count);
    qv_model_close(&model);
    return failed;
}
