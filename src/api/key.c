#include "api/key.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/hash.h"

void qv__keys_open(qv__keys *keys) {
    pthread_rwlock_init(&keys->lock, NULL);
}

void qv__keys_close(qv__keys *keys) {
    pthread_rwlock_destroy(&keys->lock);
    qv__free(keys->digests);
}

qv_status qv__keys_set(qv__keys *keys, const char *const *texts, size_t count, qv_error *err) {
    uint8_t(*digests)[32] = qv__alloc_array(count + 1, sizeof *digests);
    if (!digests) return qv__fail(err, QV_NO_MEMORY, "no memory for %zu API keys", count);
    for (size_t i = 0; i < count; i++) {
        if (!*texts[i]) return qv__free(digests), qv__fail(err, QV_INVALID_ARGUMENT, "an API key is empty");
        qv__sha256(texts[i], strlen(texts[i]), digests[i]);
    }
    pthread_rwlock_wrlock(&keys->lock);
    void *before = keys->digests;
    keys->digests = digests;
    keys->count = count;
    pthread_rwlock_unlock(&keys->lock);
    qv__free(before);
    return QV_OK;
}

/* Zeros, the digest of no key that anybody knows, for a header that brings none. */
static void digest_of(const char *authorization, uint8_t out[32]) {
    memset(out, 0, 32);
    if (!authorization || strncasecmp(authorization, "Bearer ", 7)) return;
    const char *key = authorization + 7;
    while (*key == ' ') key++;
    qv__sha256(key, strlen(key), out);
}

bool qv__keys_needed(qv__keys *keys) {
    pthread_rwlock_rdlock(&keys->lock);
    bool needed = keys->count > 0;
    pthread_rwlock_unlock(&keys->lock);
    return needed;
}

bool qv__keys_fit(qv__keys *keys, const char *authorization, uint64_t *client) {
    uint8_t digest[32] = {0};
    unsigned fits = 0;
    uint64_t number;
    pthread_rwlock_rdlock(&keys->lock);
    if (keys->count) digest_of(authorization, digest);
    for (size_t i = 0; i < keys->count; i++) {
        unsigned different = 0;
        for (int k = 0; k < 32; k++) different |= digest[k] ^ keys->digests[i][k];
        fits |= different == 0;
    }
    memcpy(&number, digest, sizeof number);
    if (fits) *client = number | 1;
    fits |= keys->count == 0;
    pthread_rwlock_unlock(&keys->lock);
    return fits;
}
