/* The body of POST /v1/embeddings (completion form, chat form, typed objects) as a list of qv_input: every field and
 * limit checked, no model needed. */
#ifndef QVEC_API_EMBED_REQUEST_H
#define QVEC_API_EMBED_REQUEST_H

#include "api/body.h"
#include "api/refusal.h"
#include "api/write.h"

typedef struct {
    int64_t max_inputs, max_model_len, embedding_size;
    int max_images, max_videos; /* per input */
    bool local_media;           /* file:// URLs are taken */
} qv__embed_limits;

typedef enum { QV__ENCODING_FLOAT, QV__ENCODING_BASE64, QV__ENCODING_BYTES, QV__ENCODING_BYTES_ONLY } qv__encoding;

/* Zero-initialise; qv__embed_request_clear also after a failed parse. */
typedef struct {
    qv__body body;    /* owns the texts */
    qv__arena arena;  /* owns the rest */
    qv_input *inputs; /* [count] */
    size_t count;
    const char *name;  /* "input" or "messages" */
    bool single;       /* `input` was not a list of inputs; messages then say "input", not "input[0]" */
    bool keep_end;     /* truncation_side left: the last max_length tokens are kept */
    const char *model; /* as sent; NULL: absent */
    qv__encoding encoding;
    qv__wire dtype;
    bool big_endian;
} qv__embed_request;

qv_status qv__embed_request_parse(const char *body, size_t size, const qv__embed_limits *limits, qv__embed_request *out,
                                  qv__refusal *r);
void qv__embed_request_clear(qv__embed_request *request);

/* True when the whole text is one http, https, file or data URL, white space around it aside: almost certainly somebody
 * means the picture behind it. A sentence that contains a URL is a text. */
bool qv__text_is_url(const char *text, size_t size);
#endif
