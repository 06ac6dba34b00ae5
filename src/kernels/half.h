/* Stored weights as fp32; every conversion is exact. */
#ifndef QVEC_KERNELS_HALF_H
#define QVEC_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

#include "base/dtype.h"

static inline float qv__bf16_to_float(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* As vcvtph2ps: subnormals are kept, a signalling NaN becomes quiet. */
static inline float qv__f16_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 0) { /* fraction * 2^-24, exact in fp32 */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    if (exponent == 31) bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One value of any dtype; `at` may be unaligned. */
static inline float qv__stored_to_float(qv__dtype dtype, const unsigned char *at) {
    float value;
    uint16_t half;
    if (dtype == QV__F32) return memcpy(&value, at, sizeof value), value;
    memcpy(&half, at, sizeof half);
    return dtype == QV__BF16 ? qv__bf16_to_float(half) : qv__f16_to_float(half);
}
#endif
