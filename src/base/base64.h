/* Base64, standard alphabet (RFC 4648 part 4): vectors going out, data: URLs coming in. */
#ifndef QVEC_BASE_BASE64_H
#define QVEC_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters for `size` bytes, padding included; SIZE_MAX when that overflows. */
size_t qv__base64_encoded_size(size_t size);
/* Writes exactly qv__base64_encoded_size(size) characters, no NUL. */
void qv__base64_encode(const void *data, size_t size, char *out);

/* Bytes that `size` characters can decode to at most. */
size_t qv__base64_decoded_max(size_t size);
/* Decodes into out[qv__base64_decoded_max(size)]. Strict: only the alphabet and line breaks (encoders wrap lines),
 * padding absent or exactly right and last, unused bits zero. On failure *bad_offset (may be NULL) is where the
 * text goes wrong; a text that stops short goes wrong at `size`. */
bool qv__base64_decode(const char *text, size_t size, uint8_t *out, size_t *decoded, size_t *bad_offset);
#endif
