/* qvec rerank: how well documents fit a query. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/group.h"
#include "cli/inputs.h"
#include "cli/wishes.h"

enum { DOCUMENTS_MAX = 1 << 20, SUBMIT_TOGETHER = 64 };

typedef struct {
    qv__model_flags model;
    qv__input_flags inputs;
    qv__output_flags output;
    qv__wish_flags wishes;
    qv__words query, documents; /* from flags; tags as in inputs.h */
    int64_t top_n;              /* 0: all */
    /* opened */
    qv_model *opened;
    char *folder;
    qv__id_set answered;
} rerank;

#define AT(field) offsetof(rerank, field)

static const qv__option rows[] = {
    QV__ROW("query", TEXTS, AT(query), "S", "The query: a text ...", .tag = QV__WORD_TEXT),
    QV__ROW("query-image", TEXTS, AT(query), "FILE", "... and a picture ...", .tag = QV__WORD_IMAGE),
    QV__ROW("query-video", TEXTS, AT(query), "FILE", "... and a video.", .tag = QV__WORD_VIDEO),
    QV__ROW("document", TEXTS, AT(documents), "S", "A document; each use is one more.", .tag = QV__WORD_TEXT),
    QV__ROW("document-image", TEXTS, AT(documents), "FILE", "A picture as a document.", .tag = QV__WORD_IMAGE),
    QV__ROW("document-video", TEXTS, AT(documents), "FILE", "A video as a document.", .tag = QV__WORD_VIDEO),
    QV__ROW("media-root", TEXT, AT(inputs.media_root), "DIR",
            "Folder that file names are relative to and must lie in; no symbolic link is followed there. Default: the "
            "input file's folder, files anywhere."),
    QV__ROW("top-n", INT, AT(top_n), "N", "How many of the best are listed in \"order\". Default: all.", .min = 1,
            .max = DOCUMENTS_MAX),
};

static const char *const fields[] = {"id",    "query",      "documents",  "instruction",
                                     "top_n", "min_pixels", "max_pixels", "apply_orientation",
                                     "fps",   "max_frames", "max_length", NULL};
static const char *const answers[] = {"scores", "order", "tokens", "truncated", "frames",
                                      "ids",    "error", "errors", NULL};

/* A line's documents and what became of them. */
typedef struct {
    qv__group group; /* [documents] */
    int64_t top_n;
    float *scores; /* [documents]; NaN: failed */
    size_t *order; /* [documents], best first, failed ones last */
} job;

/* ---- from a line to items ---- */

static qv_status read_query(const rerank *o, qv__record *r, job *j, qv_input *query) {
    const json_t *value = json_object_get(r->root, "query");
    *query = (qv_input){0};
    qv__wishes_apply(&o->wishes, query);
    if (!value) return qv__fail(r->err, QV_INVALID_ARGUMENT, "there is no \"query\"");
    qv_status status = qv__record_side(r, value, "\"query\"", query);
    if (!status) status = qv__record_wishes(r, query);
    j->top_n = o->top_n;
    if (!status) status = qv__record_int(r, "top_n", 1, DOCUMENTS_MAX, &j->top_n);
    return status;
}

static qv_status open_job(job *j, qv__entry *entry, const json_t *documents, qv_error *err) {
    size_t count = json_array_size(documents);
    if (!json_is_array(documents) || !count)
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"documents\" must be a list of at least one");
    if (count > DOCUMENTS_MAX)
        return qv__fail(err, QV_TOO_LARGE, "%zu documents; at most %d in one line", count, DOCUMENTS_MAX);
    j->scores = qv__alloc_array(count, sizeof *j->scores);
    j->order = qv__alloc_array(count, sizeof *j->order);
    if (!j->scores || !j->order) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu documents", count);
    return qv__group_open(&j->group, entry, count, err);
}

/* Whether a failure is the document's own; others fail the line. */
static bool is_own(qv_status status) {
    return status != QV_NO_MEMORY && status != QV_SHUTTING_DOWN && status != QV_CANCELLED;
}

static qv_status prepare_documents(const rerank *o, qv__entry *entry, job *j, qv__query *query, qv_error *err) {
    const json_t *documents = json_object_get(entry->record.root, "documents");
    qv_status status = QV_OK;
    size_t submitted = 0;
    for (size_t i = 0; i < j->group.count && !status; i++) {
        char name[48];
        qv_input document = {0};
        qv_error *own = &j->group.errors[i];
        qv__text_print(name, sizeof name, "documents[%zu]", i);
        status = qv__record_side(&entry->record, json_array_get(documents, i), name, &document);
        if (status) return status;
        status = qv__session_prepare_document(o->opened, query, &document, o->folder, &j->group.items[i],
                                              &j->group.facts[i], own);
        if (status && !is_own(status)) return *err = *own, status;
        status = QV_OK;
        bool enough = i + 1 - submitted == SUBMIT_TOGETHER || i + 1 == j->group.count;
        if (enough) status = qv__group_submit(&j->group, o->opened, submitted, i + 1 - submitted, err);
        if (enough) submitted = i + 1;
    }
    return status;
}

