/* Pixel arithmetic of the reference's picture library, to the last bit. */
#include <string.h>

#include "media/decode.h"

/* x / 255 rounded to nearest, for x in [0, 255*255]. */
static inline unsigned divide_255(unsigned x) {
    x += 128;
    return ((x >> 8) + x) >> 8;
}

void qv__pixels_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++, rgba += 4, rgb += 3) {
        unsigned a = rgba[3], white = 255 * (255 - a);
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)divide_255(white + rgba[c] * a);
    }
}

void qv__pixels_from_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++, cmyk += 4, rgb += 3) {
        unsigned light = 255u - cmyk[3];
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(light - divide_255(cmyk[c] * light));
    }
}

void qv__pixels_from_gray(const uint8_t *gray, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++, rgb += 3) rgb[0] = rgb[1] = rgb[2] = gray[i];
}

void qv__pixels_from_gray16(const uint8_t *gray, bool big_endian, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++, gray += 2, rgb += 3)
        rgb[0] = rgb[1] = rgb[2] = gray[!big_endian] ? 255 : gray[big_endian];
}

void qv__palette_start(uint8_t palette[256][3]) {
    for (int i = 0; i < 256; i++) memset(palette[i], i, 3);
}

void qv__pixels_from_palette(const uint8_t *indices, uint8_t palette[256][3], uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++) memcpy(rgb + i * 3, palette[indices[i]], 3);
}
