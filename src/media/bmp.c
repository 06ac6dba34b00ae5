/* Windows bitmaps: 1, 4, 8 bits with a palette (plain or run-length coded), 16, 24 and 32 bits, bit fields.
 *
 * Written here because libav gives 32-bit pictures an alpha that the reference ignores, and refuses none of the damaged
 * ones; the format is a header and rows. */
#include <string.h>

#include "base/memory.h"
#include "media/decode.h"

enum { RAW = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };

typedef struct {
    qv__decode *d;
    int64_t width, height;
    int bits, compression;
    bool top_down;
    size_t pixels_at;  /* where the rows begin */
    uint32_t masks[4]; /* red, green, blue, alpha; alpha 0: none */
    uint8_t palette[256][3];
} bmp;

static uint32_t u16(const uint8_t *p) {
    return (uint32_t)(p[0] | p[1] << 8);
}
static uint32_t u32(const uint8_t *p) {
    return u16(p) | u16(p + 2) << 16;
}

static const char cut_off[] = "it is cut off";

/* ---- header ---- */

/* A long header holds the masks, the short one is followed by them. *at moves past what was read. */
static const char *read_masks(bmp *b, const uint8_t *header, size_t header_size, size_t *at) {
    static const uint32_t plain16[4] = {0x7C00, 0x3E0, 0x1F, 0}, plain[4] = {0xFF0000, 0xFF00, 0xFF, 0};
    memcpy(b->masks, b->bits == 16 ? plain16 : plain, sizeof b->masks);
    if (b->compression != BITFIELDS) return NULL;
    const uint8_t *masks = header + 40;
    int count = header_size >= 56 ? 4 : 3;
    if (header_size < 52) {
        if (b->d->size - *at < 12) return cut_off;
        masks = b->d->bytes + *at;
        *at += 12;
    }
    memset(b->masks, 0, sizeof b->masks);
    for (int i = 0; i < count; i++) b->masks[i] = u32(masks + 4 * i);
    if (b->bits == 32 && !(b->masks[0] | b->masks[1] | b->masks[2] | b->masks[3]))
        memcpy(b->masks, (uint32_t[4]){0xFF0000, 0xFF00, 0xFF, 0xFF000000}, sizeof b->masks);
    return NULL;
}

static const char *read_palette(bmp *b, uint32_t colours, size_t entry, size_t at) {
    qv__palette_start(b->palette);
    if (b->bits > 8) return NULL;
    if (colours > 65536) return "its palette is too large";
    if (colours * entry > b->d->size - at) return cut_off;
    for (size_t i = 0; i < colours && i < 256; i++) {
        const uint8_t *p = b->d->bytes + at + i * entry;
        memcpy(b->palette[i], (uint8_t[3]){p[2], p[1], p[0]}, 3);
    }
    return NULL;
}

/* NULL, or why the file cannot be read. */
static const char *read_header(bmp *b) {
    const uint8_t *file = b->d->bytes, *header = file + 14;
    if (b->d->size < 14 + 12) return cut_off;
    size_t header_size = u32(header), at = 14 + header_size, entry = 4;
    uint32_t colours = 0;
    if (header_size != 12 && header_size != 40 && header_size != 52 && header_size != 56 && header_size != 64 &&
        header_size != 108 && header_size != 124)
        return "its header is of an unknown kind";
    if (b->d->size < at) return cut_off;
    if (header_size == 12) {
        b->width = u16(header + 4), b->height = u16(header + 6), b->bits = (int)u16(header + 10);
        entry = 3;
    } else {
        b->width = (int32_t)u32(header + 4), b->height = (int32_t)u32(header + 8), b->bits = (int)u16(header + 14);
        if ((b->top_down = b->height < 0)) b->height = -b->height;
        if (u32(header + 16) > BITFIELDS) return "it is compressed in a way that is not supported";
        b->compression = (int)u32(header + 16);
        colours = u32(header + 32);
    }
    if (colours == 0 && b->bits <= 8) colours = 1u << b->bits;
    const char *reason = read_masks(b, header, header_size, &at);
    if (!reason) reason = read_palette(b, colours, entry, at);
    if (reason) return reason;
    if (b->bits <= 8) at += colours * entry;
    b->pixels_at = u32(file + 10);
    if (b->pixels_at == 0 || (b->bits <= 8 && b->pixels_at == 14 + header_size)) b->pixels_at = at;
    return b->pixels_at > b->d->size ? cut_off : NULL;
}

