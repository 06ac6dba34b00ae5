/* POST /rerank, /v1/rerank, /v2/rerank, /score, /v1/score. A reranker scores pairs: one item each, in one submit, so
 * that the engine shares what they have in common. An embedding model scores by cosine: one item per query and
 * document. */
#include "api/rerank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static void drop(void *parsed) {
    qv__rerank_request_clear(parsed);
    qv__free(parsed);
}

/* ---- before: cuts and items ---- */

bool qv__rerank_is_pairs(const qv__job *job) {
    return job->api->model.task == QV_TASK_RERANK;
}

/* The first `count` tokens' bytes, on a character boundary, as the part's text. */
static qv_status keep_tokens(qv__job *job, qv_part *part, const qv__ids *ids, size_t count, qv_error *err) {
    const qv__tokenizer *t = job->api->options.model->tokenizer;
    qv__rerank_request *q = job->parsed;
    size_t size = 0, n;
    for (size_t i = 0; i < count; i++)
        if (qv__tokenizer_bytes(t, ids->data[i], &n)) size += n;
    char *text = qv__arena_alloc(&q->arena, size, 1);
    if (!text) return qv__fail(err, QV_NO_MEMORY, "no memory for %zu bytes of text", size);
    size = 0;
    for (size_t i = 0; i < count; i++) {
        const char *bytes = qv__tokenizer_bytes(t, ids->data[i], &n);
        if (bytes) memcpy(text + size, bytes, n), size += n;
    }
    *part = (qv_part){.kind = QV_PART_TEXT, .data = text, .size = qv__utf8_valid_prefix(text, size)};
    return QV_OK;
}

/* max_tokens_per_query, max_tokens_per_doc: of each text. `cut` counts them. */
static qv_status cut_text(qv__job *job, qv_part *part, int64_t max, const char *name, qv__text_cut *cut,
                          qv__refusal *r) {
    qv_error err = {0};
    qv__ids ids = {0};
    qv_status status =
        qv__tokenizer_encode(job->api->options.model->tokenizer, part->data, part->size, false, 0, &ids, &err);
    int64_t size = (int64_t)ids.size, kept = size < max ? size : max;
    if (!status && kept < size) status = keep_tokens(job, part, &ids, (size_t)kept, &err);
    cut->tokens += kept;
    cut->untruncated += size;
    qv__ids_clear(&ids);
    return status ? qv__refuse_error(r, &err, name, "") : QV_OK;
}

static qv_status cut_side(qv__job *job, qv_input *inputs, size_t count, int64_t max, const char *name,
                          qv__text_cut **cuts, qv__refusal *r) {
    qv__rerank_request *q = job->parsed;
    if (!max) return QV_OK;
    *cuts = qv__arena_alloc(&q->arena, count, sizeof **cuts);
    if (!*cuts) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    memset(*cuts, 0, count * sizeof **cuts);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < inputs[i].part_count; k++) {
            qv_part *part = (qv_part *)&inputs[i].parts[k]; /* made by content.c, in our arena */
            qv_status status = part->kind == QV_PART_TEXT ? cut_text(job, part, max, name, &(*cuts)[i], r) : QV_OK;
            if (status) return status;
        }
    return QV_OK;
}

static bool is_undecodable(qv_status status) {
    return status == QV_IMAGE_DECODE || status == QV_VIDEO_DECODE || status == QV_MEDIA_LIMIT ||
           status == QV_MEDIA_SOURCE || status == QV_MEDIA_FETCH;
}

/* Notes what became of document i. A picture that cannot be fetched or decoded is that document's own error. */
static qv_status note(qv__job *job, size_t i, qv_status status, qv__refusal *r) {
    qv__rerank_request *q = job->parsed;
    if (!status) return q->states[i].item = job->count - 1, QV_OK;
    if (!is_undecodable(status)) return status;
    qv_error *error = qv__arena_alloc(&q->arena, 1, sizeof *error);
    if (!error) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    *error = (qv_error){.code = status};
    snprintf(error->message, sizeof error->message, "%.500s", r->message);
    q->states[i].error = error;
    return QV_OK;
}

