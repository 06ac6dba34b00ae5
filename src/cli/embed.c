/* qvec embed: texts, pictures and videos to vectors. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/group.h"
#include "cli/inputs.h"
#include "cli/wishes.h"

typedef struct {
    qv__model_flags model;
    qv__input_flags inputs;
    qv__output_flags output;
    qv__wish_flags wishes;
    const char *prompt; /* "official", "raw" */
    int64_t dimensions; /* 0: all */
    bool normalize;
    /* opened */
    qv_model *opened;
    qv_model_facts facts;
    char *folder; /* of relative file names; NULL: the working directory */
    qv__id_set answered;
    qv__format format;
    int64_t columns; /* of a matrix */
    float *values;   /* [embedding_size], the writer's */
} embed;

#define AT(field) offsetof(embed, field)

static const qv__option rows[] = {
    QV__ROW("prompt", CHOICE, AT(prompt), "RECIPE",
            "official: the models' published prompt; raw: the text as it is and the end token. Default: official.",
            .choices = "official|raw"),
    QV__ROW("dimensions", INT, AT(dimensions), "N", "Keep the first N values, normalised again. Default: all.",
            .min = 1, .max = 1 << 20),
    QV__ROW("normalize", SWITCH, AT(normalize), NULL,
            "Vectors of unit length; --no-normalize leaves them as they come."),
};

static const char *const fields[] = {"id",     "text",       "image",      "video",      "instruction",
                                     "prompt", "dimensions", "min_pixels", "max_pixels", "apply_orientation",
                                     "fps",    "max_frames", "max_length", "normalize",  NULL};
static const char *const answers[] = {"embedding", "tokens", "prompt", "truncated", "untruncated",
                                      "frames",    "ids",    "error",  NULL};

/* ---- from a line to an item ---- */

static bool is_matrix(const embed *e) {
    return e->format == QV__FORMAT_NPY || e->format == QV__FORMAT_BIN;
}

static qv_status read_input(const embed *e, qv__record *r, qv_input *input) {
    int64_t dimensions = e->dimensions;
    bool normalize = e->normalize;
    *input = (qv_input){.prompt = strcmp(e->prompt, "raw") ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW};
    qv__wishes_apply(&e->wishes, input);
    qv_status status = qv__record_parts(r, r->root, "", input);
    if (!status) status = qv__record_wishes(r, input);
    if (!status) status = qv__record_prompt(r, &input->prompt);
    if (!status) status = qv__record_int(r, "dimensions", 1, e->facts.embedding_size, &dimensions);
    if (!status) status = qv__record_bool(r, "normalize", &normalize);
    if (!status && is_matrix(e) && dimensions && dimensions != e->columns)
        status = qv__fail(r->err, QV_INVALID_ARGUMENT, "\"dimensions\" is %lld; all rows of a matrix have %lld",
                          (long long)dimensions, (long long)e->columns);
    input->dimensions = (int)dimensions;
    input->no_normalize = !normalize;
    return status;
}

static qv_status prepare(void *user, qv__entry *entry, qv_error *err) {
    embed *e = user;
    if (qv__record_is_in(&entry->record, &e->answered)) return entry->skip = true, QV_OK;
    qv__group *group = entry->data = qv__calloc(1, sizeof *group);
    if (!group) return qv__fail(err, QV_NO_MEMORY, "out of memory for an item");
    qv_input input;
    qv_status status = read_input(e, &entry->record, &input);
    if (!status) status = qv__group_open(group, entry, 1, err);
    if (!status) status = qv__session_prepare(e->opened, &input, e->folder, &group->items[0], &group->facts[0], err);
    return status ? status : qv__group_submit(group, e->opened, 0, 1, err);
}

static void drop(qv__entry *entry) {
    if (entry->data) qv__group_clear(entry->data);
    qv__free(entry->data);
}

/* ---- from an item to an answer ---- */

static void write_answer(const embed *e, const qv__entry *entry, qv__buffer *line) {
    const qv__group *group = entry->data;
    const qv__item *item = group->items[0];
    const qv__prepared *facts = &group->facts[0];
    bool cut = qv__prepared_is_cut(facts);
    qv__record_write_head(&entry->record, line);
    qv__buffer_puts(line, ", \"embedding\":[");
    for (int i = 0; i < facts->dimensions; i++) {
        if (i) qv__buffer_puts(line, ",");
        qv__write_float(e->values[i], line);
    }
    qv__buffer_printf(line, "], \"tokens\":%lld, \"prompt\":\"%s\", \"truncated\":%s", (long long)facts->tokens,
                      facts->prompt == QV_PROMPT_RAW ? "raw" : "official", cut ? "true" : "false");
    if (cut) qv__buffer_printf(line, ", \"untruncated\":%lld", (long long)facts->untruncated);
    if (e->wishes.echo_frames) {
        qv__buffer_puts(line, ", \"frames\":");
        qv__write_frames(item, qv__checkpoint_config(e->opened->checkpoint), line);
    }
    if (e->wishes.echo_ids) {
        qv__buffer_puts(line, ", \"ids\":");
        qv__write_ids(item->sequence.ids, (size_t)item->sequence.length, line);
    }
    qv__buffer_puts(line, "}");
}

