/* Hashes. FNV-1a for names and tables that hold trusted keys; SHA-256 (nettle) where content decides. */
#ifndef QVEC_BASE_HASH_H
#define QVEC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define QV__FNV1A_START 0xCBF29CE484222325u

static inline uint64_t qv__fnv1a(uint64_t state, const void *data, size_t size) {
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) state = (state ^ p[i]) * 0x100000001B3u;
    return state;
}

/* Final mixing step of splitmix64: every input bit reaches every output bit. */
static inline uint64_t qv__mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void qv__sha256(const void *data, size_t size, uint8_t digest[32]);
void qv__sha256_hex(const void *data, size_t size, char hex[65]); /* lower case, NUL-terminated */
#endif