/* One query for all documents, or one for each. */
static qv_status prepare_pairs(qv__job *job, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    qv__query *query = NULL;
    qv_status status = qv__job_reserve(job, q->document_count, r);
    if (!status && q->query_count == 1) status = qv__job_open_query(job, &q->queries[0], &query, r);
    for (size_t i = 0; i < q->document_count && !status; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s[%zu]", q->dialect == QV__RERANK_TEI ? "texts" : "documents", i);
        if (q->query_count > 1) status = qv__job_open_query(job, &q->queries[i], &query, r);
        if (!status) status = qv__job_prepare_document(job, query, &q->documents[i], name, r);
        status = note(job, i, status, r);
        if (q->query_count > 1) qv__query_release(&query);
    }
    qv__query_release(&query);
    return status;
}

/* Raw prompts as in vLLM, the official recipe when there is an instruction or a picture. */
static qv_status prepare_side(qv__job *job, const qv_input *given, bool query, const char *name, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    qv_input input = *given;
    bool official = q->queries[0].instruction || !input.part_count;
    for (size_t p = 0; p < input.part_count; p++) official = official || input.parts[p].kind != QV_PART_TEXT;
    input.prompt = official ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    if (!query || !official) input.instruction = NULL;
    return qv__job_prepare(job, &input, name, r);
}

/* Items: the queries, then the documents that can be decoded. */
static qv_status prepare_cosine(qv__job *job, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    char name[48];
    qv_status status = qv__job_reserve(job, q->query_count + q->document_count, r);
    for (size_t i = 0; i < q->query_count && !status; i++) {
        snprintf(name, sizeof name, "query[%zu]", i);
        status = prepare_side(job, &q->queries[i], true, name, r);
    }
    for (size_t i = 0; i < q->document_count && !status; i++) {
        snprintf(name, sizeof name, "documents[%zu]", i);
        status = note(job, i, prepare_side(job, &q->documents[i], false, name, r), r);
    }
    return status;
}

/* When no document can be decoded the fault is the query's, or the request's as a whole: r holds the last reason. */
static qv_status check_any(const qv__job *job) {
    const qv__rerank_request *q = job->parsed;
    qv_status last = QV_OK;
    for (size_t i = 0; i < q->document_count; i++) {
        if (!q->states[i].error) return QV_OK;
        last = q->states[i].error->code;
    }
    return last;
}

static qv_status refuse_cut(const qv__prepared *f, const char *name, qv__refusal *r) {
    return qv__refuse(r, QV_TOO_LONG, "input_tokens",
                      "%s has %lld tokens; at most %lld are taken, and the request asks not to cut it there.", name,
                      (long long)f->untruncated, (long long)f->tokens);
}

static qv_status check_uncut(const qv__job *job, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    for (size_t i = 0; i < q->query_count && !qv__rerank_is_pairs(job); i++)
        if (qv__prepared_is_cut(&job->facts[i])) return refuse_cut(&job->facts[i], "query", r);
    for (size_t i = 0; i < q->document_count; i++) {
        if (q->states[i].error) continue;
        const qv__prepared *f = &job->facts[q->states[i].item];
        if (!qv__prepared_is_cut(f)) continue;
        char name[48];
        snprintf(name, sizeof name, "%s[%zu]", q->dialect == QV__RERANK_TEI ? "texts" : "documents", i);
        return refuse_cut(f, name, r);
    }
    return QV_OK;
}

/* ---- after: scores ---- */

static qv_status pair_scores(qv__job *job, float *scores, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    for (size_t i = 0; i < q->document_count; i++) {
        if (q->states[i].error) continue;
        float logit = job->items[q->states[i].item]->score;
        if (!isfinite(logit))
            return qv__refuse(r, QV_NON_FINITE, NULL, "documents[%zu]: the model gave a score that is not finite.", i);
        scores[i] = q->raw_scores ? logit : (float)(1 / (1 + exp(-(double)logit)));
    }
    return QV_OK;
}

static qv_status vector_of(qv__job *job, size_t i, float *values, qv__refusal *r) {
    qv_error err = {0};
    return qv__session_finish(job->items[i], &job->facts[i], values, &err) ? qv__refuse_error(r, &err, NULL, "")
                                                                           : QV_OK;
}

static qv_status cosine_scores(qv__job *job, float *scores, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    size_t size = (size_t)job->facts[0].dimensions;
    float *query = qv__alloc_array(size, 2 * sizeof *query), *document = query + size;
    qv_status status = query ? QV_OK : qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    for (size_t i = 0; i < q->document_count && !status; i++) {
        if (i == 0 || q->query_count > 1) status = vector_of(job, i, query, r);
        if (status || q->states[i].error) continue;
        status = vector_of(job, q->states[i].item, document, r);
        double sum = 0;
        for (size_t k = 0; k < size && !status; k++) sum += (double)query[k] * (double)document[k];
        scores[i] = (float)sum;
    }
    qv__free(query);
    return status;
}

