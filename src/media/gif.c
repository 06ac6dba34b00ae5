/* The first frame of a GIF, on its canvas.
 *
 * Written here because libav's decoder composes frames into colours with alpha, while the reference shows the palette's
 * colour behind transparent pixels; what is left is a header walk and LZW with a fixed table. */
#include <string.h>

#include "base/memory.h"
#include "media/decode.h"

enum { MAX_CODES = 4096, MAX_CODE_BITS = 12, NO_TRANSPARENCY = -1 };

typedef struct {
    qv__decode *d;
    size_t at;
    int width, height;            /* of the canvas */
    int left, top, columns, rows; /* of the frame */
    bool interlaced;
    int transparent;         /* palette index or NO_TRANSPARENCY */
    uint8_t palette[256][3]; /* the frame's own or the file's */
    uint8_t *canvas;         /* [height][width] palette indices */
} gif;

typedef struct {
    gif *g;
    int x, y, step, pass; /* where the next pixel of the frame goes */
    bool complete;
    uint32_t bits;
    int bit_count, block_left;
    uint16_t link[MAX_CODES];
    uint8_t last[MAX_CODES], stack[MAX_CODES];
} lzw;

static bool take(gif *g, size_t count, const uint8_t **bytes) {
    if (count > g->d->size - g->at) return false;
    *bytes = g->d->bytes + g->at;
    g->at += count;
    return true;
}

static int u16(const uint8_t *p) {
    return p[0] | p[1] << 8;
}

static const char cut_off[] = "it is cut off";

static bool read_palette(gif *g, int flags) {
    const uint8_t *colours;
    size_t count = (size_t)2 << (flags & 7);
    if (!take(g, count * 3, &colours)) return false;
    qv__palette_start(g->palette);
    memcpy(g->palette, colours, count * 3);
    return true;
}

/* An extension after its '!': keeps the transparent index, skips the rest. */
static bool read_extension(gif *g) {
    enum { GRAPHIC_CONTROL = 249 };
    const uint8_t *label, *length, *block;
    if (!take(g, 1, &label)) return false;
    for (bool first = true;; first = false) {
        if (!take(g, 1, &length)) return false;
        if (*length == 0) return true;
        if (!take(g, *length, &block)) return false;
        if (first && *label == GRAPHIC_CONTROL && *length >= 4 && (block[0] & 1)) g->transparent = block[3];
    }
}

/* Leaves `at` at the LZW code size of the first frame. NULL or the reason why there is none. */
static const char *find_frame(gif *g) {
    const uint8_t *p;
    if (!take(g, 13, &p)) return cut_off;
    g->width = u16(p + 6);
    g->height = u16(p + 8);
    g->transparent = NO_TRANSPARENCY;
    qv__palette_start(g->palette);
    if (p[10] & 128 && !read_palette(g, p[10])) return cut_off;
    for (;;) {
        if (!take(g, 1, &p)) return cut_off;
        if (*p == ';') return "it holds no picture";
        if (*p == '!' && !read_extension(g)) return cut_off;
        if (*p == ',') break;
    }
    if (!take(g, 9, &p)) return cut_off;
    g->left = u16(p), g->top = u16(p + 2), g->columns = u16(p + 4), g->rows = u16(p + 6);
    g->interlaced = p[8] & 64;
    if (g->columns == 0 || g->rows == 0) return "its first frame has no pixels";
    if (g->left + g->columns > g->width) g->width = g->left + g->columns;
    if (g->top + g->rows > g->height) g->height = g->top + g->rows;
    return p[8] & 128 && !read_palette(g, p[8]) ? cut_off : NULL;
}

/* ---- LZW ---- */

/* The next code of `size` bits, or -1 at the end of the data. */
static int next_code(lzw *z, int size) {
    const uint8_t *p;
    while (z->bit_count < size) {
        if (!take(z->g, 1, &p)) return -1;
        if (z->block_left == 0) {
            if ((z->block_left = *p) == 0) return -1;
            continue;
        }
        z->block_left--;
        z->bits |= (uint32_t)*p << z->bit_count;
        z->bit_count += 8;
    }
    int code = (int)(z->bits & ((1u << size) - 1));
    z->bits >>= size;
    z->bit_count -= size;
    return code;
}

