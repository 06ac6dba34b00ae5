/* Arbitrary bytes as a safetensors file: what the header reader accepts lies inside the file and overlaps nothing. */
#include <stdint.h>

#include "store/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__safetensors_header header;
    qv_error err = {0};
    size_t length;
    if (size < 8 || qv__safetensors_length(data, size, &length, &err)) return 0;
    if (qv__safetensors_parse((const char *)data + 8, length, size, &header, &err)) return 0;
    uint64_t end = 8 + length;
    for (size_t i = 0; i < header.count; i++) {
        const qv__safetensors_entry *e = &header.entries[i];
        if (e->bytes == 0) continue;
        uint64_t elements = 1;
        for (int r = 0; r < e->rank; r++) elements *= (uint64_t)e->shape[r];
        if (e->offset < end || e->bytes > size - e->offset) __builtin_trap();
        if (e->usable && elements * qv__dtype_size(e->dtype) != e->bytes) __builtin_trap();
        end = e->offset + e->bytes;
    }
    qv__safetensors_clear(&header);
    return 0;
}
