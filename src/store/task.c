#include "store/task.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/file.h"
#include "store/json.h"

/* Evidence in falling order of weight; the first source that says anything decides.
 *   1 modules.json of sentence-transformers: a scoring head or a pooling step. Its `path`s are not followed:
 *     a published one names a folder that does not exist.
 *   2 config_sentence_transformers.json: the class it is opened with.
 *   3 the folders 1_LogitScore and 1_Pooling.
 *   4 tokenizer.json: the embedding checkpoints append an end token by a TemplateProcessing step.
 *   5 the folder's name; without any hint, a tokenizer without that step belongs to a reranker.
 * Broken JSON here is an error rather than no evidence: guessing on would be silent. */

enum { SMALL_JSON_MAX = 1 << 20, TOKENIZER_MAX = 256 << 20 };

static bool contains(const char *text, const char *part) {
    return text && strcasestr(text, part);
}

static bool says_rerank(const char *text) {
    return contains(text, "LogitScore") || contains(text, "ScoreHead") || contains(text, "cross_encoder") ||
           contains(text, "CrossEncoder");
}

/* Reads folder/name; *out stays NULL when there is no such file. */
static qv_status read_optional(const char *folder, const char *name, json_t **out, qv_error *err) {
    char *path = qv__path_join(folder, name);
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    qv_error absent = {0};
    qv_status status = qv__json_read(path, SMALL_JSON_MAX, out, &absent);
    qv__free(path);
    if (status == QV_NOT_FOUND) return QV_OK;
    return status ? qv__fail(err, status, "%s", absent.message) : QV_OK;
}

/* modules.json is a list: read as text, its types are found without a second JSON reader for lists. */
static qv_status from_modules(const char *folder, qv_task *out, qv_error *err) {
    char *path = qv__path_join(folder, "modules.json"), *text = NULL;
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    size_t size;
    qv_error absent = {0};
    qv_status status = qv__file_read(path, SMALL_JSON_MAX, &text, &size, &absent);
    json_t *list = NULL;
    json_error_t e;
    if (status == QV_NOT_FOUND) {
        qv__free(path);
        return QV_OK;
    }
    if (status)
        qv__fail(err, status, "%s", absent.message);
    else if (!(list = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e)))
        status = qv__fail(err, QV_BAD_CHECKPOINT, "%s: not valid JSON: line %d: %s", path, e.line, e.text);
    size_t i;
    json_t *module;
    bool pooling = false;
    json_array_foreach(list, i, module) {
        const char *type = json_string_value(json_object_get(module, "type"));
        if (says_rerank(type) || says_rerank(json_string_value(json_object_get(module, "path")))) *out = QV_TASK_RERANK;
        pooling |= contains(type, "Pooling");
    }
    if (!status && *out == QV_TASK_AUTO && pooling) *out = QV_TASK_EMBED;
    json_decref(list);
    qv__free(text);
    qv__free(path);
    return status;
}

static qv_status from_class(const char *folder, qv_task *out, qv_error *err) {
    json_t *root = NULL;
    qv_status status = read_optional(folder, "config_sentence_transformers.json", &root, err);
    const char *class = json_string_value(json_object_get(root, "model_type"));
    if (says_rerank(class))
        *out = QV_TASK_RERANK;
    else if (contains(class, "SentenceTransformer"))
        *out = QV_TASK_EMBED;
    json_decref(root);
    return status;
}

static qv_status from_folders(const char *folder, qv_task *out, qv_error *err) {
    char *score = qv__path_join(folder, "1_LogitScore"), *pooling = qv__path_join(folder, "1_Pooling");
    qv_status status = score && pooling ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!status && qv__is_folder(score))
        *out = QV_TASK_RERANK;
    else if (!status && qv__is_folder(pooling))
        *out = QV_TASK_EMBED;
    qv__free(score);
    qv__free(pooling);
    return status;
}

/* Looks for  "type" : "TemplateProcessing"  without parsing the 11 MB: a vocabulary maps strings to numbers and
 * merges are lists of strings, so the pair cannot occur in either. */
static bool has_template(const char *text, size_t size) {
    static const char step[] = "\"TemplateProcessing\"", key[] = "\"type\"";
    for (const char *at = text; (at = memmem(at, size - (size_t)(at - text), step, sizeof step - 1)); at++) {
        const char *p = at;
        while (p > text && isspace((unsigned char)p[-1])) p--;
        if (p == text || *--p != ':') continue;
        while (p > text && isspace((unsigned char)p[-1])) p--;
        if ((size_t)(p - text) >= sizeof key - 1 && memcmp(p - (sizeof key - 1), key, sizeof key - 1) == 0) return true;
    }
    return false;
}

/* *found: there is a tokenizer.json. */
static qv_status from_tokenizer(const char *folder, bool *found, qv_task *out, qv_error *err) {
    char *path = qv__path_join(folder, "tokenizer.json"), *text = NULL;
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    size_t size;
    qv_error absent = {0};
    qv_status status = qv__file_read(path, TOKENIZER_MAX, &text, &size, &absent);
    qv__free(path);
    *found = !status;
    if (status == QV_NOT_FOUND) return QV_OK;
    if (status) return qv__fail(err, status, "%s", absent.message);
    if (has_template(text, size)) *out = QV_TASK_EMBED;
    qv__free(text);
    return QV_OK;
}

/* The folder's own name; in a hub cache (.../models--org--NAME/snapshots/HASH) the repository's. */
static qv_task from_name(const char *folder, bool has_tokenizer) {
    char *real = realpath(folder, NULL), *snapshots = real ? strstr(real, "/snapshots/") : NULL;
    if (snapshots) *snapshots = 0;
    const char *text = real ? real : folder, *slash = strrchr(text, '/'), *name = slash ? slash + 1 : text;
    bool embed = contains(name, "embed"), rerank = contains(name, "rerank");
    free(real);
    if (embed != rerank) return embed ? QV_TASK_EMBED : QV_TASK_RERANK;
    return has_tokenizer ? QV_TASK_RERANK : QV_TASK_EMBED;
}

qv_status qv__task_detect(const char *folder, qv_task *out, qv_error *err) {
    *out = QV_TASK_AUTO;
    bool has_tokenizer = false;
    qv_status status = from_modules(folder, out, err);
    if (!status && *out == QV_TASK_AUTO) status = from_class(folder, out, err);
    if (!status && *out == QV_TASK_AUTO) status = from_folders(folder, out, err);
    if (!status && *out == QV_TASK_AUTO) status = from_tokenizer(folder, &has_tokenizer, out, err);
    if (!status && *out == QV_TASK_AUTO) *out = from_name(folder, has_tokenizer);
    return status;
}

static int32_t id_of(const json_t *root, const char *field) {
    const json_t *value = json_object_get(root, field);
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
}

qv_status qv__task_score_ids(const char *folder, int32_t *yes, int32_t *no, qv_error *err) {
    json_t *root = NULL;
    qv_status status = read_optional(folder, "1_LogitScore/config.json", &root, err);
    *yes = id_of(root, "true_token_id");
    *no = id_of(root, "false_token_id");
    json_decref(root);
    return status;
}
