#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "cli/console.h"
#include "cli/model_flags.h"

#define AT(field) offsetof(qv__model_flags, field)

const qv__option qv__limit_rows[QV__LIMIT_ROWS] = {
    QV__ROW("max-media-bytes", COUNT, AT(max_media_bytes), "BYTES", "Largest picture or video file. Default: 256M.",
            .min = 1, .max = INT64_MAX),
    QV__ROW("max-image-pixels", COUNT, AT(max_image_pixels), "N",
            "Most pixels of a picture or frame as it is decoded. Default: 89478485.", .min = 1, .max = INT32_MAX),
    QV__ROW("max-image-side", COUNT, AT(max_image_side), "N",
            "Most pixels along one side of a picture or frame. Default: 65535.", .min = 1, .max = INT32_MAX),
    QV__ROW("max-video-frames", COUNT, AT(max_video_frames), "N",
            "Most frames that a video file may hold. Default: 200000.", .min = 1, .max = INT32_MAX),
    QV__ROW("max-decoded-bytes", COUNT, AT(max_decoded_bytes), "BYTES",
            "Most memory for the decoded frames of one video. Default: 2G.", .min = 1, .max = INT64_MAX),
    QV__ROW("max-decode-seconds", NUMBER, AT(max_decode_seconds), "SECONDS",
            "Longest time that decoding one picture or video may take; 0: the default. Default: 60.", .min = 0,
            .max = 86400),
};

/* As flags say it: -1 default, 0 off; as the library says it: 0 default, -1 off. */
static int64_t cache_size(int64_t flag) {
    return flag < 0 ? 0 : flag == 0 ? -1 : flag;
}

static qv_task task_of(const qv__model_flags *flags, qv_task wanted) {
    if (flags->task && !strcmp(flags->task, "embed")) return QV_TASK_EMBED;
    if (flags->task && !strcmp(flags->task, "rerank")) return QV_TASK_RERANK;
    return flags->model ? QV_TASK_AUTO : wanted; /* the built-in model does what is wanted */
}

static bool check_task(const qv__model_flags *flags, qv_task wanted, const qv_model *model) {
    qv_model_facts facts;
    qv_model_get_facts(model, &facts);
    if (wanted == QV_TASK_AUTO || facts.task == wanted) return true;
    if (wanted == QV_TASK_RERANK)
        qv__complain("%s is an embedding model; qvec rerank needs a reranker (or --task rerank)",
                     qv__model_flags_name(flags));
    else
        qv__complain("%s is a reranker; qvec embed needs an embedding model (or --task embed)",
                     qv__model_flags_name(flags));
    return false;
}

bool qv__model_flags_open(const qv__model_flags *flags, qv_task wanted, const char *media_root, qv_model **out) {
    char *folder;
    qv_model_options options = {.task = task_of(flags, wanted),
                                .cpu_tier = flags->cpu_tier,
                                .threads = (int)flags->threads,
                                .max_model_len = flags->max_model_len,
                                .max_batched_tokens = flags->max_batched_tokens,
                                .image_cache_bytes = cache_size(flags->image_cache),
                                .prefix_cache_bytes = cache_size(flags->prefix_cache),
                                .max_media_bytes = flags->max_media_bytes,
                                .max_image_pixels = flags->max_image_pixels,
                                .max_image_side = flags->max_image_side,
                                .max_video_frames = flags->max_video_frames,
                                .max_decoded_bytes = flags->max_decoded_bytes,
                                .max_decode_seconds = flags->max_decode_seconds,
                                .media_root = media_root};
    *out = NULL;
    if (!qv__model_flags_folder(flags, &folder, &options.load_format)) return false;
    qv_error err = {0};
    qv_status status = qv_model_open(folder, &options, out, &err);
    qv__free(folder);
    if (status) qv__complain("%s", err.message);
    if (status || check_task(flags, wanted, *out)) return !status;
    qv_model_close(out);
    return false;
}
