/* Vectors in fewer bits, for vector stores. Every value's code depends on that value and the number of values alone, so
 * that dot products of codes can be compared across vectors.
 *
 *   INT8     clamp(round(16 sqrt(n) v), -127, 127), halves to even: a unit vector of n values has the mean square 1/n,
 * so one step is 1/16 of a typical value, and 127 is 7.9 times it. dot(a, b) / (256 n) is the cosine. UINT8    the same
 * + 128: 1 to 255. UBINARY  bit k of byte i, counted from the highest, is v[8i + k] >= 0; n must be a multiple of 8.
 *   BINARY   the same bytes - 128, as signed numbers: Cohere's, Jina's and Voyage's order. */
#ifndef QVEC_API_QUANTIZE_H
#define QVEC_API_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { QV__FLOAT, QV__INT8, QV__UINT8, QV__BINARY, QV__UBINARY } qv__numbers;

/* Bytes of `count` values in a kind that is not FLOAT. */
size_t qv__quantize_size(qv__numbers kind, size_t count);
/* out[qv__quantize_size]; signed kinds in two's complement. */
void qv__quantize(const float *values, size_t count, qv__numbers kind, uint8_t *out);
bool qv__numbers_signed(qv__numbers kind);
#endif