/* Best first; equal scores in the order of the request; documents without a score last. */
static int compare(const void *a, const void *b) {
    const qv__ranked *x = a, *y = b;
    if (x->failed != y->failed) return x->failed ? 1 : -1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* As text-embeddings-inference counts them: one query for all documents is in every pair. */
static int64_t count_characters(const qv__rerank_request *q) {
    int64_t count = 0;
    for (size_t i = 0; i < q->query_count; i++) count += qv__content_characters(&q->queries[i]);
    if (q->query_count == 1) count *= (int64_t)q->document_count;
    for (size_t i = 0; i < q->document_count; i++) count += qv__content_characters(&q->documents[i]);
    return count;
}

static qv_status finish(qv__job *job, bool rank, qv__response *response, qv__refusal *r) {
    const qv__rerank_request *q = job->parsed;
    float *scores = qv__calloc(q->document_count, sizeof *scores); /* 0 for a document with an error */
    qv__ranked *order = qv__alloc_array(q->document_count, sizeof *order);
    qv_status status = scores && order ? QV_OK : qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the answer.");
    if (!status) status = qv__rerank_is_pairs(job) ? pair_scores(job, scores, r) : cosine_scores(job, scores, r);
    for (size_t i = 0; i < q->document_count && !status; i++) order[i] = (qv__ranked){i, scores[i], q->states[i].error};
    if (!status && rank) qsort(order, q->document_count, sizeof *order, compare);
    if (!status) qv__rerank_write(job, order, rank, response);
    qv__free(scores);
    qv__free(order);
    response->items = (int64_t)job->count;
    response->tokens = qv__job_tokens(job);
    if (job->errors == QV__ERRORS_TEI) response->characters = count_characters(q);
    return status;
}

static qv_status finish_rerank(qv__job *job, qv__response *response, qv__refusal *r) {
    return finish(job, true, response, r);
}
static qv_status finish_score(qv__job *job, qv__response *response, qv__refusal *r) {
    return finish(job, false, response, r);
}

static qv_status prepare(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__rerank_request *q = job->parsed;
    qv_status status = cut_side(job, q->queries, q->query_count, q->max_tokens_per_query, "query", &q->query_cuts, r);
    if (!status)
        status =
            cut_side(job, q->documents, q->document_count, q->max_tokens_per_doc, "documents", &q->document_cuts, r);
    if (!status) status = qv__rerank_is_pairs(job) ? prepare_pairs(job, r) : prepare_cosine(job, r);
    if (!status) status = check_any(job);
    if (!status && q->refuse_cut) status = check_uncut(job, r);
    return !status && q->tell_prompts ? qv__job_check_echo(job, r) : status;
}

static qv_status start(qv__job *job, bool rank, qv__refusal *r) {
    const qv__api *api = job->api;
    qv__rerank_request *q = qv__calloc(1, sizeof *q);
    if (!q) return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
    job->parsed = q;
    job->drop = drop;
    qv__rerank_limits limits = {.max_documents = api->options.limits.documents,
                                .max_model_len = api->model.max_model_len,
                                .embedding_size = api->model.task == QV_TASK_RERANK ? 0 : api->model.embedding_size,
                                .max_images = api->options.max_images,
                                .max_videos = api->options.max_videos,
                                .max_parts = api->options.limits.parts,
                                .local_media = api->options.local_media,
                                .urls = &job->urls,
                                .defaults = api->options.defaults};
    q->body = job->body;
    job->body = (qv__body){0};
    qv_status status = rank ? qv__rerank_request_read(&limits, q, r) : qv__score_request_read(&limits, q, r);
    if (q->dialect) job->errors = q->dialect == QV__RERANK_TEI ? QV__ERRORS_TEI : QV__ERRORS_DETAIL;
    job->prepare = prepare;
    job->finish = rank ? finish_rerank : finish_score;
    return status ? status : qv__job_check_model(job, q->model, r);
}

qv_status qv__start_rerank(qv__job *job, qv__response *response, qv__refusal *r) {
    return start(job, true, r);
}
qv_status qv__start_score(qv__job *job, qv__response *response, qv__refusal *r) {
    return start(job, false, r);
}
