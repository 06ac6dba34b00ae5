#include "kernels/vision.h"

#include <math.h>

void qv__pixel_levels(float level[256]) {
    for (int p = 0; p < 256; p++) level[p] = ((float)p - 127.5f) / 127.5f;
}

void qv__patch_row(float *out, const uint8_t *const frame[2], int64_t row_bytes, int patch, const float level[256]) {
    int64_t plane = (int64_t)patch * patch;
    for (int t = 0; t < 2; t++) {
        float *red = out + t * plane, *green = red + 2 * plane, *blue = green + 2 * plane;
        for (int64_t y = 0; y < patch; y++) {
            const uint8_t *pixel = frame[t] + y * row_bytes;
            for (int64_t i = y * patch; i < (y + 1) * patch; i++, pixel += 3) {
                red[i] = level[pixel[0]];
                green[i] = level[pixel[1]];
                blue[i] = level[pixel[2]];
            }
        }
    }
}

qv__grid_sample qv__grid_sample_at(int i, int count, int side) {
    float coordinate = 0.0f, last = (float)(side - 1);
    if (count > 1) {
        float step = last / (float)(count - 1);
        coordinate = i < count / 2 ? step * (float)i : fmaf(-step, (float)(count - 1 - i), last);
    }
    int low = (int)coordinate;
    return (qv__grid_sample){low, low + 1 < side ? low + 1 : side - 1, coordinate - (float)low};
}

void qv__grid_corners(qv__grid_sample y, qv__grid_sample x, int side, int64_t cell[4], float weight[4]) {
    const int64_t top = (int64_t)y.low * side, bottom = (int64_t)y.high * side;
    cell[0] = top + x.low;
    cell[1] = top + x.high;
    cell[2] = bottom + x.low;
    cell[3] = bottom + x.high;
    weight[0] = (1.0f - y.weight) * (1.0f - x.weight);
    weight[1] = (1.0f - y.weight) * x.weight;
    weight[2] = y.weight * (1.0f - x.weight);
    weight[3] = y.weight * x.weight;
}
