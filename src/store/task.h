/* Which job a checkpoint was trained for, told from its folder's own files. */
#ifndef QVEC_STORE_TASK_H
#define QVEC_STORE_TASK_H

#include "qvec/qvec.h"

qv_status qv__task_detect(const char *folder, qv_task *out, qv_error *err);

/* The token ids whose logits a reranker compares, from 1_LogitScore/config.json; -1 where it does not say. */
qv_status qv__task_score_ids(const char *folder, int32_t *yes, int32_t *no, qv_error *err);
#endif
