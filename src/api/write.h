/* JSON going out, written straight into the response's buffer: strings, and vectors in every encoding. */
#ifndef QVEC_API_WRITE_H
#define QVEC_API_WRITE_H

#include "base/memory.h"

/* "…" with escapes; bytes that are not UTF-8 become U+FFFD, so that the answer always is. */
bool qv__write_string(qv__buffer *b, const char *text, size_t size);
/* [0.125,-1.5e-7,…]: the shortest text of each value that reads back to the same float32. */
bool qv__write_floats(qv__buffer *b, const float *values, size_t count);

typedef enum { QV__WIRE_F32, QV__WIRE_F16, QV__WIRE_BF16 } qv__wire;
size_t qv__wire_size(qv__wire dtype);
/* The values' bytes, appended as they are or as "base64". */
bool qv__write_bytes(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian);
bool qv__write_base64(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian);
#endif
