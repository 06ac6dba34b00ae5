#include "kernels/tier.h"

#include <string.h>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* The operating system saves the wide registers of a context switch only when it says so in XCR0. */
static unsigned long long saved_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (unsigned long long)d << 32 | a;
}

qv__tier qv__tier_best(void) {
    unsigned a, b, c, d;
    enum { YMM = 0x6, ZMM = 0xe6 };
    unsigned long long saved = saved_state();
    const unsigned need1 = bit_FMA | bit_F16C | bit_AVX;
    if ((saved & YMM) != YMM || !__get_cpuid(1, &a, &b, &c, &d) || (c & need1) != need1) return QV__TIER_C;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return QV__TIER_C;
    const unsigned need7 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    return (saved & ZMM) == ZMM && (b & need7) == need7 ? QV__TIER_AVX512 : QV__TIER_AVX2;
}

bool qv__tier_has_vnni(void) {
    unsigned a, b, c, d;
    return qv__tier_best() == QV__TIER_AVX512 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_AVX512VNNI);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

qv__tier qv__tier_best(void) {
    return QV__TIER_NEON;
}

bool qv__tier_has_dotprod(void) {
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}
#else
qv__tier qv__tier_best(void) {
    return QV__TIER_C;
}
#endif

#if defined(__x86_64__)
static const char *const names[QV__TIER_COUNT] = {"c", "avx2", "avx512"};
#elif defined(__aarch64__)
static const char *const names[QV__TIER_COUNT] = {"c", "neon"};
#else
static const char *const names[QV__TIER_COUNT] = {"c"};
#endif

const char *qv__tier_name(qv__tier tier) {
    return (unsigned)tier < QV__TIER_COUNT ? names[tier] : "?";
}

const char *qv__tier_name8(qv__tier tier) {
#if defined(__x86_64__)
    if (tier == QV__TIER_AVX512 && qv__tier_has_vnni()) return "avx512+vnni";
#elif defined(__aarch64__)
    if (tier == QV__TIER_NEON && qv__tier_has_dotprod()) return "neon+dotprod";
#endif
    return qv__tier_name(tier);
}

qv_status qv__tier_parse(const char *name, qv__tier *tier, qv_error *err) {
    qv__tier best = qv__tier_best();
    *tier = best;
    if (!name || strcmp(name, "auto") == 0) return QV_OK;
    for (int i = 0; i < QV__TIER_COUNT; i++)
        if (strcmp(name, names[i]) == 0) return *tier = (qv__tier)i < best ? (qv__tier)i : best, QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "no CPU tier \"%.40s\"; there are " QV__TIER_CHOICES, name);
}
