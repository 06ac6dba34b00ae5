/* Arbitrary bytes as tokenizer.json; what opens must encode a text without fault. */
#include <stdint.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "the  abc\n\naaaa we\xCC\x81rd <|end|> 'S 12\xE6\xBC\xA2";
    qv_error err = {0};
    qv__tokenizer *t;
    qv__ids ids = {0};
    if (qv__tokenizer_parse((const char *)data, size, &t, &err)) return 0;
    for (int post = 0; post < 2; post++) qv__tokenizer_encode(t, text, sizeof text - 1, post, 0, &ids, &err);
    for (size_t i = 0; i < ids.size; i++)
        if (ids.data[i] < 0 || ids.data[i] >= qv__tokenizer_size(t)) __builtin_trap();
    qv__ids_clear(&ids);
    qv__tokenizer_close(&t);
    return 0;
}
