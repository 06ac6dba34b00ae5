/* Which job a checkpoint was trained for, told from its folder's own files. */
#ifndef QVEC_STORE_TASK_H
#define QVEC_STORE_TASK_H

#include "qvec/qvec.h"

qv_status qv__task_detect(const char *folder, qv_task *out, qv_error *err);
#endif
