#ifndef QVEC_API_KEY_H
#define QVEC_API_KEY_H

#include "api/job.h"

qv_status qv__keys_open(qv__api *api, qv_error *err);
/* True when no keys are set, or `authorization` is "Bearer KEY" with one of them. */
bool qv__key_fits(const qv__api *api, const char *authorization);
#endif