static qv_status prepare(void *user, qv__entry *entry, qv_error *err) {
    rerank *o = user;
    if (qv__record_is_in(&entry->record, &o->answered)) return entry->skip = true, QV_OK;
    job *j = entry->data = qv__calloc(1, sizeof *j);
    if (!j) return qv__fail(err, QV_NO_MEMORY, "out of memory for an item");
    qv_input input;
    qv__query *query = NULL;
    qv_status status = read_query(o, &entry->record, j, &input);
    if (!status) status = open_job(j, entry, json_object_get(entry->record.root, "documents"), err);
    if (!status) status = qv__query_open(o->opened, &input, o->folder, &query, err);
    if (!status) status = prepare_documents(o, entry, j, query, err);
    if (status) qv__group_cancel(&j->group, o->opened);
    qv__query_release(&query);
    return status;
}

static void drop(qv__entry *entry) {
    job *j = entry->data;
    if (!j) return;
    qv__group_clear(&j->group);
    qv__free(j->scores);
    qv__free(j->order);
    qv__free(j);
}

/* ---- from items to an answer ---- */

static int by_score(const void *a, const void *b, void *context) {
    const float *scores = context;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    bool i_failed = isnan(scores[i]), k_failed = isnan(scores[k]);
    if (i_failed != k_failed) return i_failed ? 1 : -1;
    if (!i_failed && scores[i] != scores[k]) return scores[i] > scores[k] ? -1 : 1;
    return i < k ? -1 : 1;
}

/* Fills scores and order; gives the number of documents that have one. */
static size_t score(job *j) {
    size_t good = 0;
    for (size_t i = 0; i < j->group.count; i++) {
        const qv__item *item = j->group.items[i];
        qv_error *error = &j->group.errors[i];
        j->order[i] = i;
        j->scores[i] = NAN;
        if (item && item->status)
            *error = item->error;
        else if (item && !isfinite(item->score))
            qv__fail(error, QV_NON_FINITE, "the score is not finite");
        else if (item)
            j->scores[i] = (float)(1 / (1 + exp(-(double)item->score))), good++;
    }
    qsort_r(j->order, j->group.count, sizeof *j->order, by_score, j->scores);
    return good;
}

static void write_scores(const job *j, size_t good, qv__buffer *line) {
    size_t listed = j->top_n && (size_t)j->top_n < good ? (size_t)j->top_n : good;
    int64_t tokens = 0;
    bool cut = false;
    qv__buffer_puts(line, ", \"scores\":[");
    for (size_t i = 0; i < j->group.count; i++) {
        if (i) qv__buffer_puts(line, ",");
        qv__write_float(j->scores[i], line); /* null when it failed */
        tokens += j->group.facts[i].tokens;
        cut = cut || qv__prepared_is_cut(&j->group.facts[i]);
    }
    qv__buffer_puts(line, "], \"order\":[");
    for (size_t i = 0; i < listed; i++) qv__buffer_printf(line, i ? ",%zu" : "%zu", j->order[i]);
    qv__buffer_printf(line, "], \"tokens\":%lld, \"truncated\":%s", (long long)tokens, cut ? "true" : "false");
}

/* "name":[one of each document] */
static void write_echo(const rerank *o, const job *j, bool frames, qv__buffer *line) {
    qv__buffer_puts(line, frames ? ", \"frames\":[" : ", \"ids\":[");
    for (size_t i = 0; i < j->group.count; i++) {
        const qv__item *item = j->group.items[i];
        if (i) qv__buffer_puts(line, ",");
        if (!item)
            qv__buffer_puts(line, "null");
        else if (frames)
            qv__write_frames(item, qv__checkpoint_config(o->opened->checkpoint), line);
        else
            qv__write_ids(item->sequence.ids, (size_t)item->sequence.length, line);
    }
    qv__buffer_puts(line, "]");
}

/* "errors":[{"document":2, "error":{...}}] */
static void write_errors(const job *j, qv__buffer *line) {
    bool first = true;
    qv__buffer_puts(line, ", \"errors\":[");
    for (size_t i = 0; i < j->group.count; i++) {
        if (!j->group.errors[i].code) continue;
        qv__buffer_printf(line, "%s{\"document\":%zu, \"error\":", first ? "" : ",", i);
        qv__write_error(&j->group.errors[i], line);
        qv__buffer_puts(line, "}");
        first = false;
    }
    qv__buffer_puts(line, "]");
}

