#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the valid character at p, or 0. */
static size_t valid_character(const unsigned char *p, size_t size) {
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0;
    size_t need = c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (need == 0 || size < need) return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (c == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
    if (c == 0xED && p[1] > 0x9F) return 0; /* surrogate */
    if (c == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (c == 0xF4 && p[1] > 0x8F) return 0; /* above U+10FFFF */
    return need;
}

size_t qv__utf8_valid_prefix(const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < size) {
        uint64_t eight;
        if (size - i >= 8 && (memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t n = valid_character(p + i, size - i);
        if (n == 0) break;
        i += n;
    }
    return i;
}

uint32_t qv__utf8_decode(const char *text, size_t size, size_t *length) {
    const unsigned char *p = (const unsigned char *)text;
    size_t n = valid_character(p, size);
    if (n <= 1) {
        *length = 1;
        return n ? p[0] : 0xFFFD;
    }
    *length = n;
    uint32_t code = p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) code = code << 6 | (p[i] & 0x3F);
    return code;
}

size_t qv__utf8_count(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80; /* all but the later bytes */
    return count;
}
