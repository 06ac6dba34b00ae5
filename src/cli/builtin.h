/* The models that are opened when none is named: beside the program, in its build folder, or installed. */
#ifndef QVEC_CLI_BUILTIN_H
#define QVEC_CLI_BUILTIN_H

#include "qvec/qvec.h"

/* The folder of the model for a task (AUTO: the embedding model), malloc'd; NULL: not found (or out of memory). */
char *qv__builtin_folder(qv_task task);
#endif
