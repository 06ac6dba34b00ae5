#include "bench/payload.h"

#include <string.h>

#include "api/write.h"
#include "base/error.h"

static const struct {
    const char *name, *endpoint;
} backends[] = {
    [QV__BACKEND_EMBEDDINGS] = {"openai-embeddings", "/v1/embeddings"},
    [QV__BACKEND_CHAT] = {"openai-embeddings-chat", "/v1/embeddings"},
    [QV__BACKEND_CLIP] = {"openai-embeddings-clip", "/v1/embeddings"},
    [QV__BACKEND_POOLING] = {"vllm-pooling", "/pooling"},
    [QV__BACKEND_RERANK] = {"vllm-rerank", "/v1/rerank"},
};

bool qv__backend_find(const char *name, qv__backend_kind *out) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(backends[i].name, name)) return *out = (qv__backend_kind)i, true;
    return false;
}

const char *qv__backend_endpoint(qv__backend_kind kind) {
    return backends[kind].endpoint;
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

static void write_input(qv__buffer *out, const qv__sample *sample) {
    qv__buffer_puts(out, ",\"input\":");
    if (sample->text_count == 1)
        write_text(out, sample->texts[0]);
    else
        write_list(out, sample->texts, sample->text_count);
}

/* One conversation: the text, then the pictures. */
static void write_messages(qv__buffer *out, const qv__sample *sample, bool pictures_alone) {
    bool text = !pictures_alone || !sample->image_count;
    qv__buffer_puts(out, ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":");
    write_text(out, text ? sample->texts[0] : "");
    qv__buffer_puts(out, "}");
    for (size_t i = 0; i < sample->image_count; i++) {
        qv__buffer_puts(out, ",{\"type\":\"image_url\",\"image_url\":{\"url\":");
        write_text(out, sample->images[i]);
        qv__buffer_puts(out, "}}");
    }
    qv__buffer_puts(out, "]}]");
}

static void write_pair(qv__buffer *out, const qv__sample *sample) {
    qv__buffer_puts(out, ",\"query\":");
    write_text(out, sample->texts[0]);
    qv__buffer_puts(out, ",\"documents\":");
    write_list(out, sample->texts + 1, sample->text_count - 1);
}

static qv_status check(qv__backend_kind kind, const qv__sample *s, qv_error *err) {
    bool chat = kind == QV__BACKEND_CHAT || kind == QV__BACKEND_CLIP;
    if (chat && s->text_count != 1)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend %s sends one text a request, not %zu", backends[kind].name,
                        s->text_count);
    if (!chat && s->image_count)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend %s sends no pictures; openai-embeddings-chat does",
                        backends[kind].name);
    if (kind == QV__BACKEND_RERANK && s->text_count < 2)
        return qv__fail(err, QV_INVALID_ARGUMENT, "--backend vllm-rerank needs a query and documents in each request");
    return QV_OK;
}

qv_status qv__payload_write(qv__backend_kind kind, const char *model, const qv__sample *sample, const char *extra,
                            qv__buffer *out, qv_error *err) {
    qv_status status = check(kind, sample, err);
    if (status) return status;
    qv__buffer_puts(out, "{\"model\":");
    write_text(out, model);
    if (kind == QV__BACKEND_RERANK)
        write_pair(out, sample);
    else if (kind == QV__BACKEND_CHAT || kind == QV__BACKEND_CLIP)
        write_messages(out, sample, kind == QV__BACKEND_CLIP);
    else
        write_input(out, sample);
    qv__buffer_puts(out, ",\"truncate_prompt_tokens\":-1");
    if (extra && kind != QV__BACKEND_RERANK) {
        qv__buffer_puts(out, ",");
        qv__buffer_puts(out, extra);
    }
    qv__buffer_puts(out, "}");
    return out->failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for the benchmark's requests") : QV_OK;
}
