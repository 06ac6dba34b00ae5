/* Weights by rule instead of from files: any shape can be computed and checked without a download.
 *
 * With G = 0x9E3779B97F4A7C15 and wrapping uint64 arithmetic, element i (row-major, from 0) of a tensor is
 *   x = mix64(mix64(fnv1a64(name) + G (seed + 1)) + G (i + 1)),  u = (2 (x >> 40) + 1 - 2^24) 2^-24,
 *   value = 0.1 u for names in ".bias"; 1 + 0.1 u for other tensors of one dimension;
 *           sqrt(3 / product of the dimensions but the first) u for the rest,
 * computed in double, rounded to float, then to bfloat16, each to nearest even. */
#ifndef QVEC_STORE_DUMMY_H
#define QVEC_STORE_DUMMY_H

#include "store/checkpoint.h"
#include "store/file.h"

/* Calls `each` for every tensor of a checkpoint of this shape, in the order the files have; stops and gives
 * false when `each` does. */
typedef bool (*qv__dummy_each)(void *context, const char *name, int rank, const int64_t *shape);
bool qv__dummy_list(const qv__config *config, qv__dummy_each each, void *context);

/* Elements [start, start + count) of one tensor, as bfloat16 bits. */
void qv__dummy_fill(const char *name, int rank, const int64_t *shape, uint64_t seed, uint64_t start, size_t count,
                    uint16_t *out);

/* Makes all tensors (BF16, `bytes` set) in one anonymous map with `threads` threads, and sets their data. */
qv_status qv__dummy_make(qv__tensor *const *tensors, size_t count, uint64_t seed, int threads, qv__mapping *out,
                         qv_error *err);

/* "dummy" or "dummy:SEED", SEED any uint64 in decimal. */
qv_status qv__dummy_seed(const char *load_format, uint64_t *seed, qv_error *err);
#endif
