/* Opening and closing, facts, tokens: the part of the public API that computes nothing. */
#include <string.h>

#include "base/error.h"
#include "base/threads.h"
#include "lib/session.h"
#include "store/task.h"

enum {
    MODEL_LEN = 32768,
    BATCHED_TOKENS = 2048,
    QUEUED_ITEMS = 65536,
    QUEUED_TOKENS = 1 << 24,
    THREADS_MAX = 1024,
    SECONDS_MAX = 86400
};
enum { TOKENS_MAX = 1 << 22 /* the network's rows are numbered in 32 bits many times over */ };

static const int64_t image_cache = 256 << 20, prefix_cache = 512 << 20;

/* ---- options ---- */

static qv_status check_range(const char *name, int64_t value, int64_t least, int64_t most, qv_error *err) {
    if (value >= least && value <= most) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "%s is %lld; it goes from %lld to %lld", name, (long long)value,
                    (long long)least, (long long)most);
}

static qv_status check_options(const qv_model_options *o, qv_error *err) {
    const struct {
        const char *name;
        int64_t value, least, most; /* 0: the default */
    } rows[] = {{"task", o->task, QV_TASK_AUTO, QV_TASK_RERANK},
                {"threads", o->threads, 0, THREADS_MAX},
                {"max_model_len", o->max_model_len, 0, TOKENS_MAX},
                {"max_batched_tokens", o->max_batched_tokens, 0, TOKENS_MAX},
                {"max_queued_items", o->max_queued_items, 0, INT32_MAX},
                {"max_queued_tokens", o->max_queued_tokens, 0, INT32_MAX},
                {"image_cache_bytes", o->image_cache_bytes, -1, INT64_MAX},
                {"prefix_cache_bytes", o->prefix_cache_bytes, -1, INT64_MAX},
                {"max_media_bytes", o->max_media_bytes, 0, INT64_MAX},
                {"max_image_pixels", o->max_image_pixels, 0, INT32_MAX},
                {"max_image_side", o->max_image_side, 0, INT32_MAX},
                {"max_video_frames", o->max_video_frames, 0, INT32_MAX},
                {"max_decoded_bytes", o->max_decoded_bytes, 0, INT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_status status = check_range(rows[i].name, rows[i].value, rows[i].least, rows[i].most, err);
        if (status) return status;
    }
    if (o->max_decode_seconds >= 0 && o->max_decode_seconds <= SECONDS_MAX) return QV_OK; /* false for NaN */
    return qv__fail(err, QV_INVALID_ARGUMENT, "max_decode_seconds is %g; it goes from 0 to %d", o->max_decode_seconds,
                    SECONDS_MAX);
}

/* media/'s own limits, where the options name no other. */
static qv__media_limits media_limits(const qv_model_options *o) {
    qv__media_limits limits = qv__media_default_limits;
    if (o->max_media_bytes) limits.max_bytes = o->max_media_bytes;
    if (o->max_image_pixels) limits.max_pixels = o->max_image_pixels;
    if (o->max_image_side) limits.max_side = o->max_image_side;
    if (o->max_video_frames) limits.max_video_frames = o->max_video_frames;
    if (o->max_decoded_bytes) limits.max_decoded_bytes = o->max_decoded_bytes;
    if (o->max_decode_seconds > 0) limits.max_seconds = o->max_decode_seconds;
    return limits;
}

static qv_status copy_text(const char *from, char **owned, const char **option, qv_error *err) {
    if (!from) return QV_OK;
    *option = *owned = qv__strdup(from);
    return *owned ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for the options");
}

static bool is_word(const char *text, const char *word) {
    return text && strcmp(text, word) == 0;
}

static qv_status check_quantization(const char *q, qv_error *err) {
    if (!q || is_word(q, "auto") || is_word(q, "none") || is_word(q, "int8")) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "quantization \"%.32s\" is none of auto, none, int8", q);
}

