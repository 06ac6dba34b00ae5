#include "base/base64.h"

#include <pthread.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t qv__base64_encoded_size(size_t size) {
    size_t groups = size / 3 + (size % 3 != 0), total;
    return __builtin_mul_overflow(groups, (size_t)4, &total) ? SIZE_MAX : total;
}

/* The text of twelve bits: half as many look-ups as with one character each. */
static char pairs[4096][2];
static pthread_once_t pairs_once = PTHREAD_ONCE_INIT;

static void make_pairs(void) {
    for (int i = 0; i < 4096; i++) {
        pairs[i][0] = alphabet[i >> 6];
        pairs[i][1] = alphabet[i & 63];
    }
}

void qv__base64_encode(const void *data, size_t size, char *out) {
    const uint8_t *in = data;
    size_t whole = size / 3;
    pthread_once(&pairs_once, make_pairs);
    for (size_t i = 0; i < whole; i++, in += 3, out += 4) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        memcpy(out, pairs[v >> 12], 2);
        memcpy(out + 2, pairs[v & 4095], 2);
    }
    size_t rest = size % 3;
    if (!rest) return;
    uint32_t v = (uint32_t)in[0] << 16 | (rest == 2 ? (uint32_t)in[1] << 8 : 0);
    out[0] = alphabet[v >> 18];
    out[1] = alphabet[v >> 12 & 63];
    out[2] = rest == 2 ? alphabet[v >> 6 & 63] : '=';
    out[3] = '=';
}

size_t qv__base64_decoded_max(size_t size) {
    return size / 4 * 3 + size % 4;
}

enum { BAD = 0, BREAK = 1, PAD = 2, DIGIT = 64 };

/* DIGIT + value of a character of the alphabet, or one of the marks above. */
static const uint8_t values[256] = {
    ['\n'] = BREAK,
    ['\r'] = BREAK,
    ['='] = PAD,
    ['+'] = DIGIT + 62,
    ['/'] = DIGIT + 63,
    ['A'] = 64,
    65,
    66,
    67,
    68,
    69,
    70,
    71,
    72,
    73,
    74,
    75,
    76,
    77,
    78,
    79,
    80,
    81,
    82,
    83,
    84,
    85,
    86,
    87,
    88,
    89,
    ['a'] = 90,
    91,
    92,
    93,
    94,
    95,
    96,
    97,
    98,
    99,
    100,
    101,
    102,
    103,
    104,
    105,
    106,
    107,
    108,
    109,
    110,
    111,
    112,
    113,
    114,
    115,
    ['0'] = 116,
    117,
    118,
    119,
    120,
    121,
    122,
    123,
    124,
    125,
};

static bool fail_at(size_t offset, size_t *bad_offset) {
    if (bad_offset) *bad_offset = offset;
    return false;
}

/* Only padding and line breaks may follow the first '='. `have`: characters in the last group. */
static bool check_padding(const char *text, size_t size, size_t i, int have, size_t *bad_offset) {
    int pads = 0;
    size_t first = i;
    for (; i < size; i++) {
        uint8_t v = values[(uint8_t)text[i]];
        if (v == PAD)
            pads++;
        else if (v != BREAK)
            return fail_at(i, bad_offset);
    }
    if (pads && (have < 2 || pads != 4 - have)) return fail_at(first, bad_offset);
    return true;
}

bool qv__base64_decode(const char *text, size_t size, uint8_t *out, size_t *decoded, size_t *bad_offset) {
    uint8_t *start = out;
    uint32_t group = 0;
    int have = 0;
    size_t i = 0;
    while (i < size) {
        if (have == 0) { /* whole groups at once */
            for (; size - i >= 4; i += 4, out += 3) {
                uint32_t a = values[(uint8_t)text[i]], b = values[(uint8_t)text[i + 1]];
                uint32_t c = values[(uint8_t)text[i + 2]], d = values[(uint8_t)text[i + 3]];
                if (!(a & b & c & d & DIGIT)) break;
                uint32_t v = (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63);
                out[0] = (uint8_t)(v >> 16);
                out[1] = (uint8_t)(v >> 8);
                out[2] = (uint8_t)v;
            }
            if (i == size) break;
        }
        uint8_t v = values[(uint8_t)text[i]];
        if (v == PAD) break;
        if (v == BAD) return fail_at(i, bad_offset);
        i++;
        if (v == BREAK) continue;
        group = group << 6 | (v & 63);
        if (++have < 4) continue;
        *out++ = (uint8_t)(group >> 16);
        *out++ = (uint8_t)(group >> 8);
        *out++ = (uint8_t)group;
        have = 0;
        group = 0;
    }
    if (!check_padding(text, size, i, have, bad_offset)) return false;
    if (have == 1) return fail_at(i, bad_offset);
    if (have == 2) {
        if (group & 15) return fail_at(i, bad_offset);
        *out++ = (uint8_t)(group >> 4);
    } else if (have == 3) {
        if (group & 3) return fail_at(i, bad_offset);
        *out++ = (uint8_t)(group >> 10);
        *out++ = (uint8_t)(group >> 2);
    }
    *decoded = (size_t)(out - start);
    return true;
}
