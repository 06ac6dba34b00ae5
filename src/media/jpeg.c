/* JPEG through libjpeg-turbo with the reference's settings: exact integer DCT, smooth chroma upsampling.
 *
 * libjpeg would rather show something than fail. Here a warning that means missing or damaged picture data ends the
 * decode, and so does a file of several scans that stops before its end marker. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/error.h"
#include "base/memory.h"
#include "media/decode.h"

enum { MAX_SCANS = 500 }; /* a real progressive file has about ten; each scan costs a pass over the picture */

typedef struct {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    qv__decode *d;
    qv_status status;  /* set before the jump */
    bool ran_out;      /* libjpeg asked for bytes after the last */
    uint8_t *cmyk_row; /* [width][4] */
} jpeg;

/* ---- errors: every way out of libjpeg is a jump to decode() with status and text set ---- */

static _Noreturn void jump(jpeg *j, qv_status status) {
    j->status = status;
    longjmp(j->failed, 1);
}

static void on_error(j_common_ptr c) {
    jpeg *j = c->client_data;
    char reason[JMSG_LENGTH_MAX];
    c->err->format_message(c, reason);
    jump(j, qv__decode_fail(j->d, j->ran_out ? "it is cut off" : reason));
}

static void on_message(j_common_ptr c, int level) {
    static const int fatal[] = {JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_MUST_RESYNC, JWRN_ARITH_BAD_CODE,
                                JWRN_BOGUS_PROGRESSION};
    if (level >= 0) return;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (c->err->msg_code == fatal[i]) on_error(c);
}

static void ignore_text(j_common_ptr c) {
    (void)c;
}

/* Called once a row and once a pass. */
static void on_progress(j_common_ptr c) {
    jpeg *j = c->client_data;
    qv_status status = qv__decode_check_clock(j->d);
    if (status) jump(j, status);
    if (j->c.input_scan_number > MAX_SCANS)
        jump(j, qv__fail(j->d->err, QV_MEDIA_LIMIT, "the JPEG picture has more than the limit of %d scans", MAX_SCANS));
}

/* ---- source: the whole file at once ---- */

static void ignore(j_decompress_ptr c) {
    (void)c;
}

/* The Huffman decoder reads ahead, so running out is not an error by itself: it gets an end marker, and complains
 * (JWRN_HIT_MARKER) only if it needed the bits. */
static boolean on_empty(j_decompress_ptr c) {
    static const JOCTET end[2] = {0xFF, JPEG_EOI};
    jpeg *j = c->client_data;
    j->ran_out = true;
    c->src->next_input_byte = end;
    c->src->bytes_in_buffer = sizeof end;
    return TRUE;
}

static void on_skip(j_decompress_ptr c, long count) {
    if (count <= 0) return;
    if ((unsigned long)count > c->src->bytes_in_buffer) {
        on_empty(c);
        return;
    }
    c->src->next_input_byte += count;
    c->src->bytes_in_buffer -= (size_t)count;
}

static void open_decoder(jpeg *j) {
    j->c.err = jpeg_std_error(&j->errors);
    j->c.client_data = j;
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = ignore_text;
    jpeg_create_decompress(&j->c);
    j->progress.progress_monitor = on_progress;
    j->c.progress = &j->progress;
    j->source = (struct jpeg_source_mgr){.next_input_byte = j->d->bytes,
                                         .bytes_in_buffer = j->d->size,
                                         .init_source = ignore,
                                         .fill_input_buffer = on_empty,
                                         .skip_input_data = on_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = ignore};
    j->c.src = &j->source;
}

static void find_orientation(jpeg *j) {
    for (jpeg_saved_marker_ptr m = j->c.marker_list; m; m = m->next) {
        if (m->data_length < 6 || memcmp(m->data, "Exif\0\0", 6)) continue;
        j->d->orientation = qv__exif_orientation(m->data, m->data_length);
        return;
    }
}

static void read_rows(jpeg *j) {
    qv__bitmap *out = j->d->out;
    bool cmyk = j->c.num_components == 4;
    while (j->c.output_scanline < j->c.output_height) {
        uint8_t *rgb = out->rgb + (size_t)j->c.output_scanline * (size_t)out->width * 3;
        JSAMPROW row = cmyk ? j->cmyk_row : rgb;
        if (jpeg_read_scanlines(&j->c, &row, 1) != 1) jump(j, qv__decode_fail(j->d, "it is cut off"));
        if (!cmyk) continue;
        /* As Adobe's programs write it, and as the reference reads every such file: 255 is no ink. */
        for (size_t i = 0; i < (size_t)out->width * 4; i++) j->cmyk_row[i] = 255 - j->cmyk_row[i];
        qv__pixels_from_cmyk(j->cmyk_row, rgb, (size_t)out->width);
    }
}

static void decode(jpeg *j) {
    open_decoder(j);
    if (j->d->wants_orientation) jpeg_save_markers(&j->c, JPEG_APP0 + 1, 0xFFFF);
    if (jpeg_read_header(&j->c, TRUE) != JPEG_HEADER_OK) jump(j, qv__decode_fail(j->d, "it has no picture data"));
    if (j->d->wants_orientation) find_orientation(j);
    int components = j->c.num_components;
    if (components != 1 && components != 3 && components != 4)
        jump(j, qv__decode_fail(j->d, "it has neither 1, 3 nor 4 colour components"));
    qv_status status = qv__decode_start(j->d, j->c.image_height, j->c.image_width);
    if (status) jump(j, status);
    j->c.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    if (components == 4 && !(j->cmyk_row = qv__alloc_array(j->c.image_width, 4)))
        jump(j, qv__decode_no_memory(j->d, (size_t)j->c.image_width * 4));
    jpeg_start_decompress(&j->c);
    if (jpeg_has_multiple_scans(&j->c) && j->ran_out) jump(j, qv__decode_fail(j->d, "it is cut off"));
    read_rows(j);
    j->status = QV_OK;
}

qv_status qv__jpeg_decode(qv__decode *d) {
    jpeg *j = qv__calloc(1, sizeof *j);
    if (!j) return qv__decode_no_memory(d, sizeof *j);
    j->d = d;
    if (!setjmp(j->failed)) decode(j);
    jpeg_destroy_decompress(&j->c);
    qv_status status = j->status;
    qv__free(j->cmyk_row);
    qv__free(j);
    return status;
}
