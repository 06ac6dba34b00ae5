/* What an opened tokenizer holds, and the steps of encoding. Private to text/. */
#ifndef QVEC_TEXT_INTERNAL_H
#define QVEC_TEXT_INTERNAL_H

#include "text/added.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { QV__SPLITTERS_MAX = 4, QV__SUFFIX_MAX = 16 };

struct qv__tokenizer {
    qv__vocab vocab;
    qv__added added;
    qv__matcher plain, normalized; /* added tokens matched before and after normalisation */
    qv__splitter *splitters[QV__SPLITTERS_MAX];
    int splitter_count;
    bool nfc, ignore_merges;
    int32_t suffix[QV__SUFFIX_MAX];
    size_t suffix_count;
    int32_t size; /* highest id + 1 */
};

/* Splits of GPT-2 (ByteLevel with use_regex) and of Qwen2 (for folders without tokenizer.json). */
#define QV__GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define QV__QWEN_PATTERN                                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"  \
    "\\s+(?!\\S)|\\s+"

qv_status qv__tokenizer_add_split(qv__tokenizer *t, const char *pattern, size_t size, bool literal, qv__split_keep keep,
                                  qv_error *err);
/* Last step of opening: matchers, added ids against the vocabulary, the size. */
qv_status qv__tokenizer_seal(qv__tokenizer *t, qv_error *err);
qv_status qv__tokenizer_read_json(qv__tokenizer *t, const char *json, size_t size, qv_error *err);
qv_status qv__tokenizer_read_folder(qv__tokenizer *t, const char *folder, qv_error *err); /* vocab.json + merges.txt */

/* Byte-pair encoding of one piece: appends its ids. QV_NO_MEMORY, QV_TOO_LARGE (pieces of 1 GiB or more). */
qv_status qv__bpe(const qv__tokenizer *t, const char *text, size_t size, qv__ids *out, qv_error *err);
#endif
