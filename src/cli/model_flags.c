#include "cli/model_flags.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "cli/builtin.h"
#include "cli/console.h"
#include "kernels/tier.h"
#include "store/checkpoint.h"

#define AT(field) offsetof(qv__model_flags, field)

qv__model_flags qv__model_flags_default(void) {
    qv__model_flags flags = {.image_cache = -1, .prefix_cache = -1};
    qv__limits_default(&flags.limits);
    return flags;
}

const qv__option qv__model_rows[QV__MODEL_ROWS] = {
    QV__ROW(
        "model", TEXT, AT(model), "MODEL",
        "A checkpoint folder, or org/name from the hub caches. The same as the argument. Default: the built-in model."),
    QV__ROW("load-format", TEXT, AT(load_format), "FORMAT",
            "auto, safetensors, or dummy[:SEED]: weights made by rule, only config.json and the tokenizer read. "
            "Default: auto."),
    QV__ROW("download-dir", TEXT, AT(download_dir), "DIR", "Where org/name is looked for before the hub caches."),
};

const qv__option qv__compute_rows[QV__COMPUTE_ROWS] = {
    QV__ROW("threads", INT, AT(threads), "N", "Compute threads. Default: the CPUs this process may use.", .min = 1,
            .max = 1024),
    QV__ROW("cpu-tier", CHOICE, AT(cpu_tier), "TIER",
            "Highest kernel tier to use: c, avx2, avx512 (on ARM: c, neon). Every tier gives the same bytes. Default: "
            "auto, the best "
            "there is.",
            .choices = QV__TIER_CHOICES),
    QV__ROW(
        "quantization", CHOICE, AT(quantization), "KIND",
        "int8: matrices become 8-bit codes while the model is opened; none: only weights without. Default: auto, as "
        "the folder has them (see qvec quantize).",
        .choices = "auto|none|None|int8"),
    QV__ROW("max-model-len", LENGTH, AT(max_model_len), "N",
            "Longest input in tokens (8192, 8k, 25.6k, 32K); auto or -1: the model's limit, at most 32768. "
            "Default: auto.",
            .min = 1, .max = 1 << 30),
    QV__ROW("max-num-batched-tokens", COUNT, AT(max_batched_tokens), "N", "Tokens computed together. Default: 2048.",
            .min = 1, .max = 1 << 30),
    QV__ROW("task", CHOICE, AT(task), "TASK", "auto, embed or rerank. Default: auto, told from the model's files.",
            .choices = "auto|embed|rerank"),
    QV__ROW("image-cache", COUNT, AT(image_cache), "BYTES",
            "Cache of finished picture features; 0: off. Default: 256M.", .min = 0, .max = INT64_MAX),
    QV__ROW("prefix-cache", COUNT, AT(prefix_cache), "BYTES",
            "Store of keys and values of shared prefixes; 0: off. Default: 512M.", .min = 0, .max = INT64_MAX),
};

const char *qv__model_flags_quantization(const qv__model_flags *flags) {
    return flags->quantization && !strcmp(flags->quantization, "None") ? "none" : flags->quantization;
}

const char *qv__model_flags_name(const qv__model_flags *flags) {
    return flags->model ? flags->model : "the built-in model";
}

bool qv__take_model(const qv__words *words, qv__model_flags *flags) {
    if (words->count && flags->model) {
        qv__complain("the model is given twice: --model %.200s and %.200s", flags->model, words->items[0].text);
        return false;
    }
    if (words->count) flags->model = words->items[0].text;
    return true;
}

qv_task qv__model_flags_task(const qv__model_flags *flags, qv_task wanted) {
    if (flags->task && !strcmp(flags->task, "embed")) return QV_TASK_EMBED;
    if (flags->task && !strcmp(flags->task, "rerank")) return QV_TASK_RERANK;
    return wanted;
}

static bool builtin(qv_task task, char **folder) {
    *folder = qv__builtin_folder(task);
    if (!*folder)
        qv__complain("the built-in model was not found beside the program; name a MODEL: a folder or an org/name");
    return *folder;
}

bool qv__model_flags_folder(const qv__model_flags *flags, qv_task wanted, char **folder) {
    *folder = NULL;
    if (!flags->model) return builtin(qv__model_flags_task(flags, wanted), folder);
    qv_error err = {0};
    if (!qv__model_folder(flags->model, flags->download_dir, folder, &err)) return true;
    qv__complain("%s", err.message);
    return false;
}
