/* Arbitrary bytes as the stored answers of a checkpoint. A case that is taken has values and lengths, and inputs whose
 * parts can be read. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cli/expected.h"

static void demand(bool condition) {
    if (!condition) __builtin_trap();
}

static void read_parts(const qv_input *input) {
    for (size_t i = 0; i < input->part_count; i++) {
        const qv_part *p = &input->parts[i];
        demand(p->data != NULL || !p->size);
        if (p->kind == QV_PART_IMAGE_FILE) demand(strlen(p->data) == p->size);
    }
}

static void read_case(const qv__expected_case *c) {
    size_t prompts = c->document_count ? c->document_count : 1;
    double sum = 0;
    demand(c->name && c->value_count);
    for (size_t i = 0; i < c->value_count; i++) sum += c->values[i];
    demand(!isnan(sum) || c->value_count > 1); /* JSON has no such number; sums of large ones may become one */
    for (size_t i = 0; i < prompts; i++) demand(c->tokens[i] > 0);
    read_parts(&c->input);
    for (size_t i = 0; i < c->document_count; i++) read_parts(&c->documents[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__expected expected;
    qv_error err = {0};
    if (!qv__expected_parse((const char *)data, size, &expected, &err))
        for (size_t i = 0; i < expected.count; i++) {
            qv__expected_case c;
            if (!qv__expected_read(&expected, i, &c, &err)) read_case(&c);
            qv__expected_clear(&c);
        }
    qv__expected_close(&expected);
    return 0;
}