static qv_status write_row(const embed *e, const qv__entry *entry, qv__output *output, qv_error *err) {
    if (entry->status) qv__complain("line %lld: %s", (long long)entry->line.line, entry->error.message);
    return qv__output_row(output, entry->status ? NULL : e->values, err);
}

static qv_status write(void *user, qv__entry *entry, qv__output *output, qv_error *err) {
    embed *e = user;
    const qv__group *group = entry->data;
    if (!entry->status) {
        entry->status = qv__session_finish(group->items[0], &group->facts[0], e->values, &entry->error);
        entry->tokens = group->facts[0].tokens;
    }
    if (is_matrix(e)) return write_row(e, entry, output, err);
    qv__buffer line = {0};
    if (entry->status)
        qv__record_write_error(&entry->record, &entry->error, &line);
    else
        write_answer(e, entry, &line);
    qv_status status = line.failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for an answer")
                                   : qv__output_json(output, line.data, line.size, err);
    qv__buffer_clear(&line);
    return status;
}

/* ---- the command ---- */

static bool check(embed *e, const qv__words *words) {
    e->format = qv__format_parse(e->output.format);
    if (!qv__take_positionals(words, &e->model, &e->inputs) || !qv__inputs_check(&e->inputs)) return false;
    if (!qv__wishes_check(&e->wishes) || !qv__output_flags_check(&e->output)) return false;
    if (is_matrix(e) && e->wishes.echo) {
        qv__complain("--echo needs --format jsonl or json");
        return false;
    }
    return true;
}

static int run(embed *e) {
    if (!qv__answered_read(&e->output, &e->answered) || !qv__inputs_folder(&e->inputs, &e->folder))
        return QV__EXIT_USAGE;
    if (!qv__model_flags_open(&e->model, QV_TASK_EMBED, e->inputs.media_root, &e->opened)) return QV__EXIT_MODEL;
    qv_model_get_facts(e->opened, &e->facts);
    if (e->dimensions > e->facts.embedding_size) {
        qv__complain("--dimensions %lld: this model's vectors have %lld values", (long long)e->dimensions,
                     (long long)e->facts.embedding_size);
        return QV__EXIT_USAGE;
    }
    e->columns = e->dimensions ? e->dimensions : e->facts.embedding_size;
    e->values = qv__alloc_array((size_t)e->facts.embedding_size, sizeof *e->values);
    if (!e->values) return qv__complain("out of memory"), QV__EXIT_FAILED;
    qv__stream_steps steps = {{fields, answers}, prepare, write, drop, e};
    return qv__run_items(&e->inputs, &e->output, qv__helper_count(e->facts.threads), e->columns, &steps, "vectors");
}

static void close_all(embed *e) {
    qv_model_close(&e->opened);
    qv__inputs_clear(&e->inputs);
    qv__id_set_clear(&e->answered);
    qv__free(e->folder);
    qv__free(e->values);
}

int qv__command_embed(int argc, char **argv) {
    embed e = {.model = qv__model_flags_default(), .prompt = "official", .normalize = true, .output.format = "jsonl"};
    qv__option_set sets[] = {
        {"Items", qv__text_rows, QV__TEXT_ROWS, &e.inputs},
        {"Items", qv__media_rows, QV__MEDIA_ROWS, &e.inputs},
        {"Items", qv__lines_rows, QV__LINES_ROWS, &e.inputs},
        {"For items that do not say it themselves", rows, sizeof rows / sizeof *rows, &e},
        {"For items that do not say it themselves", qv__wish_rows, QV__WISH_ROWS, &e.wishes},
        {"Output", qv__matrix_rows, QV__OUTPUT_ROWS, &e.output},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &e.model},
        {"Model", qv__compute_rows, QV__COMPUTE_ROWS, &e.model},
        qv__limit_set(QV__LIMITS_MEDIA, &e.model.limits),
    };
    qv__usage usage = {
        .name = "embed",
        .summary = "vectors of texts, pictures and videos",
        .examples = "  qvec embed --text \"A woman playing with her dog\" --image beach.jpg     two vectors\n"
                    "  qvec embed --together --text \"red\" --image car.jpg                    one vector of both\n"
                    "  qvec embed MODEL items.jsonl --output vectors.jsonl --resume          goes on where it stopped\n"
                    "  qvec embed MODEL items.jsonl --format npy --output vectors.npy        numpy.load reads it\n"
                    "  producer | qvec embed MODEL - | consumer                              a pipe without end\n",
        .usage = "[MODEL] [flags] [FILE.jsonl|-]",
        .notes =
            "A line: {\"id\":..., \"text\":..., \"image\":..., \"video\":..., \"instruction\":..., \"prompt\":..., "
            "\"dimensions\":...,\n"
            "\"min_pixels\":..., \"max_pixels\":..., \"apply_orientation\":..., \"fps\":..., \"max_frames\":...,\n"
            "\"max_length\":..., \"normalize\":...}. text, image and video are a string or a list; a list\n"
            "under video is the pictures of one. Other fields are carried to the answer:\n"
            "{\"id\":..., \"embedding\":[...], \"tokens\":41, \"prompt\":\"official\", \"truncated\":false}.",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 2,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = QV__EXIT_USAGE;
    if (parsed == QV__PARSED_HELP)
        status = QV__EXIT_DONE;
    else if (parsed == QV__PARSED && check(&e, &words))
        status = run(&e);
    qv__words_clear(&words);
    close_all(&e);
    return status;
}
