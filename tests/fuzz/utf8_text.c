/* Arbitrary bytes as text. When it is valid UTF-8 it must encode, and without NFC's changes the tokens' bytes must
 * spell the text again. */
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "small_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static qv__tokenizer *t;
    const char *text = (const char *)data, *normal;
    size_t normal_size, at = 0, n;
    qv_error err = {0};
    qv__ids ids = {0};
    qv__buffer buffer = {0};
    if (!t) {
        const char *json = small_tokenizer("");
        if (qv__tokenizer_parse(json, strlen(json), &t, &err)) __builtin_trap();
    }
    qv_status status = qv__tokenizer_encode(t, text, size, false, 0, &ids, &err);
    if ((qv__utf8_valid_prefix(text, size) == size) != (status == QV_OK)) __builtin_trap();
    if (status == QV_OK && qv__nfc(text, size, &buffer, &normal, &normal_size)) {
        bool plain = true; /* no added token: those may swallow white space */
        for (size_t i = 0; i < ids.size; i++) plain &= ids.data[i] < 300;
        for (size_t i = 0; plain && i < ids.size; i++, at += n) {
            const char *bytes = qv__tokenizer_bytes(t, ids.data[i], &n);
            if (!bytes || n > normal_size - at || memcmp(bytes, normal + at, n)) __builtin_trap();
        }
        if (plain && at != normal_size) __builtin_trap();
    }
    qv__buffer_clear(&buffer);
    qv__ids_clear(&ids);
    return 0;
}
