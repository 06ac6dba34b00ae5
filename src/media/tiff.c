/* TIFF through libtiff, first page: strips and tiles, every compression that libtiff knows; gray, palette, RGB, CMYK
 * and YCbCr, with or without alpha, in the layouts that the reference's library reads.
 *
 * A row passes two steps: stored samples to 8-bit samples (narrow), then 8-bit samples to RGB (colour). The reference's
 * library turns a TIFF upright by its orientation tag while it loads it, unlike other formats; so does this. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#include "base/memory.h"
#include "media/decode.h"

typedef enum { GRAY, PALETTE, RGB, RGBA, RGBA_PREMULTIPLIED, CMYK, VIA_LIBTIFF } colour_kind;

typedef struct {
    TIFF *tiff;
    qv__decode *d;
    uint64_t at;      /* read position of libtiff */
    char reason[160]; /* libtiff's first message */
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, compression, sample_format;
    colour_kind kind;
    uint8_t palette[256][3];
    uint32_t block_width, block_height; /* of a tile or strip */
    size_t row_size, block_size;        /* bytes of one row and of all rows of a block, per plane when separate */
    uint8_t *block;                     /* one block as libtiff gives it */
    uint8_t *merged; /* the same with the planes' samples side by side; NULL unless planes are separate */
    uint8_t *narrow; /* one row of 8-bit samples: [block_width][samples] */
} reader;

/* ---- libtiff's view of the bytes ---- */

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t size) {
    reader *r = (reader *)handle;
    uint64_t left = r->at < r->d->size ? r->d->size - r->at : 0;
    if (size < 0) return 0;
    if ((uint64_t)size > left) size = (tmsize_t)left;
    memcpy(to, r->d->bytes + (size ? r->at : 0), (size_t)size);
    r->at += (uint64_t)size;
    return size;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t size) {
    (void)handle, (void)from, (void)size;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
    reader *r = (reader *)handle;
    r->at = offset + (whence == SEEK_CUR ? r->at : whence == SEEK_END ? (uint64_t)r->d->size : 0);
    return r->at;
}

static int on_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle) {
    return ((reader *)handle)->d->size;
}

static int on_message(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
    reader *r = user;
    (void)tiff, (void)module;
    if (!r->reason[0]) vsnprintf(r->reason, sizeof r->reason, format, arguments);
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
    (void)tiff, (void)user, (void)module, (void)format, (void)arguments;
    return 1;
}

static qv_status fail(const reader *r, const char *reason) {
    return qv__decode_fail(r->d, r->reason[0] ? r->reason : reason);
}

static qv_status open_reader(reader *r) {
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return qv__decode_no_memory(r->d, 0);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, r);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, r);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)1 << 30);
    r->tiff = TIFFClientOpenExt("picture", "rm", (thandle_t)r, on_read, on_write, on_seek, on_close, on_size, NULL,
                                NULL, options);
    TIFFOpenOptionsFree(options);
    return r->tiff ? QV_OK : fail(r, "its directory is damaged");
}

/* ---- what kind of picture ---- */

static qv_status choose_rgb(reader *r) {
    uint16_t count = 0, *kinds = NULL;
    if (r->samples == 3) {
        r->kind = RGB;
        return QV_OK;
    }
    /* A fourth sample that the file does not explain is alpha; one that it calls unspecified is nothing. */
    bool told = TIFFGetField(r->tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) && count > 0;
    uint16_t kind = told ? kinds[0] : EXTRASAMPLE_UNASSALPHA;
    r->kind = kind == EXTRASAMPLE_UNSPECIFIED ? RGB : kind == EXTRASAMPLE_ASSOCALPHA ? RGBA_PREMULTIPLIED : RGBA;
    return QV_OK;
}

