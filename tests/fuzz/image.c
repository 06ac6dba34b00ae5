/* Any bytes are a picture within the limits or an error with a text; turned or not, its size is the same up to a swap.
 */
#include <stdlib.h>
#include <string.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const qv__media_limits limits = {
        .max_bytes = 1 << 20, .max_pixels = 1 << 20, .max_side = 1 << 13, .max_seconds = 5};
    for (int upright = 0; upright < 2; upright++) {
        qv__bitmap b;
        qv_error err = {0};
        qv_status status = qv__image_decode(data, size, upright, &limits, &b, &err);
        if (status) {
            if (b.rgb || err.code != status || !err.message[0]) abort();
            continue;
        }
        size_t pixels = (size_t)b.height * (size_t)b.width;
        if (pixels == 0 || pixels > 1 << 20) abort();
        uint8_t *copy = malloc(pixels * 3);
        memcpy(copy, b.rgb, pixels * 3); /* all of it is there */
        free(copy);
        qv__bitmap_clear(&b);
    }
    return 0;
}