static qv_status take_options(qv_model *m, const qv_model_options *given, qv_error *err) {
    if (given) m->options = *given;
    qv_model_options *o = &m->options;
    qv_status status = check_options(o, err);
    m->media = media_limits(o);
    m->media.stop = &m->stopping;
    if (!status) status = copy_text(o->media_root, &m->media_root, &o->media_root, err);
    if (!status) status = copy_text(o->load_format, &m->load_format, &o->load_format, err);
    if (!status) status = check_quantization(o->quantization, err);
    if (o->threads == 0) o->threads = qv__cpu_count();
    if (o->max_batched_tokens == 0) o->max_batched_tokens = BATCHED_TOKENS;
    if (o->max_queued_items == 0) o->max_queued_items = QUEUED_ITEMS;
    if (o->max_queued_tokens == 0) o->max_queued_tokens = QUEUED_TOKENS;
    if (o->image_cache_bytes == 0) o->image_cache_bytes = image_cache;
    if (o->prefix_cache_bytes == 0) o->prefix_cache_bytes = prefix_cache;
    return status;
}

/* What depends on the checkpoint: its longest input, its task. */
static qv_status settle_options(qv_model *m, qv_error *err) {
    m->int8 = qv__checkpoint_config(m->checkpoint)->quantized;
    if (m->int8 && is_word(m->options.quantization, "none"))
        return qv__fail(err, QV_INVALID_ARGUMENT, "quantization is \"none\", but the weights of %s are 8-bit codes",
                        m->folder);
    m->int8 |= is_word(m->options.quantization, "int8");
    m->options.quantization = m->int8 ? "int8" : "none";
    int64_t most = qv__checkpoint_config(m->checkpoint)->text.max_positions;
    if (m->options.max_model_len > most)
        return qv__fail(err, QV_INVALID_ARGUMENT, "max_model_len is %lld; %s has %lld positions",
                        (long long)m->options.max_model_len, m->folder, (long long)most);
    if (m->options.max_model_len == 0) m->options.max_model_len = most < MODEL_LEN ? most : MODEL_LEN;
    m->task = m->options.task == QV_TASK_AUTO ? qv__checkpoint_task(m->checkpoint) : m->options.task;
    return QV_OK;
}

/* ---- opening ---- */

static qv_status score_id(const qv_model *m, const char *word, int32_t *id, qv_error *err) {
    if (*id < 0) *id = qv__tokenizer_id(m->tokenizer, word);
    if (*id >= 0 && *id < qv__checkpoint_config(m->checkpoint)->text.vocab) return QV_OK;
    return qv__fail(err, QV_BAD_CHECKPOINT, "%s: the token \"%s\" that a reranker is read at is not in the vocabulary",
                    m->folder, word);
}

static qv_status network_options(const qv_model *m, qv__network_options *o, qv_error *err) {
    const qv_model_options *given = &m->options;
    int64_t longest =
        given->max_model_len > given->max_batched_tokens ? given->max_model_len : given->max_batched_tokens;
    *o = (qv__network_options){.max_tokens = longest,
                               .nested_tokens = longest < QV__NESTED_TOKENS ? longest : QV__NESTED_TOKENS,
                               .quantize = m->int8,
                               .score_head = m->task == QV_TASK_RERANK};
    if (!o->score_head) return QV_OK;
    qv_status status = qv__task_score_ids(m->folder, &o->yes_id, &o->no_id, err);
    if (!status) status = score_id(m, "yes", &o->yes_id, err);
    if (!status) status = score_id(m, "no", &o->no_id, err);
    return status;
}

static qv_status open_engine(qv_model *m, int64_t nested_tokens, qv_error *err) {
    const qv_model_options *o = &m->options;
    return qv__engine_open(
        m->network,
        &(qv__engine_options){.max_batched_tokens = o->max_batched_tokens,
                              .nested_tokens = nested_tokens,
                              .max_queued_items = o->max_queued_items,
                              .max_queued_tokens = o->max_queued_tokens,
                              .image_cache_bytes = o->image_cache_bytes < 0 ? 0 : o->image_cache_bytes,
                              .prefix_cache_bytes = o->prefix_cache_bytes < 0 ? 0 : o->prefix_cache_bytes},
        &m->engine, err);
}

