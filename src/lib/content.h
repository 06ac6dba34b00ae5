/* The parts of an input, ready for a prompt: media loaded, decoded, resized and named by their hash. */
#ifndef QVEC_LIB_CONTENT_H
#define QVEC_LIB_CONTENT_H

#include "lib/session.h"

typedef struct {
    qv__prompt_part *parts; /* [count] */
    size_t count;
    int64_t tokens; /* of its pictures and videos */
} qv__content;

/* Texts are pointed to, everything else lies in `arena`. wishes: whose pixel and frame limits hold. Errors name the
 * part: "image 2: ...", "video 1: frame 3: ...". Stops with QV_TOO_LONG as soon as the media alone, with
 * `tokens_before`, would not fit the model. The input must not hold token ids. */
qv_status qv__content_make(const qv_model *model, const qv_input *input, const qv_input *wishes,
                           const char *relative_to, int64_t tokens_before, qv__arena *arena, qv__content *out,
                           qv_error *err);
#endif