static qv_status write(void *user, qv__entry *entry, qv__output *output, qv_error *err) {
    const rerank *o = user;
    job *j = entry->data;
    qv__buffer line = {0};
    size_t good = entry->status ? 0 : score(j);
    if (!entry->status && !good) entry->error = j->group.errors[0], entry->status = entry->error.code;
    if (entry->status)
        qv__record_write_error(&entry->record, &entry->error, &line);
    else {
        qv__record_write_head(&entry->record, &line);
        write_scores(j, good, &line);
        if (o->wishes.echo_frames) write_echo(o, j, true, &line);
        if (o->wishes.echo_ids) write_echo(o, j, false, &line);
        if (good < j->group.count) write_errors(j, &line), entry->partial = true;
        qv__buffer_puts(&line, "}");
        for (size_t i = 0; i < j->group.count; i++) {
            entry->tokens += j->group.facts[i].tokens;
            if (entry->partial && !entry->error.code) entry->error = j->group.errors[i];
        }
    }
    qv_status status = line.failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for an answer")
                                   : qv__output_json(output, line.data, line.size, err);
    qv__buffer_clear(&line);
    return status;
}

/* ---- the command ---- */

/* The flags' query and documents as a line. */
static bool give_line(rerank *o) {
    if (!o->query.count && !o->documents.count) return true;
    if (!o->query.count || !o->documents.count) {
        qv__complain("--query and --document go together");
        return false;
    }
    qv_error err = {0};
    qv__buffer *line = &o->inputs.given;
    qv__buffer_puts(line, "{\"query\":");
    qv_status status = qv__write_together(&o->query, line, &err);
    qv__buffer_puts(line, ",\"documents\":[");
    for (size_t i = 0; i < o->documents.count && !status; i++) {
        qv__words one = {.items = &o->documents.items[i], .count = 1};
        if (i) qv__buffer_puts(line, ",");
        status = qv__write_together(&one, line, &err);
    }
    qv__buffer_puts(line, "]}");
    if (status)
        qv__complain("%s", err.message);
    else if (line->failed)
        qv__complain("out of memory");
    return !status && !line->failed;
}

static bool check(rerank *o, const qv__words *words) {
    return qv__take_positionals(words, &o->model, &o->inputs) && give_line(o) && qv__inputs_check(&o->inputs) &&
           qv__wishes_check(&o->wishes) && qv__output_flags_check(&o->output);
}

static int run(rerank *o) {
    if (!qv__answered_read(&o->output, &o->answered) || !qv__inputs_folder(&o->inputs, &o->folder))
        return QV__EXIT_USAGE;
    if (!qv__model_flags_open(&o->model, QV_TASK_RERANK, o->inputs.media_root, &o->opened)) return QV__EXIT_MODEL;
    qv_model_facts facts;
    qv_model_get_facts(o->opened, &facts);
    qv__stream_steps steps = {{fields, answers}, prepare, write, drop, o};
    return qv__run_items(&o->inputs, &o->output, qv__helper_count(facts.threads), 0, &steps, "queries");
}

static void close_all(rerank *o) {
    qv_model_close(&o->opened);
    qv__inputs_clear(&o->inputs);
    qv__id_set_clear(&o->answered);
    qv__words_clear(&o->query);
    qv__words_clear(&o->documents);
    qv__free(o->folder);
}

int qv__command_rerank(int argc, char **argv) {
    rerank o = {.model = qv__model_flags_default(), .output.format = "jsonl"};
    qv__option_set sets[] = {
        {"Query and documents", rows, sizeof rows / sizeof *rows, &o},
        {"Query and documents", qv__lines_rows, QV__LINES_ROWS, &o.inputs},
        {"For lines that do not say it themselves", qv__wish_rows, QV__WISH_ROWS, &o.wishes},
        {"Output", qv__output_rows, QV__OUTPUT_ROWS, &o.output},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &o.model},
        {"Model", qv__compute_rows, QV__COMPUTE_ROWS, &o.model},
        qv__limit_set(QV__LIMITS_MEDIA, &o.model.limits),
    };
    qv__usage usage = {
        .name = "rerank",
        .summary = "scores of documents for a query",
        .examples =
            "  qvec rerank --query \"What is the capital of China?\" --document Beijing --document Paris\n"
            "  qvec rerank MODEL --query \"a red car\" --document-image 1.jpg --document-image 2.jpg --top-n 1\n"
            "  qvec rerank MODEL queries.jsonl --output scores.jsonl --resume\n",
        .usage = "[MODEL] [flags] [FILE.jsonl|-]",
        .notes = "A line: {\"id\":..., \"query\":{\"text\"|\"image\"|\"video\":...}, \"documents\":[{...}, ...], "
                 "\"instruction\":..., \"top_n\":...,\n"
                 "\"min_pixels\":..., \"max_pixels\":..., \"apply_orientation\":..., \"fps\":..., \"max_frames\":...,\n"
                 "\"max_length\":...}; a plain string stands for {\"text\":...}. The answer:\n"
                 "{\"id\":..., \"scores\":[in the documents' order], \"order\":[indices, best first], "
                 "\"tokens\":N, \"truncated\":false};\n"
                 "a document that failed has the score null and a place in \"errors\".",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 2,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = QV__EXIT_USAGE;
    if (parsed == QV__PARSED_HELP)
        status = QV__EXIT_DONE;
    else if (parsed == QV__PARSED && check(&o, &words))
        status = run(&o);
    qv__words_clear(&words);
    close_all(&o);
    return status;
}
