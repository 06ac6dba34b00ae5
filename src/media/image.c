/* Pictures: told apart by content, decoded by the format's file, turned upright when asked. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "media/decode.h"

/* Memory for one picture stays below 3 bytes a pixel for the result and 8 more inside a decoder (the coefficients of a
 * progressive JPEG; the two canvases of an animated WebP). max_pixels is where Pillow begins to warn of a bomb. */
const qv__media_limits qv__media_default_limits = {
    .max_bytes = (int64_t)256 << 20,
    .max_pixels = 89478485,
    .max_side = 65535,
    .max_video_frames = 200000,
    .max_decoded_bytes = (int64_t)2 << 30,
    .max_seconds = 60,
};

void qv__bitmap_clear(qv__bitmap *b) {
    qv__free(b->rgb);
    *b = (qv__bitmap){0};
}

int64_t qv__media_deadline(const qv__media_limits *limits) {
    int64_t now = qv__now_ns();
    double ns = limits->max_seconds * 1e9;
    return ns < (double)(INT64_MAX / 2) ? now + (int64_t)ns : INT64_MAX;
}

bool qv__media_is_over(const qv__media_limits *limits, int64_t deadline) {
    return (limits->stop && *limits->stop) || qv__now_ns() >= deadline;
}

qv_status qv__media_check_clock(const qv__media_limits *limits, int64_t deadline, const char *what, qv_error *err) {
    if (limits->stop && *limits->stop) return qv__fail(err, QV_CANCELLED, "decoding the %s was given up", what);
    if (qv__now_ns() < deadline) return QV_OK;
    return qv__fail(err, QV_MEDIA_LIMIT, "decoding the %s takes longer than the limit of %g seconds", what,
                    limits->max_seconds);
}

qv_status qv__media_check_size(const qv__media_limits *limits, const char *what, int64_t height, int64_t width,
                               qv_error *err) {
    if (height > limits->max_side || width > limits->max_side)
        return qv__fail(err, QV_MEDIA_LIMIT, "a %s of %lld x %lld pixels is over the limit of %lld pixels a side", what,
                        (long long)width, (long long)height, (long long)limits->max_side);
    if (height > 0 && width > limits->max_pixels / height)
        return qv__fail(err, QV_MEDIA_LIMIT, "a %s of %lld x %lld pixels is over the limit of %lld pixels", what,
                        (long long)width, (long long)height, (long long)limits->max_pixels);
    return QV_OK;
}

qv_status qv__decode_fail(const qv__decode *d, const char *reason) {
    return qv__fail(d->err, QV_IMAGE_DECODE, "the %s picture cannot be decoded: %s", d->format, reason);
}

qv_status qv__decode_no_memory(const qv__decode *d, size_t size) {
    return qv__fail(d->err, QV_NO_MEMORY, "out of memory for a %s picture (%zu bytes)", d->format, size);
}

qv_status qv__decode_check_clock(const qv__decode *d) {
    return qv__media_check_clock(d->limits, d->deadline, "picture", d->err);
}

qv_status qv__decode_start(qv__decode *d, int64_t height, int64_t width) {
    if (height < 1 || width < 1) return qv__decode_fail(d, "it has no pixels");
    qv_status status = qv__media_check_size(d->limits, "picture", height, width, d->err);
    if (status) return status;
    if (height > INT32_MAX / 8 || width > INT32_MAX / 8) return qv__decode_fail(d, "its size is out of range");
    size_t size = (size_t)height * (size_t)width * 3;
    if (!(d->out->rgb = qv__malloc(size))) return qv__decode_no_memory(d, size);
    d->out->height = (int)height;
    d->out->width = (int)width;
    return QV_OK;
}

/* ---- which format ---- */

typedef struct {
    const char *format;
    qv_status (*decode)(qv__decode *d); /* NULL: known by sight only, to say so in the message */
    int offset, length;
    const char *magic;
} signature;

static const signature signatures[] = {
    {"JPEG", qv__jpeg_decode, 0, 3, "\xff\xd8\xff"},
    {"PNG", qv__png_decode, 0, 8, "\x89PNG\r\n\x1a\n"},
    {"WebP", qv__webp_decode, 8, 4, "WEBP"},
    {"GIF", qv__gif_decode, 0, 6, "GIF87a"},
    {"GIF", qv__gif_decode, 0, 6, "GIF89a"},
    {"BMP", qv__bmp_decode, 0, 2, "BM"},
    {"TIFF", qv__tiff_decode, 0, 4, "II*\0"},
    {"TIFF", qv__tiff_decode, 0, 4, "MM\0*"},
    {"TIFF", qv__tiff_decode, 0, 4, "II+\0"},
    {"TIFF", qv__tiff_decode, 0, 4, "MM\0+"},
    {"AVIF", NULL, 4, 8, "ftypavif"},
    {"HEIC", NULL, 4, 8, "ftypheic"},
    {"HEIC", NULL, 4, 8, "ftypmif1"},
    {"MP4 video", NULL, 4, 4, "ftyp"},
    {"Matroska or WebM video", NULL, 0, 4, "\x1a\x45\xdf\xa3"},
    {"JPEG 2000", NULL, 4, 8, "jP  \r\n\x87\n"},
    {"JPEG XL", NULL, 0, 2, "\xff\x0a"},
    {"PDF", NULL, 0, 5, "%PDF-"},
    {"SVG or XML", NULL, 0, 5, "<?xml"},
    {"SVG", NULL, 0, 4, "<svg"},
    {"HTML", NULL, 0, 5, "<!DOC"},
    {"HTML", NULL, 0, 5, "<html"},
};

static const signature *recognise(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (size >= (size_t)(s->offset + s->length) && !memcmp(bytes + s->offset, s->magic, (size_t)s->length))
            return s;
    }
    return NULL;
}

qv_status qv__image_decode(const void *bytes, size_t size, bool apply_orientation, const qv__media_limits *limits,
                           qv__bitmap *out, qv_error *err) {
    *out = (qv__bitmap){0};
    if (!limits) limits = &qv__media_default_limits;
    if (size == 0) return qv__fail(err, QV_IMAGE_DECODE, "the picture is empty (0 bytes)");
    if (limits->max_bytes < 0 || size > (uint64_t)limits->max_bytes)
        return qv__fail(err, QV_MEDIA_LIMIT, "a picture of %zu bytes is over the limit of %lld bytes", size,
                        (long long)limits->max_bytes);
    const signature *s = recognise(bytes, size);
    if (!s || !s->decode)
        return qv__fail(err, QV_IMAGE_DECODE, "not a picture of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF)%s%s",
                        s ? "; it looks like " : "", s ? s->format : "");
    qv__decode d = {.bytes = bytes,
                    .size = size,
                    .limits = limits,
                    .deadline = qv__media_deadline(limits),
                    .format = s->format,
                    .wants_orientation = apply_orientation,
                    .orientation = 1,
                    .out = out,
                    .err = err};
    qv_status status = s->decode(&d);
    if (!status && d.orientation != 1) status = qv__bitmap_orient(out, d.orientation, err);
    if (status) qv__bitmap_clear(out);
    return status;
}
