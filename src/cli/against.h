/* `qvec verify --against URL`: does a running server of any make give the vectors or scores that this model gives? */
#ifndef QVEC_CLI_AGAINST_H
#define QVEC_CLI_AGAINST_H

#include "cli/remote.h"

/* Sends the probes, prints a table and a verdict on stdout. prompt: the recipe that the server is meant to use. *agrees
 * tells the verdict; a failure means that no comparison could be made. */
qv_status qv__against_vectors(qv_model *model, const qv__remote_options *options, qv_prompt prompt, bool *agrees,
                              qv_error *err);
qv_status qv__against_scores(qv_model *model, const qv__remote_options *options, bool *agrees, qv_error *err);
#endif
