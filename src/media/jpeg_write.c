#include "media/jpeg_write.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "base/error.h"

enum { SIDE_MAX = 65535 };

typedef struct {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    unsigned char *bytes; /* libjpeg's, by malloc */
    unsigned long size;
    char reason[JMSG_LENGTH_MAX];
} writer;

static void on_error(j_common_ptr c) {
    writer *w = c->client_data;
    c->err->format_message(c, w->reason);
    longjmp(w->failed, 1);
}

static void ignore_text(j_common_ptr c) {
    (void)c;
}

/* Apart from its caller, whose variables a jump would leave undefined. False: reason tells why. */
static bool compress(writer *w, const uint8_t *rgb, int height, int width, int quality) {
    if (setjmp(w->failed)) return false;
    jpeg_create_compress(&w->c);
    jpeg_mem_dest(&w->c, &w->bytes, &w->size);
    w->c.image_width = (JDIMENSION)width;
    w->c.image_height = (JDIMENSION)height;
    w->c.input_components = 3;
    w->c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&w->c);
    jpeg_set_quality(&w->c, quality, TRUE);
    jpeg_start_compress(&w->c, TRUE);
    while (w->c.next_scanline < w->c.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)w->c.next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(&w->c, &row, 1);
    }
    jpeg_finish_compress(&w->c);
    return true;
}

qv_status qv__jpeg_write(const uint8_t *rgb, int height, int width, int quality, qv__buffer *out, qv_error *err) {
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "a JPEG picture of %d x %d; sides of 1 to %d", height, width,
                        SIDE_MAX);
    writer *w = qv__calloc(1, sizeof *w);
    if (!w) return qv__fail(err, QV_NO_MEMORY, "out of memory for a JPEG picture");
    w->c.err = jpeg_std_error(&w->errors);
    w->c.client_data = w;
    w->errors.error_exit = on_error;
    w->errors.output_message = ignore_text;
    qv_status status = QV_OK;
    if (!compress(w, rgb, height, width, quality))
        status = qv__fail(err, QV_NO_MEMORY, "a JPEG picture cannot be written: %s", w->reason);
    else if (!qv__buffer_append(out, w->bytes, w->size))
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for a JPEG picture of %lu bytes", w->size);
    jpeg_destroy_compress(&w->c);
    free(w->bytes);
    qv__free(w);
    return status;
}
