/* What every wire form of the embedding routes becomes: a list of qv_input, and how the vectors are to be written.
 * Every field and limit is checked here, no model needed. A form is a function that reads its dialect's fields with the
 * readers below; forms.h lists them. */
#ifndef QVEC_API_EMBED_REQUEST_H
#define QVEC_API_EMBED_REQUEST_H

#include "api/body.h"
#include "api/content.h"
#include "api/messages.h"
#include "api/refusal.h"
#include "api/write.h"

typedef struct {
    int64_t max_inputs, max_model_len, embedding_size;
    int max_images, max_videos; /* per input */
    int64_t max_parts;          /* the same; 0: any number */
    bool local_media;           /* file:// URLs are taken */
    qv__media_urls *urls;       /* where http(s) URLs are noted; NULL: none is taken */
    qv_input defaults;          /* what each input starts from */
} qv__embed_limits;

/* One way to write a vector; base64 is that of its values' bytes. */
typedef struct {
    qv__numbers numbers;
    bool base64;
    const char *name; /* as the request spells it, static */
} qv__output;

enum { QV__OUTPUTS_MAX = 6 };

/* Zero-initialise; qv__embed_request_clear also after a failed parse. */
typedef struct {
    qv__body body;    /* owns the texts */
    qv__arena arena;  /* owns the rest */
    qv_input *inputs; /* [count] */
    size_t count;
    const char *name;  /* of the field they came in: "input", "texts" */
    bool single;       /* it was not a list of inputs; messages then say "input", not "input[0]" */
    bool keep_end;     /* where an input is cut, its last max_length tokens are kept */
    bool refuse_cut;   /* an input that would have to be cut is refused */
    const char *model; /* as sent; NULL: absent */
    qv__errors errors; /* the dialect's */
    qv__output outputs[QV__OUTPUTS_MAX];
    int output_count;
    enum { QV__BODY_JSON, QV__BODY_BYTES, QV__BODY_BYTES_ONLY } answer; /* vLLM's encoding_format bytes, bytes_only */
    qv__wire dtype;                                                     /* of floats in base64 and bytes */
    bool big_endian;
    const json_t *echo;  /* texts that the answer repeats; NULL: none */
    bool tell_pictures;  /* the answer tells the size and tokens of each picture */
    bool tell_prompts;   /* and the exact prompt of each input */
    const char *warning; /* static; told in a header */
} qv__embed_request;

typedef struct {
    qv__embed_request *out;
    const qv__embed_limits *limits;
    qv__refusal *r;
    qv_input common; /* what each input starts from */
    qv__chat_options chat;
    int modality;     /* what a string stands for: 0 a text, 1 a picture, 2 a video (Infinity's field) */
    bool told_prompt; /* the request says which recipe it wants */
} qv__embed_reader;

typedef qv_status (*qv__embed_read)(qv__embed_reader *p);

/* Reads out->body, which the request owns from now on. */
qv_status qv__embed_request_read(qv__embed_read read, const qv__embed_limits *limits, qv__embed_request *out,
                                 qv__refusal *r);
/* Parses a body and reads it. */
qv_status qv__embed_request_parse(qv__embed_read read, const char *body, size_t size, const qv__embed_limits *limits,
                                  qv__embed_request *out, qv__refusal *r);
void qv__embed_request_clear(qv__embed_request *request);

/* ---- readers for forms ---- */

/* What a list of inputs may hold. Without MIXED all are of one kind. A single one may stand for a list of one, except a
 * string where only LIST is taken. */
enum {
    QV__TAKE_TEXT = 1,
    QV__TAKE_IDS = 2,
    QV__TAKE_OBJECT = 4, /* {"text","image",…} or {"content":[…]} */
    QV__TAKE_CHAT = 8,   /* a list of messages */
    QV__TAKE_MIXED = 16, /* any of them in one list */
    QV__TAKE_LIST = 32,  /* a list, not a single input */
};
/* Fills inputs from the field `name`, common in each. Raw prompts where common says so; objects, and pictures by
 * `modality`, are official unless the request told otherwise. */
qv_status qv__read_inputs(qv__embed_reader *p, const char *name, const json_t *value, int kinds);
/* The same by hand: room for `count` inputs, then each of them. */
qv_status qv__read_begin(qv__embed_reader *p, const char *name, size_t count);
qv_status qv__read_at(qv__embed_reader *p, size_t i, const json_t *value, int kinds);

/* "dimensions", "output_dimension" of `object`: into common. */
qv_status qv__read_dimensions(qv__embed_reader *p, const json_t *object, const char *name);
/* What the texts are for ("search_query", "retrieval.passage", …) in the field `name` of `object`, and `instruction`,
 * which wins: either makes the prompts official. Without both they stay raw, as in vLLM. The names are those of
 * qv__purpose_at. */
qv_status qv__read_purpose(qv__embed_reader *p, const json_t *object, const char *name);
/* Inputs of more than max_tokens tokens (0: the model's limit) are cut at the end, at the start, or refused. */
typedef enum { QV__CUT_END, QV__CUT_START, QV__CUT_NOT } qv__cut;
void qv__read_cut(qv__embed_reader *p, qv__cut cut, int64_t max_tokens);
/* A name or, where `list`, a list of names, of `choices` (NULL name at the end), into outputs; absent: the first. */
qv_status qv__read_outputs(qv__embed_reader *p, const char *name, const qv__output *choices, bool list);
/* Quantised outputs need unit vectors, bits whole bytes; after dimensions and normalisation are known. */
qv_status qv__check_outputs(qv__embed_reader *p, const char *name);

/* Purposes in a row: name and instruction (NULL: the model's default); NULL name behind the last. */
typedef struct {
    const char *name, *instruction;
} qv__purpose;
const qv__purpose *qv__purpose_at(size_t i);
#endif
