#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "check.h"

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The significant digits of a number's text, without sign, point, leading and trailing zeros. */
static int significant(const char *text, char *digits) {
    int n = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n || *text != '0')) digits[n++] = *text;
    while (n && digits[n - 1] == '0') n--;
    digits[n] = 0;
    return n;
}

static bool valid_json_number(const char *p) {
    if (*p == '-') p++;
    if (*p == '0')
        p++;
    else if (*p >= '1' && *p <= '9')
        while (*p >= '0' && *p <= '9') p++;
    else
        return false;
    if (*p == '.') {
        if (!(p[1] >= '0' && p[1] <= '9')) return false;
        for (p++; *p >= '0' && *p <= '9'; p++) {
        }
    }
    if (*p == 'e') {
        p += p[1] == '-' ? 2 : 1;
        if (!(*p >= '0' && *p <= '9')) return false;
        while (*p >= '0' && *p <= '9') p++;
    }
    return *p == 0;
}

/* The brute force: for 1..9 digits the correctly rounded text and both its neighbours in the last digit;
 * among those that read back, the closest in exact arithmetic (double has 29 bits to spare). */
static int brute(float value, double *closest) {
    for (int n = 1; n <= 9; n++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", n - 1, (double)value);
        int exponent = atoi(strchr(text, 'e') + 1);
        bool found = false;
        char digits[16];
        int at = 0;
        for (const char *c = text; *c != 'e'; c++)
            if (*c >= '0' && *c <= '9') digits[at++] = *c;
        digits[at] = 0;
        long long middle = atoll(digits);
        for (long long d = middle - 1; d <= middle + 1; d++) {
            char candidate[64];
            snprintf(candidate, sizeof candidate, "%s%llde%d", signbit(value) ? "-" : "", d, exponent - n + 1);
            double exact = strtod(candidate, NULL);
            if (d <= 0 || strtof(candidate, NULL) != value) continue;
            if (!found || fabs(exact - (double)value) < fabs(*closest - (double)value)) *closest = exact;
            found = true;
        }
        if (found) return n;
    }
    return 99;
}

static void check_one(uint32_t bits, bool against_brute) {
    float value = from_bits(bits);
    char text[QV__FLOAT_TEXT_MAX], digits[40];
    size_t size = qv__float_shortest(value, text);
    CHECK_INT(size, strlen(text));
    CHECK_MSG(size <= 16, "%s is too long", text);
    if (!isfinite(value)) {
        CHECK_STR(text, "null");
        return;
    }
    CHECK_MSG(valid_json_number(text), "%s is no JSON number", text);
    float back = strtof(text, NULL);
    CHECK_MSG(memcmp(&back, &value, 4) == 0, "%s does not read back to %a", text, (double)value);
    if (!against_brute || value == 0) return;
    double closest = 0;
    int expected = brute(value, &closest), got = significant(text, digits);
    CHECK_MSG(got <= expected, "%s for %a: %d digits are enough", text, (double)value, expected);
    CHECK_MSG(got == expected, "%s for %a: shorter than the brute force found", text, (double)value);
    double slack = fabs((double)value) * 0x1p-50; /* exact ties differ by double's own rounding */
    CHECK_MSG(fabs(strtod(text, NULL) - (double)value) <= fabs(closest - (double)value) + slack,
              "%s for %a: %.9g is closer", text, (double)value, closest);
}

