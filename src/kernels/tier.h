/* Which set of CPU kernels runs: told once from what the CPU says of itself, lowered by `--cpu-tier`.
 *
 * Every tier gives the same bytes: each output is reduced in the order that the family's C reference states, with
 * fused multiply-adds where it states them. A tier is therefore a matter of speed alone. */
#ifndef QVEC_KERNELS_TIER_H
#define QVEC_KERNELS_TIER_H

#include "qvec/qvec.h"

/* Each architecture has a ladder of its own, whose lowest rung is plain C. */
#if defined(__x86_64__)
typedef enum {
    QV__TIER_C,      /* plain C, any machine */
    QV__TIER_AVX2,   /* AVX2, FMA, F16C */
    QV__TIER_AVX512, /* AVX-512 F, BW, DQ, VL, and all of AVX2's */
    QV__TIER_COUNT,
} qv__tier;
#define QV__TIER_CHOICES "auto|c|avx2|avx512"
#elif defined(__aarch64__)
typedef enum {
    QV__TIER_C,
    QV__TIER_NEON, /* what every CPU of this architecture has */
    QV__TIER_COUNT,
} qv__tier;
#define QV__TIER_CHOICES "auto|c|neon"
#else
typedef enum { QV__TIER_C, QV__TIER_COUNT } qv__tier;
#define QV__TIER_CHOICES "auto|c"
#endif

qv__tier qv__tier_best(void); /* the highest that this machine and its operating system can run */
/* Beside the tier, for 8-bit products alone. */
#if defined(__x86_64__)
bool qv__tier_has_vnni(void); /* AVX-512 VNNI beside QV__TIER_AVX512 */
#elif defined(__aarch64__)
bool qv__tier_has_dotprod(void); /* FEAT_DotProd */
#endif
const char *qv__tier_name(qv__tier tier);  /* "c", "avx2", "avx512", "neon" */
const char *qv__tier_name8(qv__tier tier); /* of products of 8-bit codes: "avx512+vnni", "neon+dotprod", or as above */
/* "avx2" -> the tier. A known tier that this machine lacks becomes the best one it has (`--cpu-tier` names the
 * highest to use); an unknown name is QV_INVALID_ARGUMENT. NULL and "auto": the best. */
qv_status qv__tier_parse(const char *name, qv__tier *tier, qv_error *err);
#endif
