/* UTF-8, strictly by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef QVEC_BASE_UTF8_H
#define QVEC_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the longest valid prefix: equals size when all of it is valid, else the offset of the first
 * byte that does not belong to a valid character. */
size_t qv__utf8_valid_prefix(const char *text, size_t size);

/* Reads one character at text (size > 0, valid UTF-8); *length gets its bytes. */
uint32_t qv__utf8_decode(const char *text, size_t size, size_t *length);

/* How many characters there are; text is valid UTF-8. */
size_t qv__utf8_count(const char *text, size_t size);
#endif
