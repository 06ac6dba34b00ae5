/* A block of four by four values of 32 bits, turned. */
#ifndef QVEC_KERNELS_ARM_TRANSPOSE_NEON_H
#define QVEC_KERNELS_ARM_TRANSPOSE_NEON_H

#include <arm_neon.h>

/* In: t[i] = values 0..3 of row i. Out: t[j] = value j of rows 0..3. */
static inline void qv__transpose_neon(float32x4_t t[4]) {
    float32x4x2_t low = vzipq_f32(t[0], t[2]), high = vzipq_f32(t[1], t[3]); /* 00 20 01 21 | 02 22 03 23, and so on */
    float32x4x2_t first = vzipq_f32(low.val[0], high.val[0]), second = vzipq_f32(low.val[1], high.val[1]);
    t[0] = first.val[0];
    t[1] = first.val[1];
    t[2] = second.val[0];
    t[3] = second.val[1];
}
#endif
