/* Shortest float32 text by Schubfach (R. Giulietti, "The Schubfach way to render doubles", 2020), in its
 * 32-bit form. In short: a float v = c * 2^q owns the interval of reals that round to it. Choose k so that
 * this interval is between 1 and 10 units of 10^k wide: then the multiples of 10^k next to v hold a shortest
 * answer, and at most one multiple of 10^(k+1) lies inside, which is shorter still. The interval's ends and v
 * are scaled by a 64-bit approximation of 10^-k; "round to odd" keeps every comparison exact. */
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POWER_MIN = -31, POWER_MAX = 45 };

/* powers[e - POWER_MIN] = 10^e * 2^(63 - floor(log2(10^e))), rounded up to 64 bits. */
static const uint64_t powers[POWER_MAX - POWER_MIN + 1] = {
    0x81CEB32C4B43FCF5, 0xA2425FF75E14FC32, 0xCAD2F7F5359A3B3F, 0xFD87B5F28300CA0E, 0x9E74D1B791E07E49,
    0xC612062576589DDB, 0xF79687AED3EEC552, 0x9ABE14CD44753B53, 0xC16D9A0095928A28, 0xF1C90080BAF72CB2,
    0x971DA05074DA7BEF, 0xBCE5086492111AEB, 0xEC1E4A7DB69561A6, 0x9392EE8E921D5D08, 0xB877AA3236A4B44A,
    0xE69594BEC44DE15C, 0x901D7CF73AB0ACDA, 0xB424DC35095CD810, 0xE12E13424BB40E14, 0x8CBCCC096F5088CC,
    0xAFEBFF0BCB24AAFF, 0xDBE6FECEBDEDD5BF, 0x89705F4136B4A598, 0xABCC77118461CEFD, 0xD6BF94D5E57A42BD,
    0x8637BD05AF6C69B6, 0xA7C5AC471B478424, 0xD1B71758E219652C, 0x83126E978D4FDF3C, 0xA3D70A3D70A3D70B,
    0xCCCCCCCCCCCCCCCD, 0x8000000000000000, 0xA000000000000000, 0xC800000000000000, 0xFA00000000000000,
    0x9C40000000000000, 0xC350000000000000, 0xF424000000000000, 0x9896800000000000, 0xBEBC200000000000,
    0xEE6B280000000000, 0x9502F90000000000, 0xBA43B74000000000, 0xE8D4A51000000000, 0x9184E72A00000000,
    0xB5E620F480000000, 0xE35FA931A0000000, 0x8E1BC9BF04000000, 0xB1A2BC2EC5000000, 0xDE0B6B3A76400000,
    0x8AC7230489E80000, 0xAD78EBC5AC620000, 0xD8D726B7177A8000, 0x878678326EAC9000, 0xA968163F0A57B400,
    0xD3C21BCECCEDA100, 0x84595161401484A0, 0xA56FA5B99019A5C8, 0xCECB8F27F4200F3A, 0x813F3978F8940985,
    0xA18F07D736B90BE6, 0xC9F2C9CD04674EDF, 0xFC6F7C4045812297, 0x9DC5ADA82B70B59E, 0xC5371912364CE306,
    0xF684DF56C3E01BC7, 0x9A130B963A6C115D, 0xC097CE7BC90715B4, 0xF0BDC21ABB48DB21, 0x96769950B50D88F5,
    0xBC143FA4E250EB32, 0xEB194F8E1AE525FE, 0x92EFD1B8D0CF37BF, 0xB7ABC627050305AE, 0xE596B7B0C643C71A,
    0x8F7E32CE7BEA5C70, 0xB35DBF821AE4F38C,
};

/* floor(log10(2^e)), or floor(log10(3/4 * 2^e)) at the lower edge of a binade; |e| <= 1500. */
static int floor_log10(int e, bool three_quarters) {
    return (e * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}
static int floor_log2_of_power(int e) {
    return (e * 1741647) >> 19;
} /* floor(log2(10^e)), |e| <= 1233 */

/* floor(g * c / 2^64), with the last bit set when anything (but the power's own rounding) was cut off. */
static uint32_t round_to_odd(uint64_t g, uint32_t c) {
    unsigned __int128 p = (unsigned __int128)g * c;
    return (uint32_t)(p >> 64) | ((uint32_t)(p >> 32) > 1);
}

typedef struct {
    uint32_t digits;
    int exponent; /* value = digits * 10^exponent */
} decimal;

/* fraction and exponent are the float's bit fields; the value is finite and not 0. */
static decimal shortest(uint32_t fraction, uint32_t exponent) {
    uint32_t c = exponent ? fraction | 0x800000u : fraction;
    int q = (exponent ? (int)exponent : 1) - 150;
    if (q <= 0 && q > -24 && !(c & ((1u << -q) - 1))) return (decimal){c >> -q, 0}; /* a small integer */

    bool even = !(c & 1), lower_edge = fraction == 0 && exponent > 1;
    int k = floor_log10(q, lower_edge), h = q + floor_log2_of_power(-k) + 1;
    uint64_t g = powers[-k - POWER_MIN];
    uint32_t low = round_to_odd(g, (4 * c - 2 + lower_edge) << h) + !even; /* ends count when c is even */
    uint32_t mid = round_to_odd(g, 4 * c << h);
    uint32_t high = round_to_odd(g, (4 * c + 2) << h) - !even;

    uint32_t s = mid / 4;
    if (s >= 10) {
        uint32_t t = s / 10;
        bool below = low <= 40 * t, above = 40 * t + 40 <= high;
        if (below != above) return (decimal){t + above, k + 1};
    }
    bool below = low <= 4 * s, above = 4 * s + 4 <= high;
    if (below != above) return (decimal){s + above, k};
    uint32_t half = 4 * s + 2;
    return (decimal){s + (mid > half || (mid == half && (s & 1))), k};
}

/* Two digits at a time: half the divisions. */
static char *put_digits(char *out, uint32_t digits, int count) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    int i = count;
    for (; i >= 2; i -= 2, digits /= 100) memcpy(out + i - 2, pairs + digits % 100 * 2, 2);
    if (i) out[0] = (char)('0' + digits % 10);
    return out + count;
}

