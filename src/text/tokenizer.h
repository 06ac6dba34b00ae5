/* tokenizer.json as a function from text to token ids: added tokens cut out first, NFC, the split pattern,
 * byte-level BPE, the post-processor. Everything is read from the file; see docs/MODEL.md part 3.
 * A tokenizer is immutable after open: any number of threads may use it. */
#ifndef QVEC_TEXT_TOKENIZER_H
#define QVEC_TEXT_TOKENIZER_H

#include "qvec/qvec.h"

typedef struct qv__tokenizer qv__tokenizer;

/* Opens tokenizer.json in `folder`, or vocab.json + merges.txt (+ added tokens of tokenizer_config.json). */
qv_status qv__tokenizer_open(const char *folder, qv__tokenizer **out, qv_error *err);
/* The same from tokenizer.json's text. */
qv_status qv__tokenizer_parse(const char *json, size_t size, qv__tokenizer **out, qv_error *err);
void qv__tokenizer_close(qv__tokenizer **tokenizer);

/* A growable list of ids; zero-initialise, free with qv__ids_clear. */
typedef struct {
    int32_t *data;
    size_t size, capacity;
} qv__ids;
void qv__ids_clear(qv__ids *ids);
qv_status qv__ids_push(qv__ids *ids, int32_t id, qv_error *err);

/* Appends the ids of text. Added tokens inside the text are recognised (as the reference does).
 * post_process: apply the file's post-processor (append <|endoftext|> in the Embedding checkpoints).
 * limit: stop with QV_TOO_LARGE when more ids than this would be made (0: none).
 * Errors: QV_INVALID_UTF8 (with the byte offset), QV_NO_MEMORY, QV_TOO_LARGE. */
qv_status qv__tokenizer_encode(const qv__tokenizer *t, const char *text, size_t size, bool post_process, size_t limit,
                               qv__ids *out, qv_error *err);

/* Number of ids the post-processor adds behind a single sequence, and those ids (never NULL). */
size_t qv__tokenizer_suffix(const qv__tokenizer *t, const int32_t **ids);

int32_t qv__tokenizer_id(const qv__tokenizer *t, const char *token); /* vocabulary or added token; -1: absent */
bool qv__tokenizer_is_special(const qv__tokenizer *t, int32_t id);   /* added token with "special": true */
int32_t qv__tokenizer_size(const qv__tokenizer *t);                  /* highest id + 1 */

/* Bytes of one id (byte-level form undone; an added token's own text); NULL for an unknown id. */
const char *qv__tokenizer_bytes(const qv__tokenizer *t, int32_t id, size_t *size);

/* First added token's text found literally in text, for refusing e.g. "<|image_pad|>" in user text when
 * `id` is given; returns its byte offset or SIZE_MAX. */
size_t qv__tokenizer_find_token(const qv__tokenizer *t, const char *text, size_t size, int32_t id);
#endif