TEST(known_floats) {
    static const struct {
        float value;
        const char *text;
    } rows[] = {
        {0.0f, "0.0"},
        {-0.0f, "-0.0"},
        {1.0f, "1.0"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {0.3f, "0.3"},
        {1e-5f, "0.00001"},
        {1e-6f, "1e-6"},
        {123456.78f, "123456.78"},
        {16777216.0f, "16777216.0"},
        {1e9f, "1e9"},
        {3.4028235e38f, "3.4028235e38"},
        {1.17549435e-38f, "1.1754944e-38"},
        {1e-45f, "1e-45"},
        {2.5e-41f, "2.5e-41"},
        {0.0353862233f, "0.035386223"},
        {100.0f, "100.0"},
        {INFINITY, "null"},
        {NAN, "null"},
        {9.5367431640625e-7f, "9.536743e-7"},
        {33554432.0f, "33554432.0"},
        {8388608.5f, "8388608.0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[QV__FLOAT_TEXT_MAX];
        qv__float_shortest(rows[i].value, text);
        CHECK_STR(text, rows[i].text);
    }
}

TEST(every_exponent_at_its_edges) {
    for (uint32_t sign = 0; sign < 2; sign++)
        for (uint32_t exponent = 0; exponent < 256; exponent++)
            for (uint32_t i = 0; i < 40; i++) {
                check_one(sign << 31 | exponent << 23 | i, true);
                check_one(sign << 31 | exponent << 23 | (0x7FFFFF - i), true);
                check_one(sign << 31 | exponent << 23 | (0x400000 - 20 + i), true);
            }
}

TEST(all_small_denormals) {
    for (uint32_t bits = 0; bits < 20000; bits++) check_one(bits, true);
}

TEST(random_bits_are_shortest_and_closest) {
    uint64_t state = check_seed();
    for (int i = 0; i < 200000; i++) check_one((uint32_t)(check_random(&state) >> 32), true);
    for (int i = 0; i < 100000; i++) /* the range of embedding values */
        check_one((uint32_t)(check_random(&state) >> 40) % 0x04000000u | 0x3A000000u, true);
}

TEST(millions_read_back) {
    uint64_t state = check_seed() + 1;
    for (int i = 0; i < 2000000; i++) check_one((uint32_t)(check_random(&state) >> 32), false);
}

TEST(speed_is_tens_of_millions_a_second) { /* a floor far below what any machine does; prints the figure */
    enum { COUNT = 1 << 20 };
    static float values[COUNT];
    uint64_t state = check_seed();
    for (int i = 0; i < COUNT; i++) values[i] = (float)(check_uniform(&state) * 0.1);
    int64_t start = qv__now_ns();
    size_t total = 0;
    char text[QV__FLOAT_TEXT_MAX];
    for (int i = 0; i < COUNT; i++) total += qv__float_shortest(values[i], text);
    double rate = COUNT / ((double)(qv__now_ns() - start) * 1e-9);
    printf("# %.1f million floats a second, %.2f bytes each\n", rate * 1e-6, (double)total / COUNT);
    CHECK(rate > 5e5);
}

TEST(counts_as_typed_after_flags) {
    static const struct {
        const char *text;
        long long value; /* -1: must fail */
    } rows[] = {
        {"0", 0},
        {"8192", 8192},
        {"8k", 8000},
        {"1K", 1024},
        {"25.6k", 25600},
        {"2m", 2000000},
        {"1M", 1 << 20},
        {"1G", 1 << 30},
        {"1.5K", -1},
        {"", -1},
        {"k", -1},
        {"x", -1},
        {"8kk", -1},
        {"8 k", -1},
        {" 8", -1},
        {"1e3", -1},
        {"1e3k", -1},
        {"0x10", -1},
        {"99999999999999999999", -1},
        {"9999999t", -1},
        {"-5", -1},
        {"-5k", -1},
        {"nank", -1},
        {"1.2.3k", -1},
        {"--1k", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t v = -7;
        qv_error err = {0};
        qv_status s = qv__parse_count(rows[i].text, 0, 1LL << 40, &v, &err);
        CHECK_MSG((rows[i].value < 0) == (s != QV_OK), "\"%s\": %s", rows[i].text, s ? err.message : "was accepted");
        if (s)
            CHECK_MSG(err.message[0] && v == -7, "\"%s\": no message", rows[i].text);
        else
            CHECK_INT(v, rows[i].value);
    }
}

TEST(doubles_and_fractions) {
    qv_error err = {0};
    double d;
    int64_t i, n;
    CHECK_OK(qv__parse_double("0.5", 0, 1, &d, &err), err);
    CHECK(d == 0.5);
    CHECK_INT(qv__parse_double("nan", 0, 1, &d, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__parse_double("2", 0, 1, &d, &err), QV_INVALID_ARGUMENT);
    CHECK_INT(qv__parse_double("", 0, 1, &d, &err), QV_INVALID_ARGUMENT);
    CHECK_OK(qv__parse_fraction("3/4", 100, &i, &n, &err), err);
    CHECK(i == 3 && n == 4);
    const char *bad[] = {"4/4", "-1/4", "1/0", "1", "/4", "1/", "a/b", "1/101", "1/2/3"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        CHECK_MSG(qv__parse_fraction(bad[k], 100, &i, &n, &err) == QV_INVALID_ARGUMENT, "%s was accepted", bad[k]);
}
