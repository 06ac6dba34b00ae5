/* From an input to an item, and from a finished item to its answer. */
#include "lib/session.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "lib/content.h"

struct qv__query {
    atomic_int holders;
    qv_input wishes;
    qv__arena arena;
    qv__content content;
};

/* What qv__item_free frees. */
typedef struct {
    qv__item item;    /* first */
    qv__query *query; /* NULL, or whose media the item's runs show */
} session_item;

static void let_go(qv__query *q) {
    if (!q || atomic_fetch_sub_explicit(&q->holders, 1, memory_order_acq_rel) > 1) return;
    qv__arena_clear(&q->arena);
    qv__free(q);
}

static qv__item *new_item(qv__query *query, qv_error *err) {
    session_item *s = qv__calloc(1, sizeof *s);
    if (!s) {
        qv__fail(err, QV_NO_MEMORY, "out of memory for an input");
        return NULL;
    }
    if (query) atomic_fetch_add_explicit(&query->holders, 1, memory_order_relaxed);
    s->query = query;
    return &s->item;
}

void qv__item_free(qv__item *item) {
    if (!item) return;
    session_item *s = (session_item *)item;
    qv__arena_clear(&item->arena);
    let_go(s->query);
    qv__free(s);
}

/* ---- one input ---- */

static qv_status check_task(const qv_model *model, qv_task wanted, qv_error *err) {
    if (model->task == wanted) return QV_OK;
    return wanted == QV_TASK_EMBED
               ? qv__fail(err, QV_WRONG_TASK, "this model is a reranker: it scores pairs and makes no embeddings")
               : qv__fail(err, QV_WRONG_TASK, "this model makes embeddings: it does not score pairs");
}

static qv_status check_dimensions(const qv_model *model, int wanted, int *out, qv_error *err) {
    int most = qv__checkpoint_config(model->checkpoint)->text.hidden;
    *out = wanted ? wanted : most;
    if (wanted >= 0 && wanted <= most) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "dimensions is %d; this model gives 1 to %d", wanted, most);
}

static qv__prompt_options options_of(const qv_model *model, const qv_input *wishes) {
    return (qv__prompt_options){.prompt = wishes->prompt,
                                .instruction = wishes->instruction,
                                .no_special_tokens = wishes->no_special_tokens,
                                .max_length = wishes->max_length,
                                .max_model_len = model->options.max_model_len};
}

static bool is_token_list(const qv_input *input) {
    return input->part_count == 1 && input->parts && input->parts[0].kind == QV_PART_TOKENS;
}

static qv_status make_prompt(const qv_model *model, const qv_input *input, const char *relative_to, qv__item *item,
                             qv__prompt_facts *facts, qv_error *err) {
    const qv__config *config = qv__checkpoint_config(model->checkpoint);
    qv__prompt_options options = options_of(model, input);
    if (is_token_list(input))
        return qv__prompt_tokens(model->tokenizer, config, input->parts[0].data, input->parts[0].size, &options,
                                 &item->arena, &item->sequence, facts, err);
    qv__content content;
    qv_status status = qv__content_make(model, input, input, relative_to, 0, &item->arena, &content, err);
    if (status) return status;
    return qv__prompt_embed(model->tokenizer, config, content.parts, content.count, &options, &item->arena,
                            &item->sequence, facts, err);
}

static void note_facts(const qv__item *item, const qv__prompt_facts *prompt, qv__prepared *facts) {
    facts->untruncated = prompt->untruncated;
    facts->tokens = item->sequence.length;
    facts->visual_count = item->sequence.run_count;
}

static qv_status prepare(const qv_model *model, const qv_input *input, const char *relative_to, qv__item *item,
                         qv__prepared *facts, qv_error *err) {
    qv__prompt_facts prompt = {0};
    qv_status status = make_prompt(model, input, relative_to, item, &prompt, err);
    note_facts(item, &prompt, facts);
    if (status) return status;
    item->hidden = qv__arena_alloc(&item->arena, (size_t)qv__checkpoint_config(model->checkpoint)->text.hidden,
                                   sizeof *item->hidden);
    return item->hidden ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for an embedding");
}

