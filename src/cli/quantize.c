/* qvec quantize: a folder with matrices as 8-bit codes, which every command opens like any other. */
#include <stddef.h>
#include <stdio.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "lib/quantize.h"

typedef struct {
    qv__model_flags model;
    const char *out;
    bool no_progress;
    qv__progress progress;
} quantize;

#define OWN(field) offsetof(quantize, field)

static const qv__option rows[] = {
    QV__ROW("threads", INT, OWN(model.threads), "N", "Compute threads. Default: the CPUs this process may use.",
            .min = 1, .max = 1024),
    QV__ROW("no-progress", SWITCH, OWN(no_progress), NULL, "Draw no progress line on the terminal."),
};

static bool tick(void *user, int64_t done, int64_t total) {
    quantize *q = user;
    q->progress.fraction = total ? (double)done / (double)total : 1;
    q->progress.items++;
    qv__progress_tick(&q->progress);
    return !qv__is_interrupted();
}

static int run(quantize *q) {
    char *folder;
    qv__quantize_options options = {
        .load_format = q->model.load_format, .threads = (int)q->model.threads, .progress = tick, .user = q};
    if (!qv__model_flags_folder(&q->model, QV_TASK_EMBED, &folder)) return QV__EXIT_MODEL;
    qv_error err = {0};
    qv__interrupts_note();
    qv__progress_start(&q->progress, !q->no_progress);
    qv_status status = qv__quantize_folder(folder, q->out, &options, &err);
    qv__progress_clear(&q->progress);
    qv__free(folder);
    if (status == QV_CANCELLED) return QV__EXIT_INTERRUPTED;
    if (status) qv__complain("%s", err.message);
    return !status ? QV__EXIT_DONE : status == QV_INVALID_ARGUMENT ? QV__EXIT_USAGE : QV__EXIT_MODEL;
}

int qv__command_quantize(int argc, char **argv) {
    quantize q = {.model = qv__model_flags_default()};
    qv__option_set sets[] = {
        {"Work", rows, sizeof rows / sizeof *rows, &q},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &q.model},
    };
    qv__usage usage = {
        .name = "quantize",
        .summary = "a folder with matrices as 8-bit codes: 0.6 of the memory, faster",
        .examples = "  qvec quantize Qwen/Qwen3-VL-Embedding-2B ./embedding-2b-int8\n"
                    "  qvec serve ./embedding-2b-int8\n",
        .usage = "MODEL OUT [flags]",
        .notes =
            "OUT must not exist; it appears when all of it is written. The answers are those of --quantization int8.",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 2,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    if (words.count) q.out = words.items[words.count - 1].text;
    if (words.count == 2) q.model.model = words.items[0].text;
    if (parsed == QV__PARSED && words.count + (words.count == 1 && q.model.model) == 2)
        status = run(&q);
    else if (parsed == QV__PARSED)
        qv__complain("name a MODEL and the folder to write: qvec quantize MODEL OUT");
    qv__words_clear(&words);
    return status;
}
