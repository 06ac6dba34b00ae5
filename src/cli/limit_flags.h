/* The table of limits (api/limits.h) as flags. */
#ifndef QVEC_CLI_LIMIT_FLAGS_H
#define QVEC_CLI_LIMIT_FLAGS_H

#include "api/limits.h"
#include "cli/options.h"

/* The rows of a group, under a heading of their own; `values` holds the defaults already. The rows are static: one
 * thread, one set for each group. */
qv__option_set qv__limit_set(qv__limit_group group, qv__limits *values);
#endif