/* ---- plain rows ---- */

/* Byte that a mask covers exactly, or -1. */
static int byte_of(uint32_t mask) {
    for (int i = 0; i < 4; i++)
        if (mask == 0xFFu << (8 * i)) return i;
    return -1;
}

static void row_from_indices(const bmp *b, const uint8_t *row, uint8_t *rgb) {
    int per_byte = 8 / b->bits, mask = (1 << b->bits) - 1;
    for (int64_t x = 0; x < b->width; x++, rgb += 3) {
        int shift = b->bits * (per_byte - 1 - (int)(x % per_byte));
        memcpy(rgb, b->palette[row[x / per_byte] >> shift & mask], 3);
    }
}

static void row_from_16(const bmp *b, const uint8_t *row, uint8_t *rgb) {
    bool six = b->masks[1] == 0x7E0; /* 5-6-5, else 5-5-5 */
    for (int64_t x = 0; x < b->width; x++, row += 2, rgb += 3) {
        uint32_t p = u16(row);
        rgb[0] = (uint8_t)((p >> (six ? 11 : 10) & 31) * 255 / 31);
        rgb[1] = (uint8_t)(six ? (p >> 5 & 63) * 255 / 63 : (p >> 5 & 31) * 255 / 31);
        rgb[2] = (uint8_t)((p & 31) * 255 / 31);
    }
}

static void row_from_bytes(const bmp *b, const uint8_t *row, uint8_t *rgb) {
    int red = byte_of(b->masks[0]), green = byte_of(b->masks[1]), blue = byte_of(b->masks[2]);
    int alpha = byte_of(b->masks[3]), step = b->bits / 8;
    for (int64_t x = 0; x < b->width; x++, row += step, rgb += 3) {
        uint8_t rgba[4] = {row[red], row[green], row[blue], alpha < 0 ? 255 : row[alpha]};
        qv__pixels_over_white(rgba, rgb, 1);
    }
}

/* Whether the masks are among those that the reference reads. */
static bool masks_known(const bmp *b) {
    const uint32_t *m = b->masks;
    if (b->bits == 16)
        return (m[0] == 0xF800 && m[1] == 0x7E0 && m[2] == 0x1F) || (m[0] == 0x7C00 && m[1] == 0x3E0 && m[2] == 0x1F);
    int bytes = b->bits / 8, red = byte_of(m[0]), green = byte_of(m[1]), blue = byte_of(m[2]), alpha = byte_of(m[3]);
    return red >= 0 && green >= 0 && blue >= 0 && red < bytes && green < bytes && blue < bytes && alpha < bytes &&
           (alpha >= 0 || m[3] == 0);
}

static qv_status read_rows(bmp *b) {
    size_t stride = ((size_t)b->width * (size_t)b->bits + 31) / 32 * 4;
    if ((b->d->size - b->pixels_at) / stride < (size_t)b->height) return qv__decode_fail(b->d, cut_off);
    for (int64_t i = 0; i < b->height; i++) {
        const uint8_t *row = b->d->bytes + b->pixels_at + (size_t)i * stride;
        int64_t y = b->top_down ? i : b->height - 1 - i;
        uint8_t *rgb = b->d->out->rgb + (size_t)y * (size_t)b->width * 3;
        if (b->bits <= 8)
            row_from_indices(b, row, rgb);
        else if (b->bits == 16)
            row_from_16(b, row, rgb);
        else
            row_from_bytes(b, row, rgb);
    }
    return QV_OK;
}

/* ---- run-length coded rows ---- */

typedef struct {
    bmp *b;
    const uint8_t *at, *end; /* in the file */
    size_t pixel, pixels;    /* pixels put so far, and in all */
    int64_t x;
} runs;

