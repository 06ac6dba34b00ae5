/* API keys: kept as SHA-256, all of them compared in full for every request, so that time tells nothing. */
#include "api/key.h"

#include <string.h>
#include <strings.h>

#include "base/hash.h"

qv_status qv__keys_open(qv__api *api, qv_error *err) {
    int count = api->options.api_key_count;
    if (count <= 0) return QV_OK;
    api->keys = qv__alloc_array((size_t)count, sizeof *api->keys);
    if (!api->keys) return qv__fail(err, QV_NO_MEMORY, "no memory for %d API keys", count);
    for (int i = 0; i < count; i++) {
        const char *key = api->options.api_keys[i];
        if (!*key) return qv__fail(err, QV_INVALID_ARGUMENT, "an API key is empty");
        qv__sha256(key, strlen(key), api->keys[i]);
    }
    return QV_OK;
}

bool qv__key_fits(const qv__api *api, const char *authorization) {
    if (!api->keys) return true;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7)) return false;
    const char *key = authorization + 7;
    while (*key == ' ') key++;
    uint8_t digest[32];
    qv__sha256(key, strlen(key), digest);
    unsigned fits = 0;
    for (int i = 0; i < api->options.api_key_count; i++) {
        unsigned different = 0;
        for (int k = 0; k < 32; k++) different |= digest[k] ^ api->keys[i][k];
        fits |= different == 0;
    }
    return fits;
}
