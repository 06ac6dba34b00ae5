#include "cli/recipe.h"

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static const struct {
    const char *name, *remedy;
} recipes[QV__RECIPE_COUNT] = {
    [QV__RECIPE_RAW] = {"the raw text: the text and the end token, last token pooled",
                        "Ask qvec for \"prompt\": \"raw\", the default of /v1/embeddings, to go on with them."},
    [QV__RECIPE_OFFICIAL] = {"the official prompt: instruction, content, assistant turn",
                             "Ask qvec for \"prompt\": \"official\" to go on with them."},
    [QV__RECIPE_NO_END] =
        {"the raw text without its end token",
         "The other server leaves out <|endoftext|>; its vectors are not those of the model's authors."},
    [QV__RECIPE_OFFICIAL_NO_END] =
        {"the official prompt without its end token",
         "The other server's chat route leaves out the <|endoftext|> that closes the prompt."},
    [QV__RECIPE_TWO_ENDS] = {"the raw text with two end tokens",
                             "The other server, or the client in front of it, appends <|endoftext|> a second time."},
    [QV__RECIPE_MEAN] = {"mean pooling over the raw text",
                         "The model is made for its last token: set the other server's pooling to \"last\"."},
    [QV__RECIPE_MEAN_NO_END] = {"mean pooling over the raw text without its end token",
                                "The model is made for its last token: set the other server's pooling to \"last\"."},
    [QV__RECIPE_MEAN_OFFICIAL] = {"mean pooling over the official prompt",
                                  "The model is made for its last token: set the other server's pooling to \"last\"."},
    [QV__RECIPE_FIRST] =
        {"the first token (\"cls\" pooling)",
         "The first token of this model knows nothing of the rest: set the other server's pooling to \"last\"."},
    [QV__RECIPE_NO_INSTRUCTION] = {"the chat template without an instruction",
                                   "The official prompt has a system message; the other server's messages have none."},
    [QV__RECIPE_NO_ASSISTANT] = {"the official prompt without the assistant turn",
                                 "The other server's chat template runs without add_generation_prompt."},
    [QV__RECIPE_LOWER_CASE] = {"the raw text in lower case",
                               "The other server, or the client in front of it, lowers the case."},
    [QV__RECIPE_STRIPPED] = {"the raw text without the white space around it",
                             "The other server, or the client in front of it, strips white space."},
};

const char *qv__recipe_name(qv__recipe r) {
    return recipes[r].name;
}

const char *qv__recipe_remedy(qv__recipe r) {
    return recipes[r].remedy;
}

/* ---- one input ---- */

static qv_status embed(qv_model *model, qv_input *input, const qv_part *part, float *out, qv_error *err) {
    qv_embedding result = {0};
    input->parts = part;
    input->part_count = 1;
    input->no_normalize = true;
    qv_status status = qv_model_embed(model, input, 1, &result, err);
    if (!status) memcpy(out, result.values, (size_t)result.dimensions * sizeof *out);
    qv_embedding_clear(&result, 1);
    return status;
}

static qv_status embed_text(qv_model *model, const char *text, size_t size, qv_input input, float *out, qv_error *err) {
    return embed(model, &input, &(qv_part){QV_PART_TEXT, text, size}, out, err);
}

static qv_status embed_ids(qv_model *model, const int32_t *ids, size_t count, float *out, qv_error *err) {
    qv_input input = {.prompt = QV_PROMPT_RAW, .no_special_tokens = true};
    return embed(model, &input, &(qv_part){QV_PART_TOKENS, ids, count}, out, err);
}

/* ---- ids; the caller frees them with qv_tokens_free ---- */

/* A prompt written out, its added tokens recognised. */
static qv_status ids_of(qv_model *model, const char *before, const char *text, const char *after, bool end,
                        int32_t **ids, size_t *count, qv_error *err) {
    qv__buffer prompt = {0};
    qv__buffer_puts(&prompt, before);
    qv__buffer_puts(&prompt, text);
    qv__buffer_puts(&prompt, after);
    if (prompt.failed) {
        qv__buffer_clear(&prompt);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for a prompt");
    }
    qv_status status = qv_model_tokenize(model, prompt.data, prompt.size, end, ids, count, err);
    qv__buffer_clear(&prompt);
    if (!status && !*count) status = qv__fail(err, QV_INVALID_ARGUMENT, "the text has no tokens");
    return status;
}

#define SYSTEM "<|im_start|>system\nRepresent the user's input.<|im_end|>\n"
#define USER "<|im_start|>user\n"
#define END_OF_USER "<|im_end|>\n"
#define ASSISTANT "<|im_start|>assistant\n"

