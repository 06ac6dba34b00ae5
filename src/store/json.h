/* JSON files of a checkpoint folder, through jansson, with limits of our own: the root is an object, no key
 * twice, nesting at most QV__JSON_DEPTH_MAX (jansson's own limit, 2048, is deep for a small stack). */
#ifndef QVEC_STORE_JSON_H
#define QVEC_STORE_JSON_H

#include <jansson.h>

#include "qvec/qvec.h"

enum { QV__JSON_DEPTH_MAX = 64 };

/* QV_NO_MEMORY, or QV_BAD_CHECKPOINT with jansson's reason and the line. */
qv_status qv__json_parse(const char *text, size_t size, json_t **out, qv_error *err);
/* Reads and parses a file of at most max bytes; the error names it. QV_NOT_FOUND when it is absent. */
qv_status qv__json_read(const char *path, size_t max, json_t **out, qv_error *err);
#endif
