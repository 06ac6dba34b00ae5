/* JSON going out, written straight into the response's buffer: strings, and vectors in every encoding. */
#ifndef QVEC_API_WRITE_H
#define QVEC_API_WRITE_H

#include "api/quantize.h"
#include "base/memory.h"

/* "…" with escapes; bytes that are not UTF-8 become U+FFFD, so that the answer always is. */
bool qv__write_string(qv__buffer *b, const char *text, size_t size);
/* [0.125,-1.5e-7,…]: the shortest text of each value that reads back to the same float32. */
bool qv__write_floats(qv__buffer *b, const float *values, size_t count);

/* E4M3 and E5M2: the 8-bit floats of torch's float8_e4m3fn and float8_e5m2. */
typedef enum { QV__WIRE_F32, QV__WIRE_F16, QV__WIRE_BF16, QV__WIRE_E4M3, QV__WIRE_E5M2 } qv__wire;
size_t qv__wire_size(qv__wire dtype);
/* The values' bytes, appended as they are or as "base64". */
bool qv__write_bytes(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian);
bool qv__write_base64(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian);

/* A quantised vector: [1,-2,3] or "base64". kind is not FLOAT. */
bool qv__write_quantized(qv__buffer *b, const float *values, size_t count, qv__numbers kind, bool base64);
#endif
