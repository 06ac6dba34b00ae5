/* An opened model, put together: checkpoint, tokenizer, backend, network, engine. The public API, the CLI and
 * the HTTP routes all enter here with the same qv_input. */
#ifndef QVEC_LIB_SESSION_H
#define QVEC_LIB_SESSION_H

#include "engine/engine.h"
#include "lib/gate.h"
#include "media/media.h"
#include "prep/prompt.h"
#include "store/checkpoint.h"
#include "text/tokenizer.h"

/* Rows that the network can compute while a longer forward pauses. */
enum { QV__NESTED_TOKENS = 1024 };

struct qv_model {
    qv_model_options options; /* as given, defaults filled in, strings copied; -1 stays for "off" */
    char *folder;
    char *media_root, *load_format; /* owned; what the options point to */
    qv__checkpoint *checkpoint;
    qv__tokenizer *tokenizer;
    qv__backend *backend;
    qv__network *network;
    qv__engine *engine;
    qv_task task;
    bool int8; /* matrices are 8-bit codes, from the folder or made */
    qv__media_limits media;
    atomic_bool stopping; /* what is being decoded is given up */
    qv__gate *decoding;   /* a quarter of the compute threads, at least one, may decode media at once */
};

/* What a caller may want to know of an input once it is prepared; echoed in answers. */
typedef struct {
    qv_prompt prompt;            /* the recipe used */
    int64_t tokens, untruncated; /* after and before the cut */
    int dimensions;              /* values the answer will have */
    bool normalize;
    int visual_count; /* vision runs */
} qv__prepared;

static inline bool qv__prepared_is_cut(const qv__prepared *facts) {
    return facts->untruncated > facts->tokens;
}

/* Decodes media, builds prompt, ids and positions: an item ready for qv__engine_submit, with room for its
 * result. Does the slow work of a request on the calling thread; any number of threads. *out: free with
 * qv__item_free. Errors name the part. relative_to: folder of relative media paths, NULL: cwd. */
qv_status qv__session_prepare(const qv_model *model, const qv_input *input, const char *relative_to, qv__item **out,
                              qv__prepared *facts, qv_error *err);

/* A query for many documents: its media are decoded once. The input's texts must outlive it. Counted: it lives until it
 * is released and the last item made with it is freed. */
typedef struct qv__query qv__query;
qv_status qv__query_open(const qv_model *model, const qv_input *query, const char *relative_to, qv__query **out,
                         qv_error *err);
void qv__query_release(qv__query **query);
/* One pair's item, as qv__session_prepare makes them; item->want_score is set. instruction, limits: the query's. */
qv_status qv__session_prepare_document(const qv_model *model, qv__query *query, const qv_input *document,
                                       const char *relative_to, qv__item **out, qv__prepared *facts, qv_error *err);

/* Writes the answer of a finished item: hidden -> first `dimensions` values -> unit length. values[dimensions]. For a
 * pair: values[1], the sigmoid of its logit. */
qv_status qv__session_finish(const qv__item *item, const qv__prepared *facts, float *values, qv_error *err);

void qv__item_free(qv__item *item); /* NULL is fine; must not be queued or running */

/* Frees engine, network, backend ... in order, and the model; used by close and by a failed open. */
void qv__session_close(qv_model *model, bool drain);
#endif
