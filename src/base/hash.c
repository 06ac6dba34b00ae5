#include "base/hash.h"

#include <nettle/sha2.h>

void qv__sha256(const void *data, size_t size, uint8_t digest[32]) {
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, size, data);
    sha256_digest(&context, 32, digest);
}

void qv__sha256_hex(const void *data, size_t size, char hex[65]) {
    uint8_t digest[32];
    qv__sha256(data, size, digest);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
}