static qv_status embed_prompt(qv_model *model, const char *before, const char *text, const char *after, bool end,
                              float *out, qv_error *err) {
    int32_t *ids;
    size_t count;
    qv_status status = ids_of(model, before, text, after, end, &ids, &count, err);
    if (!status) status = embed_ids(model, ids, count, out, err);
    qv_tokens_free(ids);
    return status;
}

/* The state of token i is that of the last token of the prompt's first i + 1: the attention is causal. */
static qv_status embed_mean(qv_model *model, const char *before, const char *text, const char *after, bool end,
                            float *out, qv_error *err) {
    qv_model_facts facts;
    qv_model_get_facts(model, &facts);
    size_t size = (size_t)facts.embedding_size, count;
    int32_t *ids;
    float *state = qv__alloc_array(size, sizeof *state);
    double *sum = qv__calloc(size, sizeof *sum);
    qv_status status = ids_of(model, before, text, after, end, &ids, &count, err);
    if (!status && (!state || !sum)) status = qv__fail(err, QV_NO_MEMORY, "out of memory for a mean");
    for (size_t n = 1; !status && n <= count; n++) {
        status = embed_ids(model, ids, n, state, err);
        for (size_t k = 0; !status && k < size; k++) sum[k] += (double)state[k];
    }
    for (size_t k = 0; !status && k < size; k++) out[k] = (float)(sum[k] / (double)count);
    qv_tokens_free(ids);
    qv__free(state);
    qv__free(sum);
    return status;
}

static qv_status embed_first(qv_model *model, const char *text, float *out, qv_error *err) {
    int32_t *ids;
    size_t count;
    qv_status status = ids_of(model, "", text, "", true, &ids, &count, err);
    if (!status) status = embed_ids(model, ids, 1, out, err);
    qv_tokens_free(ids);
    return status;
}

static qv_status embed_lower(qv_model *model, const char *text, float *out, qv_error *err) {
    char *lower = qv__strdup(text);
    if (!lower) return qv__fail(err, QV_NO_MEMORY, "out of memory for a text");
    for (char *c = lower; *c; c++) *c = (char)tolower((unsigned char)*c);
    qv_status status = embed_text(model, lower, strlen(lower), (qv_input){.prompt = QV_PROMPT_RAW}, out, err);
    qv__free(lower);
    return status;
}

static qv_status embed_stripped(qv_model *model, const char *text, float *out, qv_error *err) {
    size_t size;
    text += strspn(text, " \t\r\n");
    for (size = strlen(text); size && strchr(" \t\r\n", text[size - 1]);) size--;
    return embed_text(model, text, size, (qv_input){.prompt = QV_PROMPT_RAW}, out, err);
}

qv_status qv__recipe_embed(qv_model *model, qv__recipe r, const char *text, float *out, qv_error *err) {
    size_t size = strlen(text);
    switch (r) {
    case QV__RECIPE_OFFICIAL: return embed_text(model, text, size, (qv_input){.prompt = QV_PROMPT_OFFICIAL}, out, err);
    case QV__RECIPE_NO_END: return embed_prompt(model, "", text, "", false, out, err);
    case QV__RECIPE_OFFICIAL_NO_END:
        return embed_prompt(model, SYSTEM USER, text, END_OF_USER ASSISTANT, false, out, err);
    case QV__RECIPE_TWO_ENDS: return embed_prompt(model, "", text, "<|endoftext|>", true, out, err);
    case QV__RECIPE_MEAN: return embed_mean(model, "", text, "", true, out, err);
    case QV__RECIPE_MEAN_NO_END: return embed_mean(model, "", text, "", false, out, err);
    case QV__RECIPE_MEAN_OFFICIAL: return embed_mean(model, SYSTEM USER, text, END_OF_USER ASSISTANT, true, out, err);
    case QV__RECIPE_FIRST: return embed_first(model, text, out, err);
    case QV__RECIPE_NO_INSTRUCTION: return embed_prompt(model, USER, text, END_OF_USER ASSISTANT, true, out, err);
    case QV__RECIPE_NO_ASSISTANT: return embed_prompt(model, SYSTEM USER, text, END_OF_USER, true, out, err);
    case QV__RECIPE_LOWER_CASE: return embed_lower(model, text, out, err);
    case QV__RECIPE_STRIPPED: return embed_stripped(model, text, out, err);
    default: return embed_text(model, text, size, (qv_input){.prompt = QV_PROMPT_RAW}, out, err);
    }
}

qv_status qv__recipe_embed_cut(qv_model *model, const char *text, int64_t max_tokens, bool with_end, float *out,
                               qv_error *err) {
    qv_input input = {.prompt = QV_PROMPT_RAW, .max_length = max_tokens, .no_special_tokens = !with_end};
    return embed_text(model, text, strlen(text), input, out, err);
}
