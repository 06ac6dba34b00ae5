/* Headers of an answer, for what its body has no place for. */
#ifndef QVEC_API_HEADERS_H
#define QVEC_API_HEADERS_H

#include "api/api.h"

/* The value lives until respond. Beyond QV__RESPONSE_HEADERS there is no room, and the header is left out. */
void qv__header_add(qv__response *response, const char *name, const char *value);
void qv__header_add_number(qv__response *response, const char *name, int64_t value);

/* x-qvec-prompt, x-qvec-truncated (of how many inputs; absent: of none), x-qvec-warning (NULL: none). */
void qv__header_add_facts(qv__response *response, const char *prompt, size_t cut, const char *warning);

/* What text-embeddings-inference tells of its work: characters and tokens, and times in whole milliseconds, of which
 * the whole has two names. */
void qv__header_add_work(qv__response *response, const int64_t stage_ns[QV__STAGES]);
#endif
