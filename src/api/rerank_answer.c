/* The answers of the rerank and score routes, in each dialect's shape. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/headers.h"
#include "api/rerank.h"
#include "api/write.h"
#include "base/number.h"

/* vLLM counts a pair of an embedding model as query + one token between + document. */
static int64_t usage(const qv__job *job) {
    const qv__rerank_request *q = job->parsed;
    if (qv__rerank_is_pairs(job)) return qv__job_tokens(job);
    int64_t tokens = 0;
    for (size_t i = 0; i < q->document_count; i++)
        if (!q->states[i].error)
            tokens += job->facts[q->query_count == 1 ? 0 : i].tokens + 1 + job->facts[q->states[i].item].tokens;
    return tokens;
}

static void write_score(qv__buffer *b, float score) {
    if (qv__buffer_reserve(b, QV__FLOAT_TEXT_MAX)) b->size += qv__float_shortest(score, b->data + b->size);
}

static bool write_json(qv__buffer *b, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return b->failed = true, false;
    qv__buffer_puts(b, text);
    qv__free(text); /* jansson allocates through base/memory.h */
    return true;
}

/* {"text":…,"multi_modal":…}: text of a plain document, or its content. */
static void write_document(qv__buffer *b, const json_t *source) {
    const json_t *content = json_is_object(source) ? qv__field(source, "content") : NULL;
    const json_t *text = json_is_string(source) ? source : json_is_object(source) ? qv__field(source, "text") : NULL;
    bool only_text = json_is_string(source) || (text && json_object_size(source) == 1);
    qv__buffer_puts(b, ",\"document\":{\"text\":");
    if (json_is_string(text))
        write_json(b, text);
    else
        qv__buffer_puts(b, "null");
    qv__buffer_puts(b, ",\"multi_modal\":");
    if (only_text)
        qv__buffer_puts(b, "null");
    else
        write_json(b, content ? content : source);
    qv__buffer_puts(b, "}");
}

static void write_error(const qv__rerank_request *q, size_t document, qv__buffer *b) {
    const qv_error *error = q->states[document].error;
    if (!error) return;
    qv__buffer_printf(b, ",\"error\":{\"code\":\"%s\",\"message\":", qv_status_name(error->code));
    qv__write_string(b, error->message, strlen(error->message));
    qv__buffer_puts(b, "}");
}

/* In the order of the request; null for a document that cannot be decoded. */
static void write_prompts(const qv__job *job, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    qv__buffer_puts(b, ",\"prompts\":[");
    for (size_t i = 0; i < q->document_count; i++) {
        if (i) qv__buffer_puts(b, ",");
        if (q->states[i].error)
            qv__buffer_puts(b, "null");
        else
            qv__job_write_prompt(job, q->states[i].item, b);
    }
    qv__buffer_puts(b, "]");
}

/* ---- what was cut ---- */

static bool is_text_cut(const qv__text_cut *cuts, size_t i) {
    return cuts && cuts[i].untruncated > cuts[i].tokens;
}

/* The whole prompt of a query by itself: only an embedding model has one. */
static const qv__prepared *query_facts(const qv__job *job, size_t query) {
    return qv__rerank_is_pairs(job) ? NULL : &job->facts[query];
}

/* NULL: the document cannot be decoded. */
static const qv__prepared *document_facts(const qv__job *job, size_t document) {
    const qv__rerank_request *q = job->parsed;
    return q->states[document].error ? NULL : &job->facts[q->states[document].item];
}

/* Queries and documents that were cut, by whatever limit. */
static size_t count_cut(const qv__job *job) {
    const qv__rerank_request *q = job->parsed;
    size_t count = 0;
    for (size_t i = 0; i < q->query_count; i++) {
        const qv__prepared *f = query_facts(job, i);
        count += is_text_cut(q->query_cuts, i) || (f && qv__prepared_is_cut(f));
    }
    for (size_t i = 0; i < q->document_count; i++) {
        const qv__prepared *f = document_facts(job, i);
        count += f && (is_text_cut(q->document_cuts, i) || qv__prepared_is_cut(f));
    }
    return count;
}

/* by: the request's own limit on texts; NULL: the prompt as a whole was too long. */
static void write_cut(const char *side, size_t i, const char *by, int64_t tokens, int64_t untruncated, bool *first,
                      qv__buffer *b) {
    qv__buffer_printf(b, "%s{\"%s\":%zu,", *first ? "" : ",", side, i);
    if (by) qv__buffer_printf(b, "\"by\":\"%s\",", by);
    qv__buffer_printf(b, "\"tokens\":%lld,\"untruncated\":%lld}", (long long)tokens, (long long)untruncated);
    *first = false;
}

