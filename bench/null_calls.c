/* The functions of a job, doing nothing: what is left of a call from Python is Python's own cost (python_cost.py). */
#include "qvec/qvec.h"

static int somewhere;

QV_API qv_status qv_job_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out, float *matrix,
                              size_t stride, qv_job **job, qv_error *err) {
    *job = (qv_job *)&somewhere;
    return QV_OK;
}

QV_API bool qv_job_wait(qv_job *job, double seconds) {
    return true;
}

QV_API qv_status qv_job_end(qv_job **job, qv_error *err) {
    *job = NULL;
    return QV_OK;
}