static qv_status choose_palette(reader *r) {
    uint16_t *map[3];
    if (r->bits > 8 || !TIFFGetField(r->tiff, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
        return fail(r, "it has no palette");
    qv__palette_start(r->palette);
    for (int i = 0; i < 1 << r->bits; i++)
        for (int c = 0; c < 3; c++) r->palette[i][c] = (uint8_t)(map[c][i] >> 8);
    r->kind = PALETTE;
    return QV_OK;
}

static qv_status choose_ycbcr(reader *r) {
    if (r->samples == 1) {
        r->kind = GRAY;
    } else if (r->compression == COMPRESSION_JPEG && r->planar == PLANARCONFIG_CONTIG && r->samples == 3) {
        TIFFSetField(r->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        r->kind = RGB;
    } else {
        r->kind = VIA_LIBTIFF;
    }
    return QV_OK;
}

static qv_status choose_kind(reader *r) {
    switch (r->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK: r->kind = GRAY; return QV_OK;
    case PHOTOMETRIC_RGB: return r->samples >= 3 ? choose_rgb(r) : fail(r, "it has too few colour samples");
    case PHOTOMETRIC_PALETTE: return choose_palette(r);
    case PHOTOMETRIC_SEPARATED:
        r->kind = CMYK;
        return r->samples >= 4 ? QV_OK : fail(r, "it has too few colour samples");
    case PHOTOMETRIC_YCBCR: return choose_ycbcr(r);
    default: return fail(r, "its colour space is not supported");
    }
}

static bool depth_supported(const reader *r) {
    if (r->samples < 1 || r->samples > 6) return false;
    if (r->sample_format == SAMPLEFORMAT_IEEEFP) return r->bits == 32 && r->kind == GRAY && r->samples == 1;
    switch (r->bits) {
    case 1:
    case 2:
    case 4: return r->samples == 1;
    case 8: return true;
    case 16: return r->kind == GRAY ? r->samples == 1 : r->kind != PALETTE;
    case 32: return r->kind == GRAY && r->samples == 1;
    default: return false;
    }
}

static qv_status read_header(reader *r) {
    uint16_t orientation = 1;
    if (!TIFFGetField(r->tiff, TIFFTAG_IMAGEWIDTH, &r->width) ||
        !TIFFGetField(r->tiff, TIFFTAG_IMAGELENGTH, &r->height))
        return fail(r, "it does not tell its size");
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_BITSPERSAMPLE, &r->bits);
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_SAMPLESPERPIXEL, &r->samples);
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_PLANARCONFIG, &r->planar);
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_COMPRESSION, &r->compression);
    TIFFGetFieldDefaulted(r->tiff, TIFFTAG_SAMPLEFORMAT, &r->sample_format);
    if (!TIFFGetField(r->tiff, TIFFTAG_PHOTOMETRIC, &r->photometric)) r->photometric = PHOTOMETRIC_MINISWHITE;
    if (r->samples == 1) r->planar = PLANARCONFIG_CONTIG;
    if (TIFFGetField(r->tiff, TIFFTAG_ORIENTATION, &orientation) && orientation >= 1 && orientation <= 8)
        r->d->orientation = orientation;
    if (!TIFFIsCODECConfigured(r->compression)) return fail(r, "its compression is not supported");
    qv_status status = choose_kind(r);
    if (status) return status;
    return depth_supported(r) ? QV_OK : fail(r, "its depth or number of samples is not supported");
}

/* ---- rows ---- */

static inline uint8_t saturate(double v) {
    return v >= 255 ? 255 : v > 0 ? (uint8_t)v : 0;
}

/* Stored samples of one row to 8 bits. Gray saturates above 8 bits, colours keep their high byte. */
static void narrow_row(const reader *r, const uint8_t *row, size_t pixels) {
    uint8_t *to = r->narrow;
    size_t n = pixels * r->samples;
    if (r->bits < 8) {
        int per_byte = 8 / r->bits, mask = (1 << r->bits) - 1, scale = r->kind == PALETTE ? 1 : 255 / mask;
        for (size_t i = 0; i < n; i++) {
            int shift = r->bits * (per_byte - 1 - (int)(i % (size_t)per_byte));
            to[i] = (uint8_t)((row[i / (size_t)per_byte] >> shift & mask) * scale);
        }
    } else if (r->bits == 8) {
        memcpy(to, row, n);
    } else if (r->bits == 16) {
        for (size_t i = 0; i < n; i++) {
            uint16_t v;
            memcpy(&v, row + i * 2, 2);
            if (r->kind != GRAY)
                to[i] = (uint8_t)(v >> 8);
            else
                to[i] = saturate(r->sample_format == SAMPLEFORMAT_INT ? (int16_t)v : v);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            int32_t v;
            float f;
            memcpy(&v, row + i * 4, 4);
            memcpy(&f, row + i * 4, 4);
            to[i] = saturate(r->sample_format == SAMPLEFORMAT_IEEEFP ? (double)f : (double)v);
        }
    }
}

