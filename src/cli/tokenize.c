/* qvec tokenize: token ids, no weights needed. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/inputs.h"
#include "cli/model_flags.h"
#include "cli/stream.h"
#include "prep/prompt.h"
#include "store/checkpoint.h"
#include "store/file.h"

typedef struct {
    qv__model_flags model; /* first: the shared rows write here */
    qv__input_flags inputs;
    const char *prompt; /* "official", "raw", "none" */
    const char *instruction;
    int64_t max_length;
    /* opened */
    qv__config config;
    qv__tokenizer *tokenizer;
} tokenize;

#define AT(field) offsetof(tokenize, field)

static const qv__option rows[] = {
    QV__ROW("prompt", CHOICE, AT(prompt), "RECIPE",
            "official: the models' own prompt around the text; raw: the text and the end token; none: the bare text, "
            "no special "
            "tokens added. Default: official.",
            .choices = "official|raw|none"),
    QV__ROW("instruction", TEXT, AT(instruction), "S", "Instruction of the official prompt."),
    QV__ROW("max-length", COUNT, AT(max_length), "N",
            "Cut prompts to this many tokens. Default: 8192 official, else no cut.", .min = 1, .max = 1 << 30),
};

static const char *const fields[] = {"id", "text", "instruction", "prompt", "max_length", NULL};
static const char *const answers[] = {"ids", "tokens", "truncated", "error", NULL};

typedef struct {
    qv__arena arena;
    qv__ids bare;          /* prompt none */
    qv__sequence sequence; /* official, raw; owned by arena */
    int64_t untruncated;
} answer;

static void drop(qv__entry *entry) {
    answer *a = entry->data;
    if (!a) return;
    qv__ids_clear(&a->bare);
    qv__arena_clear(&a->arena);
    qv__free(a);
}

static qv_status encode_bare(const tokenize *t, const qv_input *input, answer *a, qv_error *err) {
    qv_status status = QV_OK;
    for (size_t i = 0; i < input->part_count && !status; i++)
        status =
            qv__tokenizer_encode(t->tokenizer, input->parts[i].data, input->parts[i].size, false, 0, &a->bare, err);
    return status;
}

static qv_status encode_prompt(const tokenize *t, const qv_input *input, answer *a, qv_error *err) {
    qv__prompt_part *parts = qv__arena_alloc(&a->arena, input->part_count + 1, sizeof *parts);
    if (!parts) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu texts", input->part_count);
    for (size_t i = 0; i < input->part_count; i++)
        parts[i] = (qv__prompt_part){.text = input->parts[i].data, .size = input->parts[i].size};
    qv__prompt_options options = {.prompt = input->prompt,
                                  .instruction = input->instruction,
                                  .max_length = input->max_length,
                                  .max_model_len = INT32_MAX};
    qv__prompt_facts facts = {0};
    qv_status status = qv__prompt_embed(t->tokenizer, &t->config, parts, input->part_count, &options, &a->arena,
                                        &a->sequence, &facts, err);
    a->untruncated = facts.untruncated;
    return status;
}

/* The line's prompt, or the flag's. *bare: none. */
static qv_status read_prompt(const tokenize *t, qv__record *r, qv_prompt *prompt, bool *bare) {
    const char *name = t->prompt;
    qv_status status = qv__record_text(r, "prompt", &name);
    if (status) return status;
    *bare = !strcmp(name, "none");
    *prompt = strcmp(name, "raw") ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    if (*bare || !strcmp(name, "raw") || !strcmp(name, "official")) return QV_OK;
    return qv__fail(r->err, QV_INVALID_ARGUMENT, "\"prompt\" is \"%.40s\"; it must be official, raw or none", name);
}