static qv_status open_parts(qv_model *m, qv_error *err) {
    qv_model_options *o = &m->options;
    qv__network_options network;
    qv_status status =
        qv__checkpoint_open(m->folder, &(qv__checkpoint_options){.load_format = o->load_format, .threads = o->threads},
                            &m->checkpoint, err);
    if (!status) status = settle_options(m, err);
    if (!status) status = qv__tokenizer_open(m->folder, &m->tokenizer, err);
    if (!status) status = network_options(m, &network, err);
    if (!status) status = qv__cpu_backend_open(o->threads, o->cpu_tier, &m->backend, err);
    if (status) return status;
    o->cpu_tier = m->int8 ? qv__cpu_backend_tier8(m->backend) : qv__cpu_backend_tier(m->backend);
    status = qv__network_open(m->backend, m->checkpoint, &network, &m->network, err);
    if (!status && !(m->decoding = qv__gate_open(o->threads / 4 > 1 ? o->threads / 4 : 1)))
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for the model");
    return status ? status : open_engine(m, network.nested_tokens, err);
}

qv_status qv_model_open(const char *folder, const qv_model_options *options, qv_model **out, qv_error *err) {
    *out = NULL;
    if (!folder) return qv__fail(err, QV_INVALID_ARGUMENT, "there is no folder");
    qv_model *m = qv__calloc(1, sizeof *m);
    if (!m) return qv__fail(err, QV_NO_MEMORY, "out of memory for the model");
    m->folder = qv__strdup(folder);
    qv_status status = m->folder ? take_options(m, options, err) : qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!status) status = open_parts(m, err);
    if (status)
        qv__session_close(m, false);
    else
        *out = m;
    return status;
}

void qv__session_close(qv_model *m, bool drain) {
    if (!m) return;
    if (m->engine) qv__engine_close(&m->engine, drain);
    if (m->network) qv__network_close(&m->network);
    if (m->backend) m->backend->ops->close(m->backend);
    qv__gate_close(&m->decoding);
    qv__tokenizer_close(&m->tokenizer);
    if (m->checkpoint) qv__checkpoint_close(&m->checkpoint);
    qv__free(m->media_root);
    qv__free(m->load_format);
    qv__free(m->folder);
    qv__free(m);
}

void qv_model_close(qv_model **model) {
    if (!model || !*model) return;
    qv__session_close(*model, true);
    *model = NULL;
}

/* ---- questions ---- */

qv_status qv_model_find(const char *model, const char *download_dir, char *path, size_t size, qv_error *err) {
    char *folder;
    if (size) *path = 0;
    if (!model) return qv__fail(err, QV_INVALID_ARGUMENT, "there is no model's name");
    qv_status status = qv__model_folder(model, download_dir, &folder, err);
    if (status) return status;
    size_t length = strlen(folder);
    if (length < size)
        memcpy(path, folder, length + 1);
    else
        status = qv__fail(err, QV_TOO_LARGE, "the path %s does not fit into %zu bytes", folder, size);
    qv__free(folder);
    return status;
}

void qv_model_get_facts(const qv_model *m, qv_model_facts *facts) {
    *facts = (qv_model_facts){.task = m->task,
                              .embedding_size = qv__network_hidden(m->network),
                              .max_model_len = m->options.max_model_len,
                              .threads = qv__cpu_backend_threads(m->backend),
                              .cpu_tier = m->options.cpu_tier};
}

qv_status qv_model_tokenize(const qv_model *m, const char *text, size_t size, bool special, int32_t **ids,
                            size_t *count, qv_error *err) {
    qv__ids list = {0};
    *ids = NULL;
    *count = 0;
    qv_status status = qv__tokenizer_encode(m->tokenizer, text ? text : "", size, special, 0, &list, err);
    if (status) {
        qv__ids_clear(&list);
        return status;
    }
    *ids = list.data;
    *count = list.size;
    return QV_OK;
}

void qv_tokens_free(int32_t *ids) {
    qv__free(ids);
}