/* Undoes the multiplication by alpha as the reference does, then pastes on white. */
static void premultiplied_pixel(const uint8_t *s, uint8_t *rgb) {
    unsigned a = s[3];
    uint8_t rgba[4] = {0, 0, 0, (uint8_t)a};
    for (int c = 0; a && c < 3; c++) {
        unsigned v = s[c] * 255u / a;
        rgba[c] = v > 255 ? 255 : (uint8_t)v;
    }
    qv__pixels_over_white(rgba, rgb, 1);
}

/* 8-bit samples [pixels][samples] to RGB. Samples past the colours and alpha are ignored. */
static void colour_row(reader *r, uint8_t *rgb, size_t pixels) {
    bool invert = r->photometric == PHOTOMETRIC_MINISWHITE && r->bits <= 8;
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        const uint8_t *s = r->narrow + i * r->samples;
        switch (r->kind) {
        case GRAY: memset(rgb, invert ? 255 - s[0] : s[0], 3); break;
        case PALETTE: memcpy(rgb, r->palette[s[0]], 3); break;
        case RGBA: qv__pixels_over_white(s, rgb, 1); break;
        case RGBA_PREMULTIPLIED: premultiplied_pixel(s, rgb); break;
        case CMYK: qv__pixels_from_cmyk(s, rgb, 1); break;
        default: memcpy(rgb, s, 3); break;
        }
    }
}

/* ---- blocks: tiles or strips ---- */

static qv_status size_blocks(reader *r) {
    bool tiled = TIFFIsTiled(r->tiff);
    r->block_width = r->width;
    r->block_height = r->height;
    if (tiled) {
        if (!TIFFGetField(r->tiff, TIFFTAG_TILEWIDTH, &r->block_width) ||
            !TIFFGetField(r->tiff, TIFFTAG_TILELENGTH, &r->block_height))
            return fail(r, "it does not tell its tiles' size");
    } else {
        TIFFGetFieldDefaulted(r->tiff, TIFFTAG_ROWSPERSTRIP, &r->block_height);
        if (r->block_height > r->height) r->block_height = r->height;
    }
    if (r->block_width < 1 || r->block_height < 1) return fail(r, "its blocks have no pixels");
    qv_status status = qv__media_check_size(r->d->limits, "TIFF tile", r->block_height, r->block_width, r->d->err);
    if (status) return status;
    tmsize_t row = tiled ? TIFFTileRowSize(r->tiff) : TIFFScanlineSize(r->tiff);
    size_t in_row = (size_t)r->block_width * (r->planar == PLANARCONFIG_SEPARATE ? 1 : r->samples);
    if (row <= 0 || (size_t)row < (in_row * r->bits + 7) / 8) return fail(r, "its rows have no proper size");
    r->row_size = (size_t)row;
    r->block_size = r->row_size * r->block_height;
    return QV_OK;
}

static qv_status allocate_blocks(reader *r) {
    size_t pixels = (size_t)r->block_width * r->block_height;
    if (!(r->block = qv__malloc(r->block_size))) return qv__decode_no_memory(r->d, r->block_size);
    if (!(r->narrow = qv__alloc_array(r->block_width, r->samples)))
        return qv__decode_no_memory(r->d, (size_t)r->block_width * r->samples);
    if (r->planar != PLANARCONFIG_SEPARATE) return QV_OK;
    if (r->bits != 8 && r->bits != 16) return fail(r, "its depth does not go with separate planes");
    size_t merged = pixels * r->samples * (r->bits / 8);
    return (r->merged = qv__malloc(merged)) ? QV_OK : qv__decode_no_memory(r->d, merged);
}