/* Interlaced frames come as rows 0, 8, 16...; 4, 12...; 2, 6...; 1, 3... */
static void next_row(lzw *z) {
    static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    z->x = 0;
    z->y += z->step;
    while (z->y >= z->g->rows && z->g->interlaced && z->pass < 3) {
        z->y = starts[++z->pass];
        z->step = steps[z->pass];
    }
    z->complete = z->y >= z->g->rows;
}

static void put(lzw *z, const uint8_t *pixels, int count) {
    gif *g = z->g;
    while (count > 0 && !z->complete) {
        int n = g->columns - z->x < count ? g->columns - z->x : count;
        memcpy(g->canvas + (size_t)(g->top + z->y) * (size_t)g->width + (size_t)(g->left + z->x), pixels, (size_t)n);
        pixels += n;
        count -= n;
        if ((z->x += n) == g->columns) next_row(z);
    }
}

/* Fills the frame. A string is its prefix's code and a last pixel; it is unrolled into `stack` from the right. */
static qv_status unpack(lzw *z, int bits) {
    const int clear = 1 << bits, end = clear + 1;
    int size = bits + 1, next = clear + 2, previous = -1, first = 0;
    for (unsigned n = 0; !z->complete; n++) {
        if (n % 4096 == 0 && qv__decode_check_clock(z->g->d)) return QV_MEDIA_LIMIT;
        int code = next_code(z, size);
        if (code < 0 || code == end) return qv__decode_fail(z->g->d, cut_off);
        if (code == clear) {
            size = bits + 1, next = clear + 2, previous = -1;
            continue;
        }
        if (code > next || (previous < 0 && code > clear) || (code == next && next == MAX_CODES))
            return qv__decode_fail(z->g->d, "its data are damaged");
        int at = MAX_CODES, walk = code;
        if (code == next) z->stack[--at] = (uint8_t)first, walk = previous;
        for (; walk >= clear; walk = z->link[walk]) z->stack[--at] = z->last[walk];
        z->stack[--at] = (uint8_t)walk;
        first = walk;
        if (previous >= 0 && next < MAX_CODES) {
            z->link[next] = (uint16_t)previous;
            z->last[next] = (uint8_t)first;
            if (next++ == (1 << size) - 1 && size < MAX_CODE_BITS) size++;
        }
        previous = code;
        put(z, z->stack + at, MAX_CODES - at);
    }
    return QV_OK;
}

static qv_status read_frame(gif *g) {
    qv__decode *d = g->d;
    size_t pixels = (size_t)g->width * (size_t)g->height;
    if (!(g->canvas = qv__malloc(pixels))) return qv__decode_no_memory(d, pixels);
    memset(g->canvas, g->transparent == NO_TRANSPARENCY ? 0 : g->transparent, pixels);
    const uint8_t *bits;
    if (!take(g, 1, &bits)) return qv__decode_fail(d, cut_off);
    if (*bits < 1 || *bits > 8) return qv__decode_fail(d, "its data are damaged");
    lzw *z = qv__malloc(sizeof *z);
    if (!z) return qv__decode_no_memory(d, sizeof *z);
    *z = (lzw){.g = g, .step = g->interlaced ? 8 : 1};
    qv_status status = unpack(z, *bits);
    qv__free(z);
    if (!status) qv__pixels_from_palette(g->canvas, g->palette, d->out->rgb, pixels);
    return status;
}

qv_status qv__gif_decode(qv__decode *d) {
    gif g = {.d = d};
    const char *reason = find_frame(&g);
    if (reason) return qv__decode_fail(d, reason);
    qv_status status = qv__decode_start(d, g.height, g.width);
    if (!status) status = read_frame(&g);
    qv__free(g.canvas);
    return status;
}
