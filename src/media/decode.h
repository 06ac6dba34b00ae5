/* What the picture decoders share: one request under way, its limits and its clock. Private to this folder.
 *
 * A decoder reads `bytes`, calls qv__decode_start once it knows the size (nothing of that size may be allocated
 * before), fills out->rgb and returns. It frees everything of its own on every path; the caller frees `out` on failure.
 */
#ifndef QVEC_MEDIA_DECODE_H
#define QVEC_MEDIA_DECODE_H

#include "media/media.h"

typedef struct {
    const uint8_t *bytes;
    size_t size;
    const qv__media_limits *limits;
    int64_t deadline;       /* of qv__now_ns */
    const char *format;     /* "PNG", for messages */
    bool wants_orientation; /* find the EXIF orientation */
    int orientation;        /* 1..8 as in EXIF; 1 unless found */
    qv__bitmap *out;
    qv_error *err;
} qv__decode;

/* Checks the size against the limits, then allocates out->rgb. */
qv_status qv__decode_start(qv__decode *d, int64_t height, int64_t width);
/* QV_MEDIA_LIMIT once the time is up; cheap enough for every row. */
qv_status qv__decode_check_clock(const qv__decode *d);
/* "the PNG picture cannot be decoded: REASON" */
qv_status qv__decode_fail(const qv__decode *d, const char *reason);
qv_status qv__decode_no_memory(const qv__decode *d, size_t size);

qv_status qv__jpeg_decode(qv__decode *d);
qv_status qv__png_decode(qv__decode *d);
qv_status qv__webp_decode(qv__decode *d);
qv_status qv__gif_decode(qv__decode *d);
qv_status qv__bmp_decode(qv__decode *d);
qv_status qv__tiff_decode(qv__decode *d);

/* ---- shared with the video side ---- */

int64_t qv__media_deadline(const qv__media_limits *limits);
/* No more time for it, or nobody wants it any more. */
bool qv__media_is_over(const qv__media_limits *limits, int64_t deadline);
qv_status qv__media_check_clock(const qv__media_limits *limits, int64_t deadline, const char *what, qv_error *err);

/* ---- pixels ---- */

/* Pillow's arithmetic for pasting on white with the alpha channel as mask. rgba [n][4] -> rgb [n][3]. */
void qv__pixels_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n);
/* Pillow's CMYK to RGB, where 255 is full ink. cmyk [n][4] -> rgb [n][3]. */
void qv__pixels_from_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t n);
void qv__pixels_from_gray(const uint8_t *gray, uint8_t *rgb, size_t n);
/* The upper half of a 16-bit gray range is white: what Pillow's convert("RGB") does. High byte first when big_endian.
 */
void qv__pixels_from_gray16(const uint8_t *gray, bool big_endian, uint8_t *rgb, size_t n);
void qv__pixels_from_palette(const uint8_t *indices, uint8_t palette[256][3], uint8_t *rgb, size_t n);
/* Pillow starts every palette as a ramp of grays and overwrites the entries that a file brings. */
void qv__palette_start(uint8_t palette[256][3]);

/* EXIF orientation in a TIFF structure (without or with the "Exif\0\0" head); 1 when there is none. */
int qv__exif_orientation(const uint8_t *exif, size_t size);
/* Turns the bitmap as EXIF orientation 1..8 says. QV_NO_MEMORY. */
qv_status qv__bitmap_orient(qv__bitmap *b, int orientation, qv_error *err);
#endif
