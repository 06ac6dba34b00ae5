/* vocab.json + merges.txt, as older checkpoints carry them: Qwen's split and NFC; added tokens and the end token
 * come from tokenizer_config.json. No post-processor: these files have no place to write one. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/checkpoint.h"
#include "store/file.h"
#include "store/json.h"
#include "text/internal.h"

enum { FILE_MAX = 256 << 20 };

static qv_status read_file(const char *folder, const char *name, char **data, size_t *size, qv_error *err) {
    char *path = qv__path_join(folder, name);
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory for the tokenizer");
    qv_status status = qv__file_read(path, FILE_MAX, data, size, err);
    qv__free(path);
    return status;
}

static qv_status read_vocab(qv__tokenizer *t, const char *folder, qv_error *err) {
    char *text;
    size_t size;
    qv_status status = read_file(folder, "vocab.json", &text, &size, err);
    if (status == QV_NOT_FOUND)
        return qv__fail(err, status, "%s has neither tokenizer.json nor vocab.json and merges.txt", folder);
    if (status) return status;
    qv__scan s = {text, text, text + size, "vocab.json", err, {0}};
    status = qv__vocab_read(&t->vocab, &s);
    if (!status && (qv__scan_peek(&s) || s.at < s.end)) status = qv__scan_fail(&s, "the end");
    qv__buffer_clear(&s.unescaped);
    free(text);
    if (status || (status = read_file(folder, "merges.txt", &text, &size, err))) return status;
    status = qv__vocab_read_merges_text(&t->vocab, text, size, "merges.txt", err);
    free(text);
    return status;
}

/* "added_tokens_decoder": {"151643": {"content": ..., "special": true, ...}, ...} */
static qv_status read_added(qv__tokenizer *t, json_t *list, qv_error *err) {
    const char *key;
    json_t *o;
    json_object_foreach(list, key, o) {
        char *end;
        long id = strtol(key, &end, 10);
        const json_t *content = json_object_get(o, "content");
        if (*key < '0' || *key > '9' || *end || id >= QV__VOCAB_ID_MAX || !json_is_string(content))
            return qv__fail(err, QV_BAD_CHECKPOINT,
                            "tokenizer_config.json: added_tokens_decoder[\"%.40s\"] is not a token", key);
        qv__added_token token = {.id = (int32_t)id,
                                 .special = json_is_true(json_object_get(o, "special")),
                                 .single_word = json_is_true(json_object_get(o, "single_word")),
                                 .lstrip = json_is_true(json_object_get(o, "lstrip")),
                                 .rstrip = json_is_true(json_object_get(o, "rstrip")),
                                 .normalized = json_is_true(json_object_get(o, "normalized"))};
        qv_status status =
            qv__added_push(&t->added, json_string_value(content), json_string_length(content), &token, err);
        if (status) return status;
    }
    return QV_OK;
}

qv_status qv__tokenizer_read_folder(qv__tokenizer *t, const char *folder, qv_error *err) {
    t->nfc = true;
    qv_status status = read_vocab(t, folder, err);
    if (!status)
        status = qv__tokenizer_add_split(t, QV__QWEN_PATTERN, strlen(QV__QWEN_PATTERN), false, QV__KEEP_ALL, err);
    if (status) return status;
    char *path = qv__path_join(folder, "tokenizer_config.json");
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory for the tokenizer");
    json_t *config = NULL;
    qv_error absent = {0};
    status = qv__json_read(path, FILE_MAX, &config, &absent);
    if (status == QV_NOT_FOUND)
        status = QV_OK; /* no added tokens */
    else if (status && err)
        *err = absent;
    if (!status && config) status = read_added(t, json_object_get(config, "added_tokens_decoder"), err);
    json_decref(config);
    qv__free(path);
    return status;
}