/* Reads the block at x, y of one plane into r->block; `rows` of it lie inside the picture. */
static qv_status read_block(reader *r, uint32_t x, uint32_t y, uint32_t rows, uint16_t plane) {
    tmsize_t got, wanted = (tmsize_t)(r->row_size * rows);
    if (TIFFIsTiled(r->tiff)) {
        wanted = (tmsize_t)r->block_size;
        got = TIFFReadEncodedTile(r->tiff, TIFFComputeTile(r->tiff, x, y, 0, plane), r->block, wanted);
    } else {
        got = TIFFReadEncodedStrip(r->tiff, TIFFComputeStrip(r->tiff, y, plane), r->block, wanted);
    }
    return got < wanted ? fail(r, "it is cut off") : QV_OK;
}

/* Puts one plane's samples, in r->block, between the others' in r->merged. */
static void merge_plane(reader *r, uint32_t rows, uint16_t plane) {
    size_t size = r->bits / 8, step = size * r->samples;
    for (uint32_t y = 0; y < rows; y++) {
        const uint8_t *from = r->block + y * r->row_size;
        uint8_t *to = r->merged + y * r->block_width * step + plane * size;
        for (uint32_t x = 0; x < r->block_width; x++) memcpy(to + x * step, from + x * size, size);
    }
}

static qv_status place_block(reader *r, uint32_t x, uint32_t y) {
    uint32_t rows = r->height - y < r->block_height ? r->height - y : r->block_height;
    uint32_t columns = r->width - x < r->block_width ? r->width - x : r->block_width;
    uint16_t planes = r->merged ? r->samples : 1;
    for (uint16_t plane = 0; plane < planes; plane++) {
        qv_status status = read_block(r, x, y, rows, plane);
        if (status) return status;
        if (r->merged) merge_plane(r, rows, plane);
    }
    const uint8_t *from = r->merged ? r->merged : r->block;
    size_t row_size = r->merged ? (size_t)r->block_width * r->samples * (r->bits / 8) : r->row_size;
    for (uint32_t i = 0; i < rows; i++) {
        narrow_row(r, from + i * row_size, columns);
        colour_row(r, r->d->out->rgb + ((size_t)(y + i) * r->width + x) * 3, columns);
    }
    return qv__decode_check_clock(r->d);
}

static qv_status read_blocks(reader *r) {
    qv_status status = size_blocks(r);
    if (!status) status = allocate_blocks(r);
    for (uint32_t y = 0; !status && y < r->height; y += r->block_height)
        for (uint32_t x = 0; !status && x < r->width; x += r->block_width) status = place_block(r, x, y);
    return status;
}

/* Subsampled YCbCr: libtiff's own conversion, 4 bytes a pixel, rows as stored. */
static qv_status read_via_libtiff(reader *r) {
    TIFFRGBAImage image;
    size_t pixels = (size_t)r->width * r->height;
    uint32_t *raster = qv__alloc_array(pixels, 4);
    if (!raster) return qv__decode_no_memory(r->d, pixels * 4);
    qv_status status = QV_OK;
    char reason[1024] = "";
    if (!TIFFRGBAImageBegin(&image, r->tiff, 1, reason)) {
        status = fail(r, reason);
    } else {
        image.orientation = image.req_orientation = ORIENTATION_TOPLEFT;
        if (!TIFFRGBAImageGet(&image, raster, r->width, r->height)) status = fail(r, "its data are damaged");
        TIFFRGBAImageEnd(&image);
    }
    uint8_t *rgb = r->d->out->rgb;
    for (size_t i = 0; !status && i < pixels; i++, rgb += 3) {
        rgb[0] = (uint8_t)TIFFGetR(raster[i]);
        rgb[1] = (uint8_t)TIFFGetG(raster[i]);
        rgb[2] = (uint8_t)TIFFGetB(raster[i]);
    }
    qv__free(raster);
    return status;
}

qv_status qv__tiff_decode(qv__decode *d) {
    reader *r = qv__calloc(1, sizeof *r);
    if (!r) return qv__decode_no_memory(d, sizeof *r);
    r->d = d;
    qv_status status = open_reader(r);
    if (!status) status = read_header(r);
    if (!status) status = qv__decode_start(d, r->height, r->width);
    if (!status) status = r->kind == VIA_LIBTIFF ? read_via_libtiff(r) : read_blocks(r);
    if (r->tiff) TIFFClose(r->tiff);
    qv__free(r->block);
    qv__free(r->merged);
    qv__free(r->narrow);
    qv__free(r);
    return status;
}
