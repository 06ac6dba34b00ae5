/* Arbitrary bytes as config.json. Numbers that are accepted must be safe to multiply: the list of tensors that follows
 * from them, as the dummy format makes it, has positive sizes. */
#include <stdint.h>

#include "store/dummy.h"

static bool check_shape(void *context, const char *name, int rank, const int64_t *shape) {
    int *tensors = context;
    double elements = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] <= 0) __builtin_trap();
        elements *= (double)shape[i];
    }
    if (!*name || rank < 1 || rank > QV__RANK_MAX || elements > 0x1p62) __builtin_trap();
    return ++*tensors < 2000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__config config;
    qv_error err = {0};
    int tensors = 0;
    if (qv__config_parse((const char *)data, size, &config, &err)) return 0;
    int sections = config.text.mrope_section[0] + config.text.mrope_section[1] + config.text.mrope_section[2];
    if (config.text.heads % config.text.kv_heads || 2 * sections != config.text.head_dim) __builtin_trap();
    qv__dummy_list(&config, check_shape, &tensors);
    return 0;
}
