/* From parts to token ids: the official and the raw recipe as pure functions. docs/MODEL.md part 4. */
#ifndef QVEC_PREP_PROMPT_H
#define QVEC_PREP_PROMPT_H

#include "base/memory.h"
#include "model/sequence.h"
#include "store/config.h"
#include "text/tokenizer.h"

/* A picture or clip that has been decoded and resized. */
typedef struct {
    bool video;
    int run_count;         /* 1 for a picture; temporal patches of a video */
    qv__vision_run *runs;  /* first_token is filled in by qv__prompt_finish */
    const double *seconds; /* video: [run_count] time stamp of each temporal patch */
} qv__visual;

/* One part of a prompt in order: text, or a visual. */
typedef struct {
    const char *text; /* NULL: a visual */
    size_t size;
    const qv__visual *visual;
} qv__prompt_part;

typedef struct {
    qv_prompt prompt;
    const char *instruction; /* NULL/blank: the default */
    bool no_special_tokens;  /* raw only */
    int64_t max_length;      /* cut; 0: 8192 official, none raw */
    int64_t max_model_len;   /* refuse above this (after the cut) */
} qv__prompt_options;

typedef struct {
    int64_t untruncated; /* tokens before the cut */
} qv__prompt_facts;

/* Builds ids, positions and runs of one embedding input into `arena`. Parts come in the caller's order; the official
 * recipe puts all videos first, then images, then texts. User text that holds a literal vision pad token is refused
 * when the model has vision tokens, unless raw text without visuals (the reference takes it as that token).
 * Errors: QV_TOO_LONG with the counts, QV_INVALID_UTF8 with part and offset, QV_INVALID_ARGUMENT. */
qv_status qv__prompt_embed(const qv__tokenizer *t, const qv__config *config, const qv__prompt_part *parts, size_t count,
                           const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                           qv__prompt_facts *facts, qv_error *err);

/* The reranker's prompt for one (query, document) pair; truncation keeps special tokens and the last 5. */
qv_status qv__prompt_rerank(const qv__tokenizer *t, const qv__config *config, const qv__prompt_part *query,
                            size_t query_count, const qv__prompt_part *document, size_t document_count,
                            const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                            qv__prompt_facts *facts, qv_error *err);

/* Finished token ids as given (QV_PART_TOKENS): checks their range, makes text positions. */
qv_status qv__prompt_tokens(const qv__tokenizer *t, const qv__config *config, const int32_t *ids, size_t count,
                            const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                            qv__prompt_facts *facts, qv_error *err);

/* M-RoPE positions of ids with the given runs; positions: [3][length]. docs/MODEL.md part 7. */
void qv__positions(const qv__config *config, const int32_t *ids, int32_t length, const qv__vision_run *runs,
                   int run_count, int32_t *positions);
#endif