static void put(runs *r, int index) {
    bmp *b = r->b;
    if (r->pixel >= r->pixels) return;
    size_t row = r->pixel / (size_t)b->width, column = r->pixel % (size_t)b->width;
    size_t y = b->top_down ? row : (size_t)b->height - 1 - row;
    memcpy(b->d->out->rgb + (y * (size_t)b->width + column) * 3, b->palette[index], 3);
    r->pixel++;
}

static void skip(runs *r, size_t count) {
    for (size_t left = r->pixels - r->pixel; count && left; count--, left--) put(r, 0);
}

/* A run: `count` pixels of one byte, or of its two halves in turn; never past the row's end. */
static void put_run(runs *r, int64_t count, int byte) {
    int64_t room = r->b->width - r->x > 0 ? r->b->width - r->x : 0;
    if (count > room) count = room;
    for (int64_t i = 0; i < count; i++) put(r, r->b->compression == RLE8 ? byte : i % 2 == 0 ? byte >> 4 : byte & 15);
    r->x += count;
}

/* `count` pixels as they stand, padded to an even place in the file. */
static bool put_literal(runs *r, int count) {
    size_t wanted = (size_t)count;
    if (wanted > r->pixels - r->pixel) wanted = r->pixels - r->pixel;
    size_t bytes = r->b->compression == RLE8 ? wanted : (wanted + 1) / 2;
    if (bytes > (size_t)(r->end - r->at)) return false;
    for (size_t i = 0; i < wanted; i++)
        put(r, r->b->compression == RLE8 ? r->at[i] : i % 2 == 0 ? r->at[i / 2] >> 4 : r->at[i / 2] & 15);
    r->at += bytes;
    r->x += count;
    if ((r->at - r->b->d->bytes) % 2 && r->at < r->end) r->at++;
    return true;
}

/* What follows a zero: end of row, end of picture, a move, or a literal. False: the data end here. */
static bool escape(runs *r, int code) {
    size_t width = (size_t)r->b->width;
    switch (code) {
    case 0:
        if (r->pixel % width) skip(r, width - r->pixel % width);
        r->x = 0;
        return true;
    case 1: return false;
    case 2:
        if (r->end - r->at < 2) return false;
        skip(r, r->at[0] + r->at[1] * width);
        r->x = (int64_t)(r->pixel % width);
        r->at += 2;
        return true;
    default: return put_literal(r, code);
    }
}

static qv_status read_runs(bmp *b) {
    runs r = {.b = b, .at = b->d->bytes + b->pixels_at, .end = b->d->bytes + b->d->size};
    r.pixels = (size_t)b->width * (size_t)b->height;
    while (r.pixel < r.pixels && r.end - r.at >= 2) {
        int count = r.at[0], code = r.at[1];
        r.at += 2;
        if (count)
            put_run(&r, count, code);
        else if (!escape(&r, code))
            break;
    }
    return r.pixel < r.pixels ? qv__decode_fail(b->d, cut_off) : QV_OK;
}

qv_status qv__bmp_decode(qv__decode *d) {
    bmp b = {.d = d};
    const char *reason = read_header(&b);
    if (reason) return qv__decode_fail(d, reason);
    bool coded = b.compression == RLE8 || b.compression == RLE4;
    bool paletted = b.bits == 1 || b.bits == 4 || b.bits == 8, direct = b.bits == 16 || b.bits == 24 || b.bits == 32;
    if (!paletted && !direct) return qv__decode_fail(d, "its depth is not 1, 4, 8, 16, 24 or 32 bits");
    if (coded ? b.bits != (b.compression == RLE8 ? 8 : 4) : b.compression == BITFIELDS && paletted)
        return qv__decode_fail(d, "its depth does not fit its compression");
    if (direct && !masks_known(&b)) return qv__decode_fail(d, "its colour masks are not supported");
    qv_status status = qv__decode_start(d, b.height, b.width);
    if (status) return status;
    return coded ? read_runs(&b) : read_rows(&b);
}
