/* The way of an embedding request of any form: read, prepared, computed, written. */
#ifndef QVEC_API_EMBED_H
#define QVEC_API_EMBED_H

#include "api/embed_request.h"
#include "api/job.h"

typedef struct {
    qv__embed_read read;
    /* Writes the answer of all inputs. values: room for one full vector. */
    qv_status (*write)(qv__job *job, float *values, qv__response *response, qv__refusal *r);
} qv__embed_form;

/* A route's start. job->parsed is its qv__embed_request from here on. */
qv_status qv__embed_start(qv__job *job, const qv__embed_form *form, qv__refusal *r);

/* ---- for writers ---- */

/* Input i's vector, of job->facts[i].dimensions values. */
qv_status qv__embed_vector(qv__job *job, size_t i, float *values, qv__refusal *r);
void qv__embed_write_vector(const qv__embed_request *q, const qv__output *output, const float *values, size_t count,
                            qv__buffer *b);
/* Ours: ,"qvec":{which recipe was used, what was cut}; clients that do not know the field skip it. */
void qv__embed_write_facts(const qv__job *job, qv__buffer *b);
#endif
