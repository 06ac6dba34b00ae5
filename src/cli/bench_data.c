#include "cli/bench_data.h"

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/console.h"
#include "store/checkpoint.h"

enum { FILE_MAX = 1 << 30 };

#define AT(field) offsetof(qv__data_flags, field)

const qv__option qv__data_rows[QV__DATA_ROWS] = {
    QV__ROW("dataset-name", CHOICE, AT(name), "NAME",
            "random: texts of random tokens; random-mm: with random pictures and videos; random-rerank: a query and "
            "documents (what random means for a reranker); custom, hf, sharegpt: a local file. Default: random.",
            .choices = "random|random-mm|random-rerank|custom|hf|sharegpt"),
    QV__ROW("dataset-path", TEXT, AT(path), "FILE",
            "JSON Lines or one JSON array of objects with prompt, text or input; query and documents; conversations; "
            "image, images, video or videos."),
    QV__ROW("random-input-len", COUNT, AT(input_len), "N",
            "Tokens of an input, special ones included. Default: 1024, and 32 for bench latency.", .min = 1,
            .max = QV__TEXT_TOKENS_MAX),
    QV__ROW("input-len", COUNT, AT(input_len), "N", "The same.", .min = 1, .max = QV__TEXT_TOKENS_MAX),
    QV__ROW("random-output-len", INT, AT(output_len), "N", "Taken because vLLM has it; nothing is generated.", .min = 0,
            .max = INT32_MAX),
    QV__ROW("output-len", INT, AT(output_len), "N", "The same.", .min = 0, .max = INT32_MAX),
    QV__ROW("random-range-ratio", NUMBER, AT(range_ratio), "R",
            "Lengths are drawn from [N(1-R), N(1+R)] instead of all being N. Default: 0.", .min = 0, .max = 1),
    QV__ROW("random-prefix-len", COUNT, AT(prefix_len), "N",
            "Tokens, besides, that all texts of a run (of a call, in bench latency) begin with; not for rerankers. "
            "Default: "
            "0.",
            .min = 0, .max = QV__TEXT_TOKENS_MAX),
    QV__ROW("prefix-len", COUNT, AT(prefix_len), "N", "The same.", .min = 0, .max = QV__TEXT_TOKENS_MAX),
    QV__ROW("random-mm-base-items-per-request", INT, AT(mm_items), "N", "Pictures and videos of a request. Default: 1.",
            .min = 0, .max = 4096),
    QV__ROW("random-mm-num-mm-items-range-ratio", NUMBER, AT(mm_ratio), "R",
            "Their number is drawn from [N(1-R), N(1+R)]. Default: 0.", .min = 0, .max = 1),
    QV__ROW("random-mm-limit-mm-per-prompt", TEXT, AT(mm_limit), "JSON",
            "Most of a request, by kind. Default: {\"image\":255,\"video\":1}."),
    QV__ROW(
        "random-mm-bucket-config", TEXT, AT(mm_buckets), "CONFIG",
        "Sizes and their shares: {(height, width, frames): share, ...}. 1 frame: a picture, as JPEG; more: a video, "
        "as MP4 (mp4v) of 30 frames a second. Default: {(256, 256, 1): 0.5, (720, 1280, 1): 0.5}."),
    QV__ROW("seed", INT, AT(seed), "N", "Of all that is random. Default: 0.", .min = 0, .max = INT64_MAX),
};

qv__data_flags qv__data_flags_default(int64_t input_len) {
    return (qv__data_flags){.name = "random",
                            .input_len = input_len,
                            .mm_items = 1,
                            .mm_buckets = "{(256, 256, 1): 0.5, (720, 1280, 1): 0.5}"};
}

bool qv__data_is_random(const qv__data_flags *flags) {
    return !strncmp(flags->name, "random", 6);
}

bool qv__data_check(const qv__data_flags *flags) {
    bool random = qv__data_is_random(flags);
    if (random && flags->path)
        qv__complain("--dataset-path belongs to --dataset-name custom, hf or sharegpt, not to %s", flags->name);
    else if (!random && !flags->path)
        qv__complain("--dataset-name %s needs --dataset-path FILE", flags->name);
    else
        return true;
    return false;
}

/* ---- random ---- */

/* A limit by its name; what is there without one stays. */
static bool read_limit(const json_t *limits, const char *name, int64_t *most) {
    const json_t *value = json_object_get(limits, name);
    if (!value) return true;
    *most = json_integer_value(value);
    return json_is_integer(value) && *most >= 0;
}

static qv_status read_mm_limit(const char *text, int64_t *images, int64_t *videos, qv_error *err) {
    *images = 255;
    *videos = 1;
    if (!text) return QV_OK;
    json_t *limits = json_loads(text, 0, NULL);
    bool fine = json_is_object(limits) && read_limit(limits, "image", images) && read_limit(limits, "video", videos);
    json_decref(limits);
    if (fine) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT,
                    "--random-mm-limit-mm-per-prompt takes {\"image\":N,\"video\":N}, not %.80s", text);
}

qv_status qv__data_random(const qv__data_flags *flags, const qv__data_wish *wish, qv__samples *out, qv_error *err) {
    qv__random_samples o = {.texts = wish->texts,
                            .random = wish->random,
                            .inputs = wish->inputs,
                            .length = flags->input_len,
                            .special = wish->special,
                            .prefix = flags->prefix_len,
                            .batch_size = wish->batch_size,
                            .range_ratio = flags->range_ratio,
                            .whole_length = wish->whole_length,
                            .media = strcmp(flags->name, "random-mm") ? 0 : flags->mm_items,
                            .media_ratio = flags->mm_ratio,
                            .stop = qv__is_interrupted};
    qv_status status = read_mm_limit(flags->mm_limit, &o.images_max, &o.videos_max, err);
    if (!status) status = qv__buckets_parse(flags->mm_buckets, o.buckets, &o.bucket_count, err);
    if (status) return status;
    return wish->reranks ? qv__samples_random_rerank(&o, out, err) : qv__samples_random(&o, out, err);
}

/* ---- files ---- */

qv_status qv__data_read(const qv__data_flags *flags, size_t requests, qv__samples *out, qv_error *err) {
    char *text = NULL, folder[PATH_MAX] = ".";
    const char *path = flags->path, *slash = strrchr(path, '/');
    size_t size = 0;
    if (slash && (size_t)(slash - path) < sizeof folder - 1)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    qv_status status = qv__file_read(path, FILE_MAX, &text, &size, err);
    if (!status) status = qv__samples_parse(text, size, path, folder, requests, out, err);
    qv__free(text);
    return status;
}