static void write_cuts(const qv__job *job, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    bool first = true;
    for (size_t i = 0; i < q->query_count; i++) {
        const qv__text_cut *text = is_text_cut(q->query_cuts, i) ? &q->query_cuts[i] : NULL;
        const qv__prepared *f = query_facts(job, i);
        if (text) write_cut("query", i, "max_tokens_per_query", text->tokens, text->untruncated, &first, b);
        if (f && qv__prepared_is_cut(f)) write_cut("query", i, NULL, f->tokens, f->untruncated, &first, b);
    }
    for (size_t i = 0; i < q->document_count; i++) {
        const qv__prepared *f = document_facts(job, i);
        if (!f) continue;
        const qv__text_cut *text = is_text_cut(q->document_cuts, i) ? &q->document_cuts[i] : NULL;
        if (text) write_cut("index", i, "max_tokens_per_doc", text->tokens, text->untruncated, &first, b);
        if (qv__prepared_is_cut(f)) write_cut("index", i, NULL, f->tokens, f->untruncated, &first, b);
    }
}

static void write_facts(const qv__job *job, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    qv__buffer_printf(b, ",\"qvec\":{\"score\":\"%s\",\"prompt\":\"%s\",\"truncated\":[",
                      qv__rerank_is_pairs(job) ? "reranker" : "cosine", qv__job_prompt(job));
    write_cuts(job, b);
    qv__buffer_puts(b, "]");
    if (q->tell_prompts) write_prompts(job, b);
    qv__buffer_puts(b, "}");
}

/* ---- the dialects ---- */

/* How many documents are in the answer. */
static size_t listed_count(const qv__rerank_request *q) {
    return q->top_n > 0 && (uint64_t)q->top_n < q->document_count ? (size_t)q->top_n : q->document_count;
}

/* Voyage's: the entries under `data`, a document as its text. */
static void write_voyage(const qv__job *job, const qv__ranked *order, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    size_t count = listed_count(q);
    qv__buffer_puts(b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        qv__buffer_printf(b, "%s{\"index\":%zu,\"relevance_score\":", i ? "," : "", order[i].index);
        write_score(b, order[i].score);
        if (q->return_documents) {
            qv__buffer_puts(b, ",\"document\":");
            write_json(b, q->sources[order[i].index]);
        }
        write_error(q, order[i].index, b);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "],\"model\":");
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_printf(b, ",\"usage\":{\"total_tokens\":%lld}", (long long)usage(job));
    write_facts(job, b);
    qv__buffer_puts(b, "}");
}

static void write_tei(const qv__rerank_request *q, const qv__ranked *order, qv__buffer *b) {
    for (size_t i = 0; i < q->document_count; i++) {
        qv__buffer_printf(b, "%s{\"index\":%zu,\"score\":", i ? "," : "[", order[i].index);
        write_score(b, order[i].score);
        if (q->return_documents) {
            qv__buffer_puts(b, ",\"text\":");
            write_json(b, q->sources[order[i].index]);
        }
        write_error(q, order[i].index, b);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "]");
}

static void write_rerank(const qv__job *job, const qv__ranked *order, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    long long tokens = (long long)usage(job);
    size_t count = listed_count(q);
    qv__buffer_puts(b, "{\"id\":");
    qv__job_write_id(job, "score", b);
    qv__buffer_puts(b, ",\"model\":");
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_printf(b, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld},\"results\":[", tokens, tokens);
    for (size_t i = 0; i < count; i++) {
        qv__buffer_printf(b, "%s{\"index\":%zu", i ? "," : "", order[i].index);
        if (q->return_documents) write_document(b, q->sources[order[i].index]);
        qv__buffer_puts(b, ",\"relevance_score\":");
        write_score(b, order[i].score);
        write_error(q, order[i].index, b);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "]");
    write_facts(job, b);
    qv__buffer_puts(b, "}");
}

static void write_scores(const qv__job *job, const qv__ranked *order, qv__buffer *b) {
    const qv__rerank_request *q = job->parsed;
    long long tokens = (long long)usage(job);
    qv__buffer_puts(b, "{\"id\":");
    qv__job_write_id(job, "score", b);
    qv__buffer_printf(b, ",\"object\":\"list\",\"created\":%lld,\"model\":", (long long)time(NULL));
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_puts(b, ",\"data\":[");
    for (size_t i = 0; i < q->document_count; i++) {
        qv__buffer_printf(b, "%s{\"index\":%zu,\"object\":\"score\",\"score\":", i ? "," : "", i);
        write_score(b, order[i].score);
        write_error(q, i, b);
        qv__buffer_puts(b, "}");
    }
    qv__buffer_printf(b,
                      "],\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld,\"completion_tokens\":0,\"prompt_"
                      "tokens_details\":null}",
                      tokens, tokens);
    write_facts(job, b);
    qv__buffer_puts(b, "}");
}

void qv__rerank_write(const qv__job *job, const qv__ranked *order, bool rank, qv__response *response) {
    const qv__rerank_request *q = job->parsed;
    qv__buffer *b = &response->body;
    if (q->dialect == QV__RERANK_TEI)
        write_tei(q, order, b);
    else if (q->dialect == QV__RERANK_VOYAGE)
        write_voyage(job, order, b);
    else if (rank)
        write_rerank(job, order, b);
    else
        write_scores(job, order, b);
    qv__header_add_facts(response, qv__job_prompt(job), count_cut(job), q->warning);
}
