/* A tokenizer.json small enough for sweeps and fuzzing: the 256 bytes, a few merges, added tokens with every flag. */
#ifndef QVEC_TESTS_SMALL_TOKENIZER_H
#define QVEC_TESTS_SMALL_TOKENIZER_H

#include <stdio.h>

#include "text/internal.h"

/* The character that stands for a byte, as UTF-8, escaped for JSON. */
static inline void small_byte(FILE *f, int byte) {
    static int next_of[256];
    if (!next_of[0])
        for (int b = 0, next = 0x100; b < 256; b++)
            next_of[b] = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE ? b : next++;
    int c = next_of[byte];
    if (c == '"' || c == '\\')
        fprintf(f, "\\%c", c);
    else if (c < 0x80)
        fputc(c, f);
    else
        fprintf(f, "%c%c", 0xC0 | c >> 6, 0x80 | (c & 0x3F));
}

/* NUL-terminated, in a static buffer. extra: a piece of JSON in front of "model", "" or ending in a comma. */
static inline const char *small_tokenizer(const char *extra) {
    static const char *const merges[][2] = {{"a", "b"},   {"ab", "c"}, {"b", "c"}, {"a", "a"},
                                            {"aa", "aa"}, {"Ġ", "t"},  {"h", "e"}, {"Ġt", "he"},
                                            {"a", "bc"},  {"Ã", "©"},  {"Ċ", "Ċ"}, {"Ġ", "Ġ"}};
    static char text[1 << 15];
    FILE *f = fmemopen(text, sizeof text, "w");
    fprintf(f,
            "{\"version\":\"1.0\",\"added_tokens\":["
            "{\"id\":300,\"content\":\"<|end|>\",\"special\":true,\"normalized\":false},"
            "{\"id\":301,\"content\":\"<|end\",\"lstrip\":true,\"rstrip\":true,\"normalized\":false},"
            "{\"id\":302,\"content\":\"wo\\u0065\\u0301rd\",\"single_word\":true,\"normalized\":true}],"
            "\"normalizer\":{\"type\":\"NFC\"},%s",
            extra);
    if (!*extra)
        fprintf(f, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
                   "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},"
                   "{\"SpecialToken\":{\"id\":\"E\"}}],\"special_tokens\":{\"E\":{\"ids\":[300]}}},");
    fprintf(f, "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    int id = 0;
    for (; id < 256; id++) {
        fprintf(f, "%s\"", id ? "," : "");
        small_byte(f, id);
        fprintf(f, "\":%d", id);
    }
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        bool again = i == 8; /* "a"+"bc" makes "abc", which is there */
        if (!again) fprintf(f, ",\"%s%s\":%d", merges[i][0], merges[i][1], id++);
    }
    fprintf(f, "},\"merges\":[");
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        fprintf(f, i % 2 ? "%s[\"%s\",\"%s\"]" : "%s\"%s %s\"", i ? "," : "", merges[i][0], merges[i][1]);
    fprintf(f, "]}}");
    fclose(f);
    return text;
}
#endif