static qv_status prepare(void *user, qv__entry *entry, qv_error *err) {
    const tokenize *t = user;
    answer *a = entry->data = qv__calloc(1, sizeof *a);
    if (!a) return qv__fail(err, QV_NO_MEMORY, "out of memory for an answer");
    qv_input input = {.instruction = t->instruction, .max_length = t->max_length};
    bool bare = false;
    qv_status status = read_prompt(t, &entry->record, &input.prompt, &bare);
    if (!status) status = qv__record_parts(&entry->record, entry->record.root, "", &input);
    if (!status) status = qv__record_wishes(&entry->record, &input);
    for (size_t i = 0; i < input.part_count && !status; i++)
        if (input.parts[i].kind != QV_PART_TEXT)
            status =
                qv__fail(err, QV_UNSUPPORTED, "tokenize takes texts only; qvec embed --echo ids shows a picture's ids");
    if (status) return status;
    status = bare ? encode_bare(t, &input, a, err) : encode_prompt(t, &input, a, err);
    entry->bytes += a->arena.used + a->bare.capacity * sizeof *a->bare.data;
    return status;
}

static qv_status write(void *user, qv__entry *entry, qv__output *output, qv_error *err) {
    const answer *a = entry->data;
    const qv__record *r = &entry->record;
    qv__buffer line = {0};
    if (entry->status)
        qv__record_write_error(r, &entry->error, &line);
    else {
        const int32_t *ids = a->sequence.ids ? a->sequence.ids : a->bare.data;
        size_t count = a->sequence.ids ? (size_t)a->sequence.length : a->bare.size;
        bool head = r->id.size || r->carried_count;
        if (head) qv__record_write_head(r, &line);
        qv__buffer_puts(&line, head ? ", \"ids\":" : "{\"ids\":");
        qv__write_ids(ids, count, &line);
        if (a->untruncated > (int64_t)count) qv__buffer_puts(&line, ", \"truncated\":true");
        qv__buffer_puts(&line, "}");
        entry->tokens = (int64_t)count;
    }
    qv_status status = line.failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for an answer")
                                   : qv__output_json(output, line.data, line.size, err);
    qv__buffer_clear(&line);
    return status;
}

static qv_status read_config(const char *folder, qv__config *config, qv_error *err) {
    char *path = qv__path_join(folder, "config.json"), *text = NULL;
    size_t size = 0;
    qv_status status =
        path ? qv__file_read(path, 1 << 20, &text, &size, err) : qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!status) status = qv__config_parse(text, size, config, err);
    qv__free(text);
    qv__free(path);
    return status;
}

/* False: the reason has been printed. */
static bool open_model(tokenize *t) {
    char *folder;
    if (!qv__model_flags_folder(&t->model, QV_TASK_EMBED, &folder)) return false;
    qv_error err = {0};
    qv_status status = read_config(folder, &t->config, &err);
    if (!status) status = qv__tokenizer_open(folder, &t->tokenizer, &err);
    if (status) qv__complain("%s", err.message);
    qv__free(folder);
    return !status;
}

static int run(tokenize *t) {
    if (!open_model(t)) return QV__EXIT_MODEL;
    qv__stream_steps steps = {{fields, answers}, prepare, write, drop, t};
    qv__output_flags output = {0};
    int status = qv__run_items(&t->inputs, &output, qv__cpu_count(), 0, &steps, "prompts");
    qv__tokenizer_close(&t->tokenizer);
    return status;
}

int qv__command_tokenize(int argc, char **argv) {
    tokenize t = {.model = qv__model_flags_default(), .prompt = "official"};
    qv__option_set sets[] = {
        {"Texts", qv__text_rows, QV__TEXT_ROWS, &t.inputs},
        {"Prompt", rows, sizeof rows / sizeof *rows, &t},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &t.model},
    };
    qv__usage usage = {
        .name = "tokenize",
        .summary = "token ids of texts and prompts",
        .examples =
            "  qvec tokenize --text \"hello world\"                     as the built-in model's official prompt\n"
            "  qvec tokenize --prompt none --text \"hello world\"       the bare text\n"
            "  qvec tokenize Qwen/Qwen3-VL-Embedding-2B texts.jsonl   {\"text\":...} a line; {\"ids\":[...]} a line\n",
        .usage = "[MODEL] [flags] [FILE.jsonl|-]",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 2,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    bool ready =
        parsed == QV__PARSED && qv__take_positionals(&words, &t.model, &t.inputs) && qv__inputs_check(&t.inputs);
    int status = ready ? run(&t) : parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    qv__words_clear(&words);
    qv__inputs_clear(&t.inputs);
    return status;
}
