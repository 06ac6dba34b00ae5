/* The EXIF orientation: finding it, and turning a bitmap by it. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "media/decode.h"

typedef struct {
    const uint8_t *data;
    size_t size;
    bool big;
} tiff_view;

static uint32_t read_u16(const tiff_view *v, size_t at) {
    const uint8_t *p = v->data + at;
    return v->big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t read_u32(const tiff_view *v, size_t at) {
    return v->big ? read_u16(v, at) << 16 | read_u16(v, at + 2) : read_u16(v, at + 2) << 16 | read_u16(v, at);
}

int qv__exif_orientation(const uint8_t *exif, size_t size) {
    enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };
    if (size >= 6 && !memcmp(exif, "Exif\0\0", 6)) exif += 6, size -= 6;
    if (size < 8 || (memcmp(exif, "II*\0", 4) && memcmp(exif, "MM\0*", 4))) return 1;
    tiff_view v = {exif, size, exif[0] == 'M'};
    size_t at = read_u32(&v, 4);
    if (at > size - 2) return 1;
    size_t entries = read_u16(&v, at);
    at += 2;
    for (size_t i = 0; i < entries && at + 12 <= size; i++, at += 12) {
        if (read_u16(&v, at) != TAG_ORIENTATION) continue;
        uint32_t value = read_u16(&v, at + 8);
        return read_u16(&v, at + 2) == TYPE_SHORT && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Where source row 0, column 0 of each orientation lies and which way the source runs, in target terms:
 * target(y, x) = source(row, column) with the two swapped for 5..8 and each mirrored as told. */
static const struct {
    bool swap, mirror_rows, mirror_columns;
} turns[9] = {
    [1] = {false, false, false}, [2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
    [5] = {true, false, false},  [6] = {true, true, false},  [7] = {true, true, true},  [8] = {true, false, true},
};

qv_status qv__bitmap_orient(qv__bitmap *b, int orientation, qv_error *err) {
    if (orientation <= 1 || orientation > 8) return QV_OK;
    bool swap = turns[orientation].swap;
    int height = swap ? b->width : b->height, width = swap ? b->height : b->width;
    size_t size = (size_t)height * (size_t)width * 3;
    uint8_t *turned = qv__malloc(size);
    if (!turned) return qv__fail(err, QV_NO_MEMORY, "out of memory for turning a picture (%zu bytes)", size);
    uint8_t *to = turned;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++, to += 3) {
            int row = swap ? x : y, column = swap ? y : x;
            if (turns[orientation].mirror_rows) row = b->height - 1 - row;
            if (turns[orientation].mirror_columns) column = b->width - 1 - column;
            memcpy(to, b->rgb + ((size_t)row * (size_t)b->width + (size_t)column) * 3, 3);
        }
    }
    qv__free(b->rgb);
    *b = (qv__bitmap){height, width, turned};
    return QV_OK;
}
