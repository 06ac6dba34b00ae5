/* NFC: decompose each character, sort the marks of each run by combining class, compose. utf8proc does the first and
 * the last step character by character; its own sort takes quadratic time on a long run of marks, so the sort is
 * ours (counting sort, stable). Only the stretch around a character that may change is worked on: everything below
 * U+0300 is NFC as it stands, and so are CJK ideographs, kana, and precomposed Hangul not followed by a jamo.
 *
 * The reference normalises by the tables of Unicode 9. Unicode never changes the normal form of what was assigned
 * before, so only characters with a combining class or a decomposition assigned since then matter: to the reference
 * they are opaque (class 0, never composed), and so they are here. U+11A7 is too: it takes no part in Hangul
 * composition, but utf8proc 2.8 drops it behind a syllable. */
#include "text/unicode.h"

#include <string.h>

#include "base/utf8.h"

/* Characters that can be passed over: they neither change nor combine with what is in front of them. */
static bool is_inert(uint32_t c) {
    if (c < 0x300) return true;
    if (c >= 0x3400 && c < 0xA000) return true; /* CJK ideographs, hexagrams */
    if (c >= 0xAC00 && c < 0xD7A4) return true; /* Hangul syllables */
    return (c >= 0x3041 && c < 0x3097) || (c >= 0x30A1 && c < 0x30FB) || (c >= 0xFF01 && c < 0xFF60) ||
           (c >= 0x400 && c < 0x483) || (c >= 0x5D0 && c < 0x5EB) || (c >= 0x620 && c < 0x64B) ||
           (c >= 0x2010 && c < 0x2028) || (c >= 0x3001 && c < 0x3021);
}

static bool is_opaque(uint32_t c) {
    static const uint32_t ranges[][2] = {
        {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
        {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x11A7, 0x11A7},   {0x1715, 0x1715},   {0x1ABF, 0x1AFF},
        {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10570, 0x105FF}, {0x10D00, 0x10D8F}, {0x10E80, 0x10FDF},
        {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11800, 0x1184F},
        {0x11900, 0x1195F}, {0x119A0, 0x11AAF}, {0x11D00, 0x11DFF}, {0x11F00, 0x11F5F}, {0x16100, 0x1613F},
        {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E08F}, {0x1E100, 0x1E14F}, {0x1E290, 0x1E2FF},
        {0x1E4D0, 0x1E5FF}, {0x1E6C0, 0x1E6FF},
    };
    size_t low = 0, high = sizeof ranges / sizeof *ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof ranges / sizeof *ranges && c >= ranges[low][0];
}

static int class_of(int32_t c) {
    return utf8proc_get_property(c)->combining_class;
}

/* Sorts marks [0, n) by combining class, stably; scratch[n]. */
static void sort_marks(int32_t *marks, size_t n, int32_t *scratch) {
    if (n < 16) {
        for (size_t i = 1; i < n; i++) {
            int32_t mark = marks[i];
            size_t k = i;
            for (; k > 0 && class_of(marks[k - 1]) > class_of(mark); k--) marks[k] = marks[k - 1];
            marks[k] = mark;
        }
        return;
    }
    size_t starts[257] = {0};
    for (size_t i = 0; i < n; i++) starts[class_of(marks[i]) + 1]++;
    for (int c = 0; c < 256; c++) starts[c + 1] += starts[c];
    for (size_t i = 0; i < n; i++) scratch[starts[class_of(marks[i])]++] = marks[i];
    memcpy(marks, scratch, n * sizeof *marks);
}

static void order_marks(int32_t *codes, size_t n, int32_t *scratch) {
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && class_of(codes[end]) != 0) end++;
        if (end - i > 1) sort_marks(codes + i, end - i, scratch);
        i = end + 1;
    }
}

/* NFC of one stretch, appended. */
static bool append_stretch(qv__buffer *buffer, const char *text, size_t size) {
    /* Canonical decompositions have at most 4 code points; all characters but the first take 2 bytes or more. */
    size_t room = size * 2 + 8, n = 0, length;
    int32_t *codes = size > SIZE_MAX / 64 ? NULL : qv__alloc_array(room * 2, sizeof *codes);
    if (!codes) return buffer->failed = true, false;
    int32_t *scratch = codes + room;
    for (size_t i = 0; i < size; i += length) {
        int32_t c = (int32_t)qv__utf8_decode(text + i, size - i, &length);
        int boundary = 0;
        utf8proc_ssize_t made = utf8proc_decompose_char(c, codes + n, (utf8proc_ssize_t)(room - n),
                                                        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        if (made > 0 && (size_t)made <= room - n)
            n += (size_t)made;
        else
            codes[n++] = c;
    }
    order_marks(codes, n, scratch);
    utf8proc_ssize_t composed =
        utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < composed; i++) {
        utf8proc_uint8_t bytes[4];
        qv__buffer_append(buffer, bytes, (size_t)utf8proc_encode_char(codes[i], bytes));
    }
    qv__free(codes);
    return !buffer->failed && composed >= 0;
}

bool qv__nfc(const char *text, size_t size, qv__buffer *buffer, const char **out, size_t *out_size) {
    size_t i = 0, copied = 0, before = 0, length; /* before: start of the last inert character */
    bool changed = false;
    while (i < size) {
        if ((unsigned char)text[i] < 0xCC) { /* below U+0300 */
            before = i;
            i += (unsigned char)text[i] < 0x80 ? 1 : 2;
            continue;
        }
        uint32_t c = qv__utf8_decode(text + i, size - i, &length);
        if (is_inert(c)) {
            before = i;
            i += length;
            continue;
        }
        if (is_opaque(c)) { /* nothing behind it combines with what is in front */
            before = i += length;
            continue;
        }
        /* The stretch runs from the inert character in front to the one behind. */
        size_t start = before > copied ? before : copied;
        for (i += length; i < size; i += length)
            if (c = qv__utf8_decode(text + i, size - i, &length), is_inert(c) || is_opaque(c)) break;
        if (!changed) buffer->size = 0;
        changed = true;
        if (!qv__buffer_append(buffer, text + copied, start - copied) ||
            !append_stretch(buffer, text + start, i - start))
            return false;
        copied = before = i;
    }
    if (!changed) return *out = text, *out_size = size, true;
    if (!qv__buffer_append(buffer, text + copied, size - copied)) return false;
    return *out = buffer->data ? buffer->data : "", *out_size = buffer->size, true;
}
