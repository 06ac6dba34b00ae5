/* Which tensors of a checkpoint become 8-bit codes, and how those are stored; docs/QUANTIZATION.md.
 *
 * A quantised NAME.weight of shape [rows, cols] is two tensors: NAME.weight, U8 [panels, groups * 16, 16, 4], and
 * NAME.weight_scale, F32 [panels, groups, 16], where panels = ceil(rows / 16) and groups = ceil(cols / 64). The codes
 * of column k of row n is at [n / 16, k / 4, n % 16, k % 4], 128 larger than it counts. Where columns were multiplied
 * before, there is NAME.weight_input too, F32 [cols]: what x is multiplied with. config.json says so in its
 * quantization_config. */
#ifndef QVEC_STORE_QUANTIZED_H
#define QVEC_STORE_QUANTIZED_H

#include "base/int8.h"
#include "store/checkpoint.h"

enum { QV__QUANTIZED_VERSION = 1 };

/* By its published name: the matrices of all decoder layers and vision blocks but the first of each, and of the
 * mergers. What the first ones do wrong is amplified by all others. */
bool qv__quantized_name(const char *name);

/* "NAME.weight" -> "NAME.weight_scale", "NAME.weight_input". False: does not fit. */
bool qv__quantized_scale_name(const char *name, char *out, size_t size);
bool qv__quantized_input_name(const char *name, char *out, size_t size);

void qv__quantized_codes_shape(int64_t rows, int64_t cols, int64_t shape[4]);
void qv__quantized_scales_shape(int64_t rows, int64_t cols, int64_t shape[3]);

/* The tensors of a matrix of a quantised checkpoint, checked as qv__checkpoint_need does. *input: NULL where there is
 * none. */
qv_status qv__quantized_need(const qv__checkpoint *c, const char *name, int64_t rows, int64_t cols,
                             const qv__tensor **codes, const qv__tensor **scales, const qv__tensor **input,
                             qv_error *err);
#endif
