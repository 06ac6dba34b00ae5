/* What the decoder takes, it gives back the same when encoded again, line breaks and padding aside. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *out = malloc(qv__base64_decoded_max(size) + 1);
    size_t decoded = 0, bad = SIZE_MAX;
    if (qv__base64_decode((const char *)data, size, out, &decoded, &bad)) {
        if (decoded > qv__base64_decoded_max(size)) abort();
        char *text = malloc(qv__base64_encoded_size(decoded) + 1);
        qv__base64_encode(out, decoded, text);
        size_t k = 0;
        for (size_t i = 0; i < size; i++)
            if (data[i] != '\n' && data[i] != '\r' && data[i] != '=' && data[i] != (uint8_t)text[k++]) abort();
        free(text);
    } else if (bad > size) {
        abort();
    }
    free(out);
    return 0;
}
