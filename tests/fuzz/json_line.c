/* Arbitrary bytes as a line of JSON Lines. A line that is taken has each member read, and its answer, with the members
 * that were carried along, is a JSON object again; so is the answer of a line that is refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/console.h"
#include "cli/record.h"

static const char *const fields[] = {"id",         "text",       "image",      "video",      "instruction",
                                     "prompt",     "dimensions", "min_pixels", "max_pixels", "fps",
                                     "max_frames", "max_length", "normalize",  NULL};
static const char *const answers[] = {"embedding", "tokens", "truncated", "error", NULL};

static void demand(bool condition) {
    if (!condition) __builtin_trap();
}

static void check_object(const qv__buffer *text) {
    json_error_t e;
    demand(!text->failed);
    json_t *root =
        json_loadb(text->data, text->size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &e);
    demand(json_is_object(root));
    json_decref(root);
}

static void read_members(qv__record *r) {
    qv_input input = {0};
    int64_t dimensions = 7;
    bool normalize = true;
    qv__record_parts(r, r->root, "line", &input);
    for (size_t i = 0; i < input.part_count; i++) {
        const qv_part *p = &input.parts[i];
        demand(p->data != NULL);
        if (p->kind == QV_PART_TEXT) demand(strlen(p->data) <= p->size);
    }
    if (!qv__record_wishes(r, &input)) demand(input.fps >= 0 && input.max_frames >= 0 && input.min_pixels >= 0);
    qv__record_prompt(r, &input.prompt);
    qv__record_bool(r, "normalize", &normalize);
    if (!qv__record_int(r, "dimensions", 1, 4096, &dimensions)) demand(dimensions >= 1 && dimensions <= 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const qv__record_names names = {fields, answers};
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    qv_error err = {0};
    qv__line line = {.text = text, .size = size, .number = 3, .line = 4};
    qv__record record;
    qv__buffer out = {0};
    if (qv__record_open(&record, &line, &names, &err)) {
        qv__record_write_error(&record, &err, &out);
    } else {
        read_members(&record);
        qv__record_write_head(&record, &out);
        qv__buffer_puts(&out, "}");
    }
    check_object(&out);
    qv__buffer_clear(&out);
    qv__record_clear(&record);
    free(text);
    return 0;
}
