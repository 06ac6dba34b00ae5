#include "cli/bench_work.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/console.h"
#include "lib/session.h"

#define AT(field) offsetof(qv__work_flags, field)

const qv__option qv__work_rows[QV__WORK_ROWS] = {
    QV__ROW("random-range-ratio", NUMBER, AT(range_ratio), "R",
            "Lengths are drawn from [N(1-R), N(1+R)] instead of all being N. Default: 0.", .min = 0, .max = 1),
    QV__ROW("dataset-name", CHOICE, AT(dataset_name), "NAME",
            "random: texts of random tokens, new ones for each call. Default: random.", .choices = "random"),
    QV__ROW("prompt", CHOICE, AT(prompt), "RECIPE",
            "raw: exactly N tokens, the end token included; official: N tokens and the published prompt around them. A "
            "reranker always has its prompt around a query of N/2-1 and a document of the rest. Default: raw.",
            .choices = "official|raw"),
    QV__ROW("seed", INT, AT(seed), "N", "Of the random texts. Default: 0.", .min = 0, .max = INT64_MAX),
    QV__ROW("output-json", TEXT, AT(output_json), "FILE", "The figures as one JSON object. Default: none."),
    QV__ROW("output-len", INT, AT(output_len), "N", "Taken because vLLM has it; nothing is generated here.", .min = 0,
            .max = INT32_MAX),
    QV__ROW("random-output-len", INT, AT(output_len), "N", "The same.", .min = 0, .max = INT32_MAX),
};

static void drop_answers(qv__work_batch *b) {
    if (b->vectors) qv_embedding_clear(b->vectors, b->count);
}

static void close_batch(qv__work_batch *b) {
    drop_answers(b);
    qv__free(b->inputs);
    qv__free(b->parts);
    qv__free(b->vectors);
    qv__free(b->scores);
    qv__buffer_clear(&b->texts);
    *b = (qv__work_batch){0};
}

static qv_status open_batch(qv__work_batch *b, size_t count, bool reranks, qv_error *err) {
    b->count = count;
    b->inputs = qv__calloc(count, sizeof *b->inputs);
    b->parts = qv__calloc(count, sizeof *b->parts);
    if (reranks)
        b->scores = qv__calloc(count, sizeof *b->scores);
    else
        b->vectors = qv__calloc(count, sizeof *b->vectors);
    if (b->inputs && b->parts && (b->scores || b->vectors)) return QV_OK;
    return qv__fail(err, QV_NO_MEMORY, "out of memory for a batch of %zu inputs", count);
}

int qv__work_open(qv__work *work, const qv__work_flags *flags, const qv__model_flags *model, size_t batch_size) {
    qv_error err = {0};
    *work = (qv__work){.flags = flags};
    if (!qv__model_flags_open(model, QV_TASK_AUTO, NULL, &work->model)) return QV__EXIT_MODEL;
    work->reranks = work->model->task == QV_TASK_RERANK;
    qv__random_seed(&work->random, (uint64_t)flags->seed);
    qv_status status = qv__texts_open(work->model->tokenizer, &work->texts, &err);
    if (!status) status = open_batch(&work->batch, batch_size, work->reranks, &err);
    if (!status) return QV__EXIT_DONE;
    qv__complain("%s", err.message);
    return QV__EXIT_FAILED;
}

void qv__work_close(qv__work *work) {
    close_batch(&work->batch);
    qv__texts_close(&work->texts);
    qv_model_close(&work->model);
}

/* ---- texts ---- */

/* Appends a text; its part points into the buffer only once all texts are there, so `data` is its offset until then. */
static qv_status add_text(qv__work *work, int64_t tokens, qv_part *part, size_t *offset, qv_error *err) {
    qv__buffer *texts = &work->batch.texts;
    *offset = texts->size;
    qv_status status = qv__texts_make(&work->texts, &work->random, tokens < 1 ? 1 : tokens, NULL, texts, err);
    *part = (qv_part){.kind = QV_PART_TEXT, .size = texts->size - *offset};
    return status;
}

/* Of a whole input, as --random-range-ratio asks. */
static int64_t draw_length(qv__work *work) {
    double n = (double)work->flags->input_len, r = work->flags->range_ratio;
    int64_t low = (int64_t)(n * (1 - r)), high = (int64_t)(n * (1 + r) + 0.999999);
    if (low < 1) low = 1;
    return r > 0 ? low + (int64_t)qv__random_below(&work->random, (uint64_t)(high - low + 1)) : work->flags->input_len;
}

static int64_t special_tokens(const qv__work *work) {
    const int32_t *ids;
    return strcmp(work->flags->prompt, "raw") ? 0 : (int64_t)qv__tokenizer_suffix(work->model->tokenizer, &ids);
}

qv_status qv__work_fill(qv__work *work, qv_error *err) {
    qv__work_batch *b = &work->batch;
    size_t query_at = 0, *offsets = qv__alloc_array(b->count, sizeof *offsets);
    int64_t query = work->reranks ? work->flags->input_len / 2 - 1 : 0;
    if (!offsets) return qv__fail(err, QV_NO_MEMORY, "out of memory for a batch of %zu inputs", b->count);
    b->texts.size = 0;
    qv_status status = work->reranks ? add_text(work, query, &b->query_part, &query_at, err) : QV_OK;
    for (size_t i = 0; i < b->count && !status; i++) {
        if (qv__is_interrupted()) status = qv__fail(err, QV_CANCELLED, "interrupted while texts were made");
        if (status) break;
        int64_t less = work->reranks ? query + 1 : special_tokens(work);
        status = add_text(work, draw_length(work) - less, &b->parts[i], &offsets[i], err);
    }
    for (size_t i = 0; i < b->count && !status; i++) {
        b->parts[i].data = b->texts.data + offsets[i];
        b->inputs[i] = (qv_input){.parts = &b->parts[i],
                                  .part_count = 1,
                                  .prompt = strcmp(work->flags->prompt, "raw") ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW};
    }
    if (!status && work->reranks) {
        b->query_part.data = b->texts.data + query_at;
        b->query = (qv_input){.parts = &b->query_part, .part_count = 1};
    }
    qv__free(offsets);
    return status;
}

qv_status qv__work_run(qv__work *work, int64_t *tokens, qv_error *err) {
    qv__work_batch *b = &work->batch;
    *tokens = 0;
    drop_answers(b);
    qv_status status = work->reranks ? qv_model_rerank(work->model, &b->query, b->inputs, b->count, b->scores, err)
                                     : qv_model_embed(work->model, b->inputs, b->count, b->vectors, err);
    for (size_t i = 0; i < b->count; i++) *tokens += work->reranks ? b->scores[i].tokens : b->vectors[i].tokens;
    return status;
}

bool qv__work_save(const qv__work_flags *flags, const qv__buffer *json) {
    if (!flags->output_json) return true;
    FILE *f = json->failed ? NULL : fopen(flags->output_json, "w");
    bool written = f && fwrite(json->data, 1, json->size, f) == json->size;
    if (f && fclose(f)) written = false;
    if (!written) qv__complain("%s cannot be written", flags->output_json);
    return written;
}
