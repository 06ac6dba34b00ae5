#include "store/names.h"

#include <stdio.h>
#include <string.h>

/* The first row whose prefix matches decides. Longer prefixes stand before those they begin with. */
static const struct {
    const char *prefix, *published;
} forms[] = {
    {"model.language_model.", "model.language_model."}, /* published */
    {"model.visual.", "model.visual."},
    {"lm_head.", "lm_head."},
    {"language_model.lm_head.", "lm_head."}, /* towers wrapped as whole models */
    {"language_model.model.", "model.language_model."},
    {"language_model.", "model.language_model."}, /* without the leading "model." */
    {"visual.", "model.visual."},
    {"model.lm_head.", "lm_head."},
    {"model.layers.", "model.language_model.layers."}, /* the old form: the decoder is `model` itself */
    {"model.embed_tokens.", "model.language_model.embed_tokens."},
    {"model.norm.", "model.language_model.norm."},
    {"layers.", "model.language_model.layers."},
    {"embed_tokens.", "model.language_model.embed_tokens."},
    {"norm.", "model.language_model.norm."},
};

bool qv__tensor_name(const char *name, char *out, size_t size) {
    const char *published = "", *rest = name;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i].prefix);
        if (strncmp(name, forms[i].prefix, n)) continue;
        published = forms[i].published;
        rest = name + n;
        break;
    }
    int n = snprintf(out, size, "%s%s", published, rest);
    return n >= 0 && (size_t)n < size;
}
