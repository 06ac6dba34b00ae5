#include <string.h>

#include "base/memory.h"
#include "cli/console.h"
#include "cli/model_flags.h"

/* As flags say it: -1 default, 0 off; as the library says it: 0 default, -1 off. */
static int64_t cache_size(int64_t flag) {
    return flag < 0 ? 0 : flag == 0 ? -1 : flag;
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
    const qv__limits *l = &flags->limits;
    qv_model_options options = {.task = qv__model_flags_task(flags, QV_TASK_AUTO),
                                .load_format = flags->load_format,
                                .cpu_tier = flags->cpu_tier,
                                .quantization = qv__model_flags_quantization(flags),
                                .threads = (int)flags->threads,
                                .max_model_len = flags->max_model_len,
                                .max_batched_tokens = flags->max_batched_tokens,
                                .image_cache_bytes = cache_size(flags->image_cache),
                                .prefix_cache_bytes = cache_size(flags->prefix_cache),
                                .max_queued_items = l->queued_items,
                                .max_queued_tokens = l->queued_tokens,
                                .max_media_bytes = l->media_bytes,
                                .max_image_pixels = l->image_pixels,
                                .max_image_side = l->image_side,
                                .max_video_frames = l->video_frames,
                                .max_decoded_bytes = l->decoded_bytes,
                                .max_decode_seconds = l->decode_seconds,
                                .media_root = media_root};
    *out = NULL;
    if (!qv__model_flags_folder(flags, wanted, &folder)) return false;
    qv_error err = {0};
    qv_status status = qv_model_open(folder, &options, out, &err);
    qv__free(folder);
    if (status) qv__complain("%s", err.message);
    if (status || check_task(flags, wanted, *out)) return !status;
    qv_model_close(out);
    return false;
}
