/* vLLM's JSON flags about pictures and videos. */
#ifndef QVEC_CLI_LIMITS_H
#define QVEC_CLI_LIMITS_H

#include "qvec/qvec.h"

typedef struct {
    int max_images, max_videos; /* per input; 0: default, -1: none */
    qv_input defaults;          /* min_pixels, max_pixels, apply_orientation, fps, max_frames */
} qv__mm_limits;

/* Either text may be NULL. False: the reason has been printed. */
bool qv__mm_limits_read(const char *limit_mm_per_prompt, const char *mm_processor_kwargs, qv__mm_limits *out);
#endif
