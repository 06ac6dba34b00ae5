#include "cli/expected.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/file.h"

/* ---- the file ---- */

qv_status qv__expected_parse(const char *text, size_t size, qv__expected *out, qv_error *err) {
    json_error_t e;
    *out = (qv__expected){.root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e)};
    if (!out->root) return qv__fail(err, QV_INVALID_JSON, "expected.json, line %d: %s", e.line, e.text);
    out->count = json_array_size(out->root);
    if (!out->count) return qv__fail(err, QV_INVALID_JSON, "expected.json must be a list of at least one case");
    return QV_OK;
}

qv_status qv__expected_open(const char *folder, qv__expected *out, qv_error *err) {
    char *path = qv__path_join(folder, "expected.json"), *text = NULL;
    size_t size = 0;
    *out = (qv__expected){0};
    qv_status status = path ? qv__file_read(path, QV__EXPECTED_MAX, &text, &size, err)
                            : qv__fail(err, QV_NO_MEMORY, "out of memory for a path");
    if (!status) status = qv__expected_parse(text, size, out, err);
    qv__free(text);
    qv__free(path);
    return status;
}

void qv__expected_close(qv__expected *expected) {
    json_decref(expected->root);
    *expected = (qv__expected){0};
}

/* ---- a case ---- */

static qv_status read_values(qv__expected_case *c, const char *name, qv_error *err) {
    const json_t *list = json_object_get(c->record.root, name);
    size_t count = json_array_size(list);
    if (!count) return qv__fail(err, QV_INVALID_ARGUMENT, "%s has no list \"%s\"", c->name, name);
    c->values = qv__arena_alloc(&c->record.arena, count, sizeof *c->values);
    if (!c->values) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu values", count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value))
            return qv__fail(err, QV_INVALID_ARGUMENT, "%s: %s[%zu] is not a number", c->name, name, i);
        c->values[i] = json_number_value(value);
    }
    c->value_count = count;
    return QV_OK;
}

/* Lengths of the lists under "ids": of the one list of an embedding, or of each document's. */
static qv_status read_tokens(qv__expected_case *c, qv_error *err) {
    const json_t *ids = json_object_get(c->record.root, "ids");
    size_t count = c->document_count ? c->document_count : 1;
    c->tokens = qv__arena_alloc(&c->record.arena, count, sizeof *c->tokens);
    if (!c->tokens) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu lengths", count);
    for (size_t i = 0; i < count; i++) {
        c->tokens[i] = (int64_t)json_array_size(c->document_count ? json_array_get(ids, i) : ids);
        if (!c->tokens[i]) return qv__fail(err, QV_INVALID_ARGUMENT, "%s has too few \"ids\"", c->name);
    }
    return QV_OK;
}

static qv_status read_documents(qv__expected_case *c, const json_t *documents, qv_error *err) {
    size_t count = json_array_size(documents);
    if (!count) return qv__fail(err, QV_INVALID_ARGUMENT, "%s has no list \"documents\"", c->name);
    c->documents = qv__arena_alloc(&c->record.arena, count, sizeof *c->documents);
    if (!c->documents) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu documents", count);
    memset(c->documents, 0, count * sizeof *c->documents);
    qv_status status = qv__record_side(&c->record, json_object_get(c->record.root, "query"), "\"query\"", &c->input);
    for (size_t i = 0; i < count && !status; i++)
        status = qv__record_side(&c->record, json_array_get(documents, i), "a document", &c->documents[i]);
    c->document_count = count;
    return status;
}

qv_status qv__expected_read(const qv__expected *expected, size_t i, qv__expected_case *out, qv_error *err) {
    json_t *root = json_array_get(expected->root, i);
    *out = (qv__expected_case){.name = "a case", .record = {.root = json_incref(root), .err = err}};
    if (!json_is_object(root)) return qv__fail(err, QV_INVALID_JSON, "case %zu is not an object", i);
    qv_status status = qv__record_text(&out->record, "id", &out->name);
    if (!status) status = qv__record_wishes(&out->record, &out->input);
    if (!status) status = qv__record_prompt(&out->record, &out->input.prompt);
    const json_t *documents = json_object_get(root, "documents");
    if (!status)
        status = documents ? read_documents(out, documents, err)
                           : qv__record_parts(&out->record, root, out->name, &out->input);
    if (!status) status = read_values(out, documents ? "scores" : "embedding", err);
    if (!status) status = read_tokens(out, err);
    if (!status && documents && out->value_count != out->document_count)
        status = qv__fail(err, QV_INVALID_ARGUMENT, "%s has %zu scores for %zu documents", out->name, out->value_count,
                          out->document_count);
    return status;
}

void qv__expected_clear(qv__expected_case *c) {
    qv__record_clear(&c->record);
    *c = (qv__expected_case){0};
}

/* ---- the comparison ---- */

static qv_status check_tokens(const qv__expected_case *c, size_t i, int64_t found, qv_error *err) {
    if (found == c->tokens[i]) return QV_OK;
    return qv__fail(err, QV_BAD_CHECKPOINT, "%s: the prompt has %lld tokens; the stored answer's has %lld", c->name,
                    (long long)found, (long long)c->tokens[i]);
}

static double distance(const float *a, const double *b, size_t count) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * (double)a[i];
        bb += b[i] * b[i];
    }
    double found = 1 - ab / sqrt(aa * bb);
    return isfinite(found) ? found : INFINITY;
}

static qv_status compare_vector(const qv__expected_case *c, qv_model *model, double *out, qv_error *err) {
    qv_embedding found = {0};
    qv_status status = qv_model_embed(model, &c->input, 1, &found, err);
    if (!status) status = check_tokens(c, 0, found.tokens, err);
    if (!status && (size_t)found.dimensions != c->value_count)
        status = qv__fail(err, QV_BAD_CHECKPOINT, "%s: the vector has %d values; the stored one has %zu", c->name,
                          found.dimensions, c->value_count);
    if (!status) *out = distance(found.values, c->values, c->value_count);
    qv_embedding_clear(&found, 1);
    return status;
}

static qv_status compare_scores(const qv__expected_case *c, qv_model *model, double *out, qv_error *err) {
    qv_score *found = qv__alloc_array(c->document_count, sizeof *found);
    if (!found) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu scores", c->document_count);
    qv_status status = qv_model_rerank(model, &c->input, c->documents, c->document_count, found, err);
    for (size_t i = 0; i < c->document_count && !status; i++) {
        status = check_tokens(c, i, found[i].tokens, err);
        *out = fmax(*out, fabs((double)found[i].score - c->values[i]));
    }
    qv__free(found);
    return status;
}

qv_status qv__expected_compare(const qv__expected *expected, qv_model *model, qv__expected_result *out, qv_error *err) {
    qv_status status = QV_OK;
    *out = (qv__expected_result){.distance = -1, .worst = ""};
    for (size_t i = 0; i < expected->count && !status; i++) {
        qv__expected_case c;
        double found = 0;
        status = qv__expected_read(expected, i, &c, err);
        if (!status)
            status = c.document_count ? compare_scores(&c, model, &found, err) : compare_vector(&c, model, &found, err);
        if (!status) out->cases++;
        if (!status && found > out->distance) {
            out->distance = found;
            out->worst = c.name;
        }
        qv__expected_clear(&c);
    }
    return status;
}
