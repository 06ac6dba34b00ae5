/* One name for a tensor, whichever tool wrote the file. */
#ifndef QVEC_STORE_NAMES_H
#define QVEC_STORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the published form of `name` ("model.language_model....", "model.visual....", "lm_head.weight"); names
 * of no known form are copied. False when it does not fit. */
bool qv__tensor_name(const char *name, char *out, size_t size);
#endif
