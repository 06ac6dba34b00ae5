/* The character classes that the tokenizer and the prompt need, by utf8proc's tables. */
#ifndef QVEC_TEXT_UNICODE_H
#define QVEC_TEXT_UNICODE_H

#include <utf8proc.h>

#include "base/memory.h"
#include "qvec/qvec.h"

/* Unicode's White_Space. */
static inline bool qv__is_space(uint32_t c) {
    if (c < 0x85) return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* \w of UTS #18: Alphabetic, marks, decimal digits, connectors, joiners. The ranges are Other_Alphabetic symbols. */
static inline bool qv__is_word(uint32_t c) {
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default:
        return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
               (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
    }
}

/* NFC of valid UTF-8, in time linear in the text. *out points into `text` when that is NFC already, else into
 * `buffer`. False: out of memory. */
bool qv__nfc(const char *text, size_t size, qv__buffer *buffer, const char **out, size_t *out_size);
#endif
