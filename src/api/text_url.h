/* Texts that are URLs. Whoever sends one as a text almost certainly means the picture behind it, and would get a vector
 * or a score of the URL's characters: they are refused wherever a client's text is taken. */
#ifndef QVEC_API_TEXT_URL_H
#define QVEC_API_TEXT_URL_H

#include "api/refusal.h"

/* True when the whole text is one http, https, file or data URL, white space around it aside. A sentence that contains
 * a URL is a text. */
bool qv__text_is_url(const char *text, size_t size);
/* name: of the input ("documents[3]"); prefix: "", or "A text of " when the input has other parts too. */
qv_status qv__refuse_url(qv__refusal *r, const char *name, const char *prefix);
#endif