qv_status qv__session_prepare(const qv_model *model, const qv_input *input, const char *relative_to, qv__item **out,
                              qv__prepared *facts, qv_error *err) {
    *out = NULL;
    *facts = (qv__prepared){.prompt = input->prompt, .normalize = !input->no_normalize};
    qv_status status = check_task(model, QV_TASK_EMBED, err);
    if (status || (status = check_dimensions(model, input->dimensions, &facts->dimensions, err))) return status;
    qv__item *item = new_item(NULL, err);
    if (!item) return QV_NO_MEMORY;
    status = prepare(model, input, relative_to, item, facts, err);
    if (status)
        qv__item_free(item);
    else
        *out = item;
    return status;
}

/* ---- a query and a document ---- */

static qv_status check_side(const qv_input *input, qv_error *err) {
    if (!is_token_list(input)) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "queries and documents cannot be token ids");
}

qv_status qv__query_open(const qv_model *model, const qv_input *query, const char *relative_to, qv__query **out,
                         qv_error *err) {
    *out = NULL;
    qv_status status = check_task(model, QV_TASK_RERANK, err);
    if (status || (status = check_side(query, err))) return status;
    qv__query *q = qv__calloc(1, sizeof *q);
    if (!q) return qv__fail(err, QV_NO_MEMORY, "out of memory for a query");
    q->holders = 1;
    q->wishes = *query;
    status = qv__content_make(model, query, query, relative_to, 0, &q->arena, &q->content, err);
    if (status) {
        let_go(q);
        return qv__fail_in(err, status, "query");
    }
    *out = q;
    return QV_OK;
}

void qv__query_release(qv__query **query) {
    let_go(*query);
    *query = NULL;
}

static qv_status prepare_document(const qv_model *model, const qv__query *q, const qv_input *document,
                                  const char *relative_to, qv__item *item, qv__prepared *facts, qv_error *err) {
    qv__content content;
    qv__prompt_facts prompt = {0};
    qv__prompt_options options = options_of(model, &q->wishes);
    qv_status status = check_side(document, err);
    if (!status)
        status =
            qv__content_make(model, document, &q->wishes, relative_to, q->content.tokens, &item->arena, &content, err);
    if (!status)
        status = qv__prompt_rerank(model->tokenizer, qv__checkpoint_config(model->checkpoint), q->content.parts,
                                   q->content.count, content.parts, content.count, &options, &item->arena,
                                   &item->sequence, &prompt, err);
    note_facts(item, &prompt, facts);
    return status;
}

qv_status qv__session_prepare_document(const qv_model *model, qv__query *query, const qv_input *document,
                                       const char *relative_to, qv__item **out, qv__prepared *facts, qv_error *err) {
    *out = NULL;
    *facts = (qv__prepared){.prompt = QV_PROMPT_OFFICIAL, .dimensions = 1};
    qv__item *item = new_item(query, err);
    if (!item) return QV_NO_MEMORY;
    item->want_score = true;
    qv_status status = prepare_document(model, query, document, relative_to, item, facts, err);
    if (status)
        qv__item_free(item);
    else
        *out = item;
    return status;
}

/* ---- the answer ---- */

/* The sum of squares runs upwards in double: it is exact to the last bit of a float for any size of vector. */
static void write_vector(const float *hidden, const qv__prepared *facts, float *values) {
    double sum = 0;
    for (int i = 0; i < facts->dimensions; i++) sum += (double)hidden[i] * (double)hidden[i];
    double length = facts->normalize ? fmax(sqrt(sum), 1e-12) : 1;
    for (int i = 0; i < facts->dimensions; i++) values[i] = (float)((double)hidden[i] / length);
}

qv_status qv__session_finish(const qv__item *item, const qv__prepared *facts, float *values, qv_error *err) {
    if (item->status) return qv__fail(err, item->status, "%s", item->error.message);
    if (item->want_score)
        values[0] = (float)(1 / (1 + exp(-(double)item->score)));
    else
        write_vector(item->hidden, facts, values);
    return QV_OK;
}
