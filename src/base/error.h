/* Errors inside the library: every failing function ends in `return qv__fail(err, CODE, "text", ...)`. */
#ifndef QVEC_BASE_ERROR_H
#define QVEC_BASE_ERROR_H

#include "qvec/qvec.h"

/* Fills err (which may be NULL) and returns code. Texts name the thing and the limit; longer ones are cut
 * on a character boundary. */
__attribute__((format(printf, 3, 4))) qv_status qv__fail(qv_error *err, qv_status code, const char *format, ...);

/* Puts "prefix: " in front of err's message; keeps the code. err may be NULL. Returns err's code or code. */
__attribute__((format(printf, 3, 4))) qv_status qv__fail_in(qv_error *err, qv_status code, const char *format, ...);
#endif
