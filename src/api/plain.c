/* Which requests are plain texts and nothing else. The list is of what is known to be cheap; all others, and what later
 * forms may bring, take the way over the pool. */
#include <string.h>

#include "api/job.h"

enum { ITEMS_MAX = 16 };

/* Fields whose value is a setting, or texts or token ids as they are. None names a picture, a video or a file. */
static const char *const plain_fields[] = {
    "dimensions",
    "documents",
    "embed_dtype",
    "embedding_type",
    "encoding_format",
    "endianness",
    "input",
    "inputs",
    "input_type",
    "instruction",
    "model",
    "normalize",
    "normalized",
    "prompt",
    "query",
    "return_documents",
    "task",
    "text",
    "texts",
    "text_1",
    "text_2",
    "top_n",
    "truncate_prompt_tokens",
    "user",
};

static bool is_plain_field(const char *name) {
    for (size_t i = 0; i < sizeof plain_fields / sizeof *plain_fields; i++)
        if (strcmp(plain_fields[i], name) == 0) return true;
    return false;
}

/* A scalar, a list of token ids, or a few texts or lists of token ids: each makes an item. */
static bool is_plain_value(const json_t *value) {
    size_t count = json_array_size(value); /* 0 of what is no list */
    if (json_is_object(value) || (count > ITEMS_MAX && !json_is_integer(json_array_get(value, 0)))) return false;
    for (size_t i = 0; i < count; i++)
        if (json_is_object(json_array_get(value, i))) return false;
    return true;
}

bool qv__body_is_plain(const json_t *root) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value) {
        if (!is_plain_field(name) || !is_plain_value(value)) return false;
    }
    return true;
}
