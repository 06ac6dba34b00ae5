/* Numbers as text: the shortest decimal form of a float32, and numbers as people type them after a flag. */
#ifndef QVEC_BASE_NUMBER_H
#define QVEC_BASE_NUMBER_H

#include "base/error.h"

/* Writes the shortest decimal text that a correctly rounding reader turns back into exactly `value` (as
 * float32), and of the shortest the one closest to it. Always a valid JSON number: "0.125", "-0.0", "1.5e-7",
 * "16777216.0"; numbers that JSON does not have (NaN, infinities) become "null". Returns the length, at most
 * 16; out is NUL-terminated. */
enum { QV__FLOAT_TEXT_MAX = 32 };
size_t qv__float_shortest(float value, char out[QV__FLOAT_TEXT_MAX]);

/* The parsers below take the whole text or fail with QV_INVALID_ARGUMENT and a message that names what is
 * wrong and the range, e.g. "\"9x\" is not a number"; the caller puts the flag's name in front. */

/* A whole number within [min, max]. */
qv_status qv__parse_int(const char *text, int64_t min, int64_t max, int64_t *out, qv_error *err);

/* An integer that may end in k, m, g, t (powers of 1000, a fraction allowed: "25.6k" is 25,600) or in K, M,
 * G, T (powers of 1024: "1K" is 1,024). The spelling of vLLM's --max-model-len. */
qv_status qv__parse_count(const char *text, int64_t min, int64_t max, int64_t *out, qv_error *err);

/* A finite number within [min, max]. */
qv_status qv__parse_double(const char *text, double min, double max, double *out, qv_error *err);

/* "i/n" with 0 <= i < n <= max. */
qv_status qv__parse_fraction(const char *text, int64_t max, int64_t *i, int64_t *n, qv_error *err);
#endif
