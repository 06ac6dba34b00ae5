#include "cli/bench_work.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/console.h"
#include "lib/session.h"

enum { BATCH_MAX = 1 << 24, JOBS_AHEAD = 8 }; /* records of all batches; queries that are computed together */

#define AT(field) offsetof(qv__work_flags, field)

const qv__option qv__work_rows[QV__WORK_ROWS] = {
    QV__ROW("prompt", CHOICE, AT(prompt), "RECIPE",
            "raw: exactly N tokens, the end token included; official: N tokens and the published prompt around them. A "
            "reranker always has its prompt around a query of N/2-1 and a document of the rest. Default: raw, and "
            "official around pictures and videos.",
            .choices = "official|raw"),
    QV__ROW("output-json", TEXT, AT(output_json), "FILE", "The figures as one JSON object. Default: none."),
};

const char qv__work_notes[] = "Of a file, an input is one text, with the pictures and videos of its record; a record "
                              "with several texts is as many\n"
                              "inputs, and for a reranker a query with its documents.\n\n"
                              "Flags of vLLM's benchmark that mean nothing here (--n, --use-beam-search, --profile, "
                              "the engine's) are taken when they\n"
                              "change nothing; a line says so. Left out are --backend, --async-engine, LoRA and data "
                              "sets that come from the network.";

/* ---- opening ---- */

static void close_batch(qv__work_batch *b) {
    if (b->vectors) qv_embedding_clear(b->vectors, b->count);
    qv__free(b->inputs);
    qv__free(b->groups);
    qv__free(b->vectors);
    qv__free(b->scores);
    qv__arena_clear(&b->arena);
    *b = (qv__work_batch){0};
}

static qv_status no_memory(const qv__work *work, qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for a batch of %zu inputs", work->batch.count);
}

static qv_status open_batch(qv__work *work, size_t count, qv_error *err) {
    qv__work_batch *b = &work->batch;
    b->count = count;
    b->inputs = qv__calloc(count, sizeof *b->inputs);
    if (work->reranks) {
        b->scores = qv__calloc(count, sizeof *b->scores);
        b->groups = qv__calloc(count, sizeof *b->groups);
        return b->inputs && b->scores && b->groups ? QV_OK : no_memory(work, err);
    }
    b->vectors = qv__calloc(count, sizeof *b->vectors);
    return b->inputs && b->vectors ? QV_OK : no_memory(work, err);
}

static qv_status check_task(const qv__work *work, qv_error *err) {
    const char *name = work->flags->data.name;
    if (!work->reranks && !strcmp(name, "random-rerank"))
        return qv__fail(err, QV_WRONG_TASK, "--dataset-name random-rerank needs a reranker");
    if (work->reranks && !strcmp(name, "random-mm"))
        return qv__fail(err, QV_WRONG_TASK, "--dataset-name random-mm has no queries; give a reranker a file");
    return QV_OK;
}

static qv_status open_data(qv__work *work, size_t batches, qv_error *err) {
    const qv__data_flags *data = &work->flags->data;
    size_t count = work->batch.count;
    if (qv__data_is_random(data)) return qv__texts_open(work->model->tokenizer, &work->texts, err);
    if (batches > BATCH_MAX / count)
        return qv__fail(err, QV_TOO_LARGE, "%zu batches of %zu inputs; at most %d inputs from a file", batches, count,
                        BATCH_MAX);
    return qv__data_read(data, batches * count, &work->samples, err); /* every record has an input at least */
}

int qv__work_open(qv__work *work, const qv__work_flags *flags, const qv__model_flags *model, size_t batch_size,
                  size_t batches) {
    qv_error err = {0};
    *work = (qv__work){.flags = flags};
    if (!qv__data_check(&flags->data)) return QV__EXIT_USAGE;
    if (!qv__model_flags_open(model, QV_TASK_AUTO, NULL, &work->model)) return QV__EXIT_MODEL;
    work->reranks = work->model->task == QV_TASK_RERANK;
    qv__random_seed(&work->random, (uint64_t)flags->data.seed);
    qv_status status = check_task(work, &err);
    if (!status) status = open_batch(work, batch_size, &err);
    if (!status) status = open_data(work, batches, &err);
    if (!status) return QV__EXIT_DONE;
    qv__complain("%s", err.message);
    return status == QV_NO_MEMORY ? QV__EXIT_FAILED : QV__EXIT_USAGE;
}

void qv__work_close(qv__work *work) {
    close_batch(&work->batch);
    qv__samples_clear(&work->samples);
    qv__texts_close(&work->texts);
    qv_model_close(&work->model);
}

/* ---- inputs ---- */

/* seen: there are pictures. */
static bool is_raw(const qv__work *work, bool seen) {
    return work->flags->prompt ? !strcmp(work->flags->prompt, "raw") : !seen;
}

static qv_status make_random(qv__work *work, qv_error *err) {
    const int32_t *ids;
    int64_t count = (int64_t)work->batch.count;
    bool raw = is_raw(work, !strcmp(work->flags->data.name, "random-mm"));
    qv__data_wish wish = {.texts = &work->texts,
                          .random = &work->random,
                          .inputs = count,
                          .batch_size = work->reranks ? count : 1,
                          .special = raw ? (int64_t)qv__tokenizer_suffix(work->model->tokenizer, &ids) : 0,
                          .reranks = work->reranks};
    qv__samples_clear(&work->samples);
    work->record = work->text = 0;
    return qv__data_random(&work->flags->data, &wish, &work->samples, err);
}

