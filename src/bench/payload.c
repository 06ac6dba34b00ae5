#include "bench/payload.h"

#include <string.h>

#include "api/write.h"
#include "base/error.h"

static const struct {
    const char *name, *endpoint;
    bool lists;       /* several texts in one request */
    bool chat;        /* the text and its media as one message */
    bool media;       /* pictures are carried */
    bool untruncated; /* the server knows no truncate_prompt_tokens */
} backends[] = {
    [QV__BACKEND_EMBEDDINGS] = {"openai-embeddings", "/v1/embeddings", .lists = true},
    [QV__BACKEND_CHAT] = {"openai-embeddings-chat", "/v1/embeddings", .chat = true, .media = true},
    [QV__BACKEND_CLIP] = {"openai-embeddings-clip", "/v1/embeddings", .chat = true, .media = true},
    [QV__BACKEND_VLM2VEC] = {"openai-embeddings-vlm2vec", "/v1/embeddings", .chat = true, .media = true},
    [QV__BACKEND_POOLING] = {"vllm-pooling", "/pooling", .lists = true},
    [QV__BACKEND_RERANK] = {"vllm-rerank", "/v1/rerank", .lists = true},
    [QV__BACKEND_INFINITY] = {"infinity-embeddings", "/embeddings", .lists = true, .untruncated = true},
    [QV__BACKEND_INFINITY_CLIP] = {"infinity-embeddings-clip", "/embeddings", .lists = true, .media = true,
                                   .untruncated = true},
};

bool qv__backend_find(const char *name, qv__backend_kind *out) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(backends[i].name, name)) return *out = (qv__backend_kind)i, true;
    return false;
}

const char *qv__backend_endpoint(qv__backend_kind kind) {
    return backends[kind].endpoint;
}

bool qv__backend_takes_lists(qv__backend_kind kind) {
    return backends[kind].lists;
}

static void write_text(qv__buffer *out, const char *text) {
    qv__write_string(out, text, strlen(text));
}

static void write_list(qv__buffer *out, const char *const *texts, size_t count) {
    qv__buffer_puts(out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) qv__buffer_puts(out, ",");
        write_text(out, texts[i]);
    }
    qv__buffer_puts(out, "]");
}

/* infinity-embeddings-clip: one picture by its URL, in place of the text. */
static void write_picture(qv__buffer *out, const qv__sample *sample) {
    qv__buffer_puts(out, ",\"input\":");
    write_text(out, sample->media[0].url);
    qv__buffer_puts(out, ",\"modality\":\"image\"");
}

static void write_input(qv__buffer *out, const qv__sample *sample) {
    qv__buffer_puts(out, ",\"input\":");
    if (sample->text_count == 1)
        write_text(out, sample->texts[0]);
    else
        write_list(out, sample->texts, sample->text_count);
}

/* {"type":"text","text":"head + text"} */
static void write_text_part(qv__buffer *out, const char *head, const char *text) {
    qv__buffer whole = {0};
    qv__buffer_puts(&whole, head);
    qv__buffer_puts(&whole, text);
    qv__buffer_puts(out, "{\"type\":\"text\",\"text\":");
    qv__write_string(out, whole.size ? whole.data : "", whole.size);
    qv__buffer_puts(out, "}");
    out->failed |= whole.failed;
    qv__buffer_clear(&whole);
}

static void write_media_parts(qv__buffer *out, const qv__sample *sample) {
    for (size_t i = 0; i < sample->media_count; i++) {
        const char *type = sample->media[i].video ? "video_url" : "image_url";
        qv__buffer_printf(out, "%s{\"type\":\"%s\",\"%s\":{\"url\":", i ? "," : "", type, type);
        write_text(out, sample->media[i].url);
        qv__buffer_puts(out, "}}");
    }
}

/* One conversation: the text, then the media; vlm2vec has the media first, and as its text, in turns, a sentence about
 * the picture alone and one with the question. */
static void write_messages(qv__backend_kind kind, qv__buffer *out, const qv__sample *sample, size_t index) {
    const char *head = "", *text = sample->texts[0];
    bool seen = sample->media_count > 0, media_first = kind == QV__BACKEND_VLM2VEC && seen;
    if (kind == QV__BACKEND_CLIP && seen) text = "";
    if (media_first && index % 2 == 0)
        text = "Represent the given image.";
    else if (media_first)
        head = "Represent the given image with the following question: ";
    qv__buffer_puts(out, ",\"messages\":[{\"role\":\"user\",\"content\":[");
    if (media_first) write_media_parts(out, sample);
    if (media_first) qv__buffer_puts(out, ",");
    write_text_part(out, head, text);
    if (seen && !media_first) qv__buffer_puts(out, ",");
    if (!media_first) write_media_parts(out, sample);
    qv__buffer_puts(out, "]}]");
}

static void write_pair(qv__buffer *out, const qv__sample *sample) {
    qv__buffer_puts(out, ",\"query\":");
    write_text(out, sample->texts[0]);
    qv__buffer_puts(out, ",\"documents\":");
    write_list(out, sample->texts + 1, sample->text_count - 1);
}

static qv_status check(qv__backend_kind kind, const qv__sample *s, qv_error *err) {
    const char *name = backends[kind].name;
    if (!backends[kind].lists && s->text_count != 1)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend %s sends one text a request, not %zu", name,
                        s->text_count);
    if (!backends[kind].media && s->media_count)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend %s sends no pictures; %s does", name,
                        kind == QV__BACKEND_INFINITY ? "infinity-embeddings-clip" : "openai-embeddings-chat");
    if (kind == QV__BACKEND_INFINITY_CLIP && s->media_count && (s->media_count > 1 || s->media[0].video))
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend %s sends one picture a request and no videos", name);
    if (kind == QV__BACKEND_RERANK && s->text_count < 2)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend vllm-rerank needs a query and documents in each request");
    return QV_OK;
}

qv_status qv__payload_write(qv__backend_kind kind, const char *model, const qv__sample *sample, size_t index,
                            const char *extra, qv__buffer *out, qv_error *err) {
    qv_status status = check(kind, sample, err);
    if (status) return status;
    qv__buffer_puts(out, "{\"model\":");
    write_text(out, model);
    if (kind == QV__BACKEND_RERANK)
        write_pair(out, sample);
    else if (backends[kind].chat)
        write_messages(kind, out, sample, index);
    else if (kind == QV__BACKEND_INFINITY_CLIP && sample->media_count)
        write_picture(out, sample);
    else
        write_input(out, sample);
    if (!backends[kind].untruncated) qv__buffer_puts(out, ",\"truncate_prompt_tokens\":-1");
    if (extra && kind != QV__BACKEND_RERANK) {
        qv__buffer_puts(out, ",");
        qv__buffer_puts(out, extra);
    }
    qv__buffer_puts(out, "}");
    return out->failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for the benchmark's requests") : QV_OK;
}
