/* The resamplers for test_resize.py: any number of jobs on stdin, each a line "pillow|torch HEIGHT WIDTH TO_HEIGHT
 * TO_WIDTH" and the picture's RGB bytes; the resized bytes of each on stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prep/image.h"

int main(void) {
    char mode[8];
    int h, w, to_h, to_w;
    while (scanf("%7s %d %d %d %d", mode, &h, &w, &to_h, &to_w) == 5 && getchar() == '\n') {
        size_t size = (size_t)h * (size_t)w * 3, to_size = (size_t)to_h * (size_t)to_w * 3;
        uint8_t *src = malloc(size), *dst = malloc(to_size);
        qv_error err = {0};
        if (!src || !dst || fread(src, 1, size, stdin) != size) return 1;
        if ((strcmp(mode, "torch") == 0 ? qv__resize_bicubic_torch : qv__resize_bicubic)(src, h, w, dst, to_h, to_w,
                                                                                         &err))
            return fprintf(stderr, "%s\n", err.message), 1;
        fwrite(dst, 1, to_size, stdout);
        free(src);
        free(dst);
    }
    return 0;
}
