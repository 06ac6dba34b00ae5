/* Why a request is not answered with 200: HTTP status, type and text. The one place where a qv_status becomes an HTTP
 * status, and where an error is spelled as a dialect's clients read it. */
#ifndef QVEC_API_REFUSAL_H
#define QVEC_API_REFUSAL_H

#include "api/api.h"
#include "base/error.h"

/* An error's body, by dialect:
 *   VLLM    {"error":{"message":…,"type":…,"param":…|null,"code":400}}   also what OpenAI's clients read
 *   COHERE  {"message":…}
 *   DETAIL  {"detail":…}                      Voyage and Jina
 *   TEI     {"error":…,"error_type":…}        a request that is wrong is 422 there, one of nothing 400, what the model
 *                                             cannot do 424 */
typedef enum { QV__ERRORS_VLLM, QV__ERRORS_COHERE, QV__ERRORS_DETAIL, QV__ERRORS_TEI } qv__errors;

typedef struct {
    int http;
    const char *type; /* static */
    char param[64];   /* the field at fault; "": null */
    char message[960];
    /* what TEI has words of its own for; set behind qv__refuse… */
    enum { QV__CAUSE_OTHER, QV__CAUSE_EMPTY, QV__CAUSE_TOKENS } cause;
} qv__refusal;

/* Both fill `r` and return the code, for `return qv__refuse(...)`. The first is for a wrong field ("Bad Request" with
 * a path such as body.dimensions, always 400), the second for everything else, by the table. param may be NULL. */
__attribute__((format(printf, 3, 4))) qv_status qv__refuse_field(qv__refusal *r, const char *name, const char *format,
                                                                 ...);
__attribute__((format(printf, 4, 5))) qv_status qv__refuse(qv__refusal *r, qv_status code, const char *param,
                                                           const char *format, ...);
/* The library's own error. `prefix` ("input[3]: ") may be "". */
qv_status qv__refuse_error(qv__refusal *r, const qv_error *err, const char *param, const char *prefix);

/* For the statuses that no qv_status stands for (405, 411, 431, 499). */
void qv__refusal_set_http(qv__refusal *r, int http);

/* retry_after: seconds; 0: no such header. */
void qv__refusal_respond(const qv__refusal *r, qv__errors errors, int retry_after, qv__response *response);
#endif
