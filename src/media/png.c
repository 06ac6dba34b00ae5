/* PNG through libpng. Every checksum counts; text, colour profiles and animation chunks are skipped unread.
 *
 * Colours as the reference's library gives them: transparency that is one colour (tRNS) is ignored; 8-bit gray with
 * alpha loses its alpha, 16-bit gray with alpha is pasted on white; 16-bit gray saturates, 16-bit colour keeps its high
 * byte; no gamma. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "base/memory.h"
#include "media/decode.h"

typedef struct {
    png_structp png;
    png_infop info;
    qv__decode *d;
    size_t at;        /* bytes read */
    char reason[128]; /* libpng's message */
    uint8_t *rows;    /* one row, or all rows of an interlaced picture: [rows][row_size] */
    size_t row_size;
    uint8_t palette[256][3];
    void (*convert)(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width);
} reader;

static void on_error(png_structp png, png_const_charp text) {
    reader *r = png_get_error_ptr(png);
    snprintf(r->reason, sizeof r->reason, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t size) {
    reader *r = png_get_io_ptr(png);
    if (size > r->d->size - r->at) png_error(png, "it is cut off");
    memcpy(to, r->d->bytes + r->at, size);
    r->at += size;
}

/* ---- rows, as libpng hands them over after the transformations below, to RGB ---- */

static void from_gray(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    qv__pixels_from_gray(row, rgb, width);
}

static void from_gray16(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    qv__pixels_from_gray16(row, true, rgb, width);
}

static void from_gray_alpha(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    for (size_t i = 0; i < width; i++) memset(rgb + i * 3, row[i * 2], 3);
}

static void from_gray16_alpha(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    for (size_t i = 0; i < width; i++) {
        uint8_t g = row[i * 2], rgba[4] = {g, g, g, row[i * 2 + 1]};
        qv__pixels_over_white(rgba, rgb + i * 3, 1);
    }
}

static void from_palette(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    qv__pixels_from_palette(row, palette, rgb, width);
}

static void from_rgb(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    memcpy(rgb, row, width * 3);
}

static void from_rgba(const uint8_t *row, uint8_t palette[256][3], uint8_t *rgb, size_t width) {
    (void)palette;
    qv__pixels_over_white(row, rgb, width);
}

static void choose_conversion(reader *r) {
    int depth = png_get_bit_depth(r->png, r->info);
    png_colorp colours;
    int count = 0;
    switch (png_get_color_type(r->png, r->info)) {
    case PNG_COLOR_TYPE_GRAY:
        if (depth < 8) png_set_expand_gray_1_2_4_to_8(r->png);
        r->convert = depth == 16 ? from_gray16 : from_gray;
        break;
    case PNG_COLOR_TYPE_PALETTE:
        qv__palette_start(r->palette);
        if (png_get_PLTE(r->png, r->info, &colours, &count))
            for (int i = 0; i < count && i < 256; i++)
                memcpy(r->palette[i], (uint8_t[3]){colours[i].red, colours[i].green, colours[i].blue}, 3);
        if (depth < 8) png_set_packing(r->png);
        r->convert = from_palette;
        break;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        if (depth == 16) png_set_strip_16(r->png);
        r->convert = depth == 16 ? from_gray16_alpha : from_gray_alpha;
        break;
    default:
        if (depth == 16) png_set_strip_16(r->png);
        r->convert = png_get_color_type(r->png, r->info) & PNG_COLOR_MASK_ALPHA ? from_rgba : from_rgb;
        break;
    }
}

static void find_orientation(reader *r) {
    png_bytep exif = NULL;
    png_uint_32 size = 0;
    if (png_get_eXIf_1(r->png, r->info, &size, &exif)) r->d->orientation = qv__exif_orientation(exif, size);
}

static void set_limits(png_structp png, size_t file_size) {
    static const png_byte skipped[] = "iCCP\0tEXt\0zTXt\0iTXt\0sPLT\0hIST\0pCAL\0sCAL\0tIME";
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff); /* ours are checked after the header */
    png_set_chunk_malloc_max(png, file_size);         /* a chunk may be long; the long kinds are skipped, not kept */
    png_set_chunk_cache_max(png, 16);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped, (int)(sizeof skipped / 5));
}

/* Reads the rows once per pass. Non-interlaced pictures need one row of scratch, others all rows. */
static qv_status read_rows(reader *r) {
    qv__bitmap *out = r->d->out;
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->row_size = png_get_rowbytes(r->png, r->info);
    size_t rows = passes > 1 ? (size_t)out->height : 1;
    if (!(r->rows = qv__alloc_array(rows, r->row_size))) return qv__decode_no_memory(r->d, rows * r->row_size);
    if (passes > 1) memset(r->rows, 0, rows * r->row_size);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < out->height; y++) {
            uint8_t *row = r->rows + (passes > 1 ? (size_t)y * r->row_size : 0);
            qv_status status = qv__decode_check_clock(r->d);
            if (status) return status;
            png_read_row(r->png, row, NULL);
            if (pass == passes - 1)
                r->convert(row, r->palette, out->rgb + (size_t)y * (size_t)out->width * 3, (size_t)out->width);
        }
    }
    return QV_OK;
}

/* libpng jumps out of here on errors; everything that must be freed hangs on r. */
static qv_status decode(reader *r) {
    if (setjmp(png_jmpbuf(r->png))) return qv__decode_fail(r->d, r->reason);
    png_set_read_fn(r->png, r, on_read);
    set_limits(r->png, r->d->size);
    png_read_info(r->png, r->info);
    qv_status status =
        qv__decode_start(r->d, png_get_image_height(r->png, r->info), png_get_image_width(r->png, r->info));
    if (status) return status;
    choose_conversion(r);
    if ((status = read_rows(r))) return status;
    png_read_end(r->png, r->info); /* the last checksum, and that there is an end */
    if (r->d->wants_orientation) find_orientation(r);
    return QV_OK;
}

qv_status qv__png_decode(qv__decode *d) {
    reader *r = qv__calloc(1, sizeof *r);
    if (!r) return qv__decode_no_memory(d, sizeof *r);
    r->d = d;
    qv_status status;
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    if (r->png && (r->info = png_create_info_struct(r->png)))
        status = decode(r);
    else
        status = qv__decode_no_memory(d, 0);
    png_destroy_read_struct(&r->png, &r->info, NULL);
    qv__free(r->rows);
    qv__free(r);
    return status;
}