static int count_digits(uint32_t v) { /* shortest floats mostly have 7 to 9 */
    static const uint32_t limits[] = {10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    int n = 10;
    while (n > 1 && v < limits[n - 2]) n--;
    return n;
}

/* Lays out digits (count of them) so that the first stands at 10^power. Plain between 1e-5 and 1e9. */
static char *put_decimal(char *p, uint32_t digits, int count, int power) {
    if (power >= -5 && power < 0) { /* 0.000123 */
        memcpy(p, "0.0000", 6);
        return put_digits(p + 1 - power, digits, count);
    }
    if (power >= 0 && power < 9) {
        if (count <= power + 1) { /* 12300.0 */
            p = put_digits(p, digits, count);
            for (int i = count; i <= power; i++) *p++ = '0';
            memcpy(p, ".0", 2);
            return p + 2;
        }
        put_digits(p + 1, digits, count); /* 12.3 */
        memmove(p, p + 1, (size_t)power + 1);
        p[power + 1] = '.';
        return p + count + 1;
    }
    put_digits(p + 1, digits, count); /* 1.23e-7 */
    p[0] = p[1];
    p[1] = '.';
    p += count > 1 ? count + 1 : 1;
    *p++ = 'e';
    if (power < 0) *p++ = '-', power = -power;
    return put_digits(p, (uint32_t)power, power >= 10 ? 2 : 1);
}

size_t qv__float_shortest(float value, char out[QV__FLOAT_TEXT_MAX]) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t fraction = bits & 0x7FFFFFu, exponent = bits >> 23 & 0xFFu;
    char *p = out;
    if (exponent == 0xFF) {
        memcpy(out, "null", 5);
        return 4;
    }
    if (bits >> 31) *p++ = '-';
    if (!fraction && !exponent) {
        memcpy(p, "0.0", 4);
        return (size_t)(p - out) + 3;
    }
    decimal d = shortest(fraction, exponent);
    while (d.digits % 10 == 0) d.digits /= 10, d.exponent++;
    int count = count_digits(d.digits);
    p = put_decimal(p, d.digits, count, d.exponent + count - 1);
    *p = 0;
    return (size_t)(p - out);
}

static qv_status out_of_range(const char *text, int64_t min, int64_t max, qv_error *err) {
    return qv__fail(err, QV_INVALID_ARGUMENT, "%s is out of range: %lld to %lld", text, (long long)min, (long long)max);
}

qv_status qv__parse_int(const char *text, int64_t min, int64_t max, int64_t *out, qv_error *err) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text))
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.100s\" is not a whole number", text);
    if (errno || v < min || v > max) return out_of_range(text, min, max, err);
    *out = v;
    return QV_OK;
}

qv_status qv__parse_count(const char *text, int64_t min, int64_t max, int64_t *out, qv_error *err) {
    size_t size = strlen(text);
    const char *suffixes = "kmgtKMGT", *found = size > 1 ? strchr(suffixes, text[size - 1]) : NULL;
    if (!found) return qv__parse_int(text, min, max, out, err);
    int power = (int)(found - suffixes) % 4 + 1;
    bool binary = found - suffixes >= 4;
    char number[40], *end;
    if (size - 1 >= sizeof number || !(isdigit((unsigned char)text[0]) || text[0] == '-') ||
        strspn(text, "-0123456789.") != size - 1)
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.100s\" is not a number", text);
    memcpy(number, text, size - 1);
    number[size - 1] = 0;
    if (binary && strchr(number, '.'))
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%s\": a fraction takes a small letter (%s%c)", text, number,
                        tolower(text[size - 1]));
    double unit = pow(binary ? 1024 : 1000, power), v = strtod(number, &end);
    if (*end) return qv__fail(err, QV_INVALID_ARGUMENT, "\"%s\" is not a number", text);
    double product = round(v * unit);
    if (product < (double)min || product > (double)max || fabs(product) >= 0x1p62)
        return out_of_range(text, min, max, err);
    *out = (int64_t)product;
    return QV_OK;
}

qv_status qv__parse_double(const char *text, double min, double max, double *out, qv_error *err) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || isspace((unsigned char)*text) || !isfinite(v))
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.100s\" is not a number", text);
    if (v < min || v > max) return qv__fail(err, QV_INVALID_ARGUMENT, "%s is out of range: %g to %g", text, min, max);
    *out = v;
    return QV_OK;
}

qv_status qv__parse_fraction(const char *text, int64_t max, int64_t *i, int64_t *n, qv_error *err) {
    const char *slash = strchr(text, '/');
    char first[24];
    if (!slash || slash == text || (size_t)(slash - text) >= sizeof first)
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.100s\" is not of the form i/n, as in 0/4", text);
    memcpy(first, text, (size_t)(slash - text));
    first[slash - text] = 0;
    int64_t count, index;
    qv_status s = qv__parse_int(slash + 1, 1, max, &count, err);
    if (!s) s = qv__parse_int(first, 0, count - 1, &index, err);
    if (!s) *n = count, *i = index;
    return s;
}
