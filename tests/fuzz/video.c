/* Any bytes are a video within the limits or an error with a text; a frame reached by a jump equals the one reached
 * from the start. */
#include <stdlib.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const qv__media_limits limits = {.max_bytes = 1 << 20,
                                        .max_pixels = 1 << 18,
                                        .max_side = 1 << 12,
                                        .max_video_frames = 500,
                                        .max_decoded_bytes = 1 << 24,
                                        .max_seconds = 5};

static qv_status read_last(const uint8_t *data, size_t size, bool from_start, qv__bitmap *last) {
    qv__video *v = NULL;
    qv__video_facts facts = {0};
    qv__bitmap frames[2] = {0};
    qv_error err = {0};
    qv_status status = qv__video_open(data, size, &limits, &v, &facts, &err);
    if (!status && (facts.frames < 1 || facts.frames > limits.max_video_frames || !(facts.rate > 0))) abort();
    int64_t indices[2] = {from_start ? 0 : facts.frames - 1, facts.frames - 1};
    if (!status) status = qv__video_read(v, indices, 2, frames, &err);
    if (status && (err.code != status || !err.message[0] || frames[0].rgb || frames[1].rgb)) abort();
    qv__bitmap_clear(&frames[0]);
    *last = frames[1];
    qv__video_close(&v);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__bitmap b;
    for (int from_start = 0; from_start < 2; from_start++) {
        read_last(data, size, from_start, &b);
        qv__bitmap_clear(&b);
    }
    return 0;
}