static qv_part text_part(const char *text) {
    return (qv_part){.kind = QV_PART_TEXT, .data = text, .size = strlen(text)};
}

/* A text of a sample, and its media where they go with one. */
static qv_status make_input(qv__work *work, const qv__sample *s, const char *text, qv_input *out, qv_error *err) {
    if (s->media_count && (work->reranks || s->text_count != 1))
        return qv__fail(err, QV_INVALID_ARGUMENT, "record %zu: pictures go with one text, and with no query",
                        work->record + 1);
    qv_part *parts = qv__arena_alloc(&work->batch.arena, 1 + s->media_count, sizeof *parts);
    if (!parts) return no_memory(work, err);
    parts[0] = text_part(text);
    for (size_t i = 0; i < s->media_count; i++) {
        qv_part_kind kind = s->media[i].video ? QV_PART_VIDEO_FILE : QV_PART_IMAGE_FILE;
        parts[i + 1] = (qv_part){.kind = kind, .data = s->media[i].url};
    }
    bool raw = !work->reranks && is_raw(work, s->media_count > 0);
    *out = (qv_input){.parts = parts, .part_count = 1 + s->media_count};
    out->prompt = raw ? QV_PROMPT_RAW : QV_PROMPT_OFFICIAL;
    return QV_OK;
}

/* The sample whose turn it is. */
static const qv__sample *current(const qv__work *work) {
    return &work->samples.items[work->record];
}

static void advance(qv__work *work) {
    if (++work->text < current(work)->text_count) return;
    work->text = 0;
    work->record = (work->record + 1) % work->samples.count;
}

static qv_status take_inputs(qv__work *work, qv_error *err) {
    qv_status status = QV_OK;
    for (size_t i = 0; i < work->batch.count && !status; i++) {
        const qv__sample *s = current(work);
        status = make_input(work, s, s->texts[work->text], &work->batch.inputs[i], err);
        advance(work);
    }
    return status;
}

/* Documents of the current record from input `from` on, as many as there is room for. */
static qv_status take_group(qv__work *work, size_t from, qv_error *err) {
    qv__work_batch *b = &work->batch;
    const qv__sample *s = current(work);
    qv__work_group *group = &b->groups[b->group_count++];
    if (s->text_count < 2)
        return qv__fail(err, QV_INVALID_ARGUMENT, "record %zu: a reranker needs query and documents", work->record + 1);
    *group = (qv__work_group){.from = from};
    qv_status status = make_input(work, s, s->texts[0], &group->query, err);
    if (!work->text) work->text = 1;
    do {
        if (!status) status = make_input(work, s, s->texts[work->text], &b->inputs[from + group->count], err);
        group->count++;
        advance(work);
    } while (!status && work->text && from + group->count < b->count);
    return status;
}

static qv_status take_groups(qv__work *work, qv_error *err) {
    qv__work_batch *b = &work->batch;
    qv_status status = QV_OK;
    b->group_count = 0;
    for (size_t done = 0; done < b->count && !status; done += b->groups[b->group_count - 1].count)
        status = take_group(work, done, err);
    return status;
}

qv_status qv__work_fill(qv__work *work, qv_error *err) {
    qv__arena_clear(&work->batch.arena);
    qv_status status = qv__data_is_random(&work->flags->data) ? make_random(work, err) : QV_OK;
    if (status) return status;
    return work->reranks ? take_groups(work, err) : take_inputs(work, err);
}

/* ---- running ---- */

static qv_status start_group(qv__work *work, size_t i, qv_job **job, qv_error *err) {
    qv__work_batch *b = &work->batch;
    const qv__work_group *g = &b->groups[i];
    qv_status status =
        qv_job_rerank(work->model, &g->query, b->inputs + g->from, g->count, b->scores + g->from, job, err);
    if (!status) qv_job_wait(*job, 0); /* its first documents are on their way */
    return status;
}

/* Some queries ahead of the one that is waited for, so that the device has work when one ends. */
static qv_status run_groups(qv__work *work, qv_error *err) {
    qv_job *jobs[JOBS_AHEAD] = {0};
    size_t count = work->batch.group_count;
    qv_status status = QV_OK, ended;
    for (size_t i = 0; i < count + JOBS_AHEAD; i++) {
        qv_job **job = &jobs[i % JOBS_AHEAD];
        if (*job && status) qv_job_cancel(*job);
        if (*job && !status) qv_job_wait(*job, INFINITY);
        ended = qv_job_end(job, status ? NULL : err);
        if (!status) status = ended;
        if (!status && i < count) status = start_group(work, i, job, err);
    }
    return status;
}

qv_status qv__work_run(qv__work *work, int64_t *tokens, qv_error *err) {
    qv__work_batch *b = &work->batch;
    *tokens = 0;
    if (b->vectors) qv_embedding_clear(b->vectors, b->count);
    qv_status status =
        work->reranks ? run_groups(work, err) : qv_model_embed(work->model, b->inputs, b->count, b->vectors, err);
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
