/* Front of the vision tower: pixels to patch rows, and where a patch samples the table of position embeddings. Well
 * under a thousandth of the tower's time, so portable C alone. */
#ifndef QVEC_KERNELS_VISION_H
#define QVEC_KERNELS_VISION_H

#include <stdint.h>

/* level[p] = (p - 127.5) / 127.5: the processor's rescaling and normalisation in one, rounded once, as it does it. */
void qv__pixel_levels(float level[256]);

/* One patch: out[channel 3][time 2][y patch][x patch] = level[pixel]; frame[t] is the patch's first pixel (RGB) in
 * frame t, whose rows are row_bytes apart. */
void qv__patch_row(float *out, const uint8_t *const frame[2], int64_t row_bytes, int patch, const float level[256]);

/* A grid coordinate's two cells in a row of `side` cells and the weight of the upper one. */
typedef struct {
    int low, high; /* high = min(low + 1, side - 1) */
    float weight;  /* coordinate - low */
} qv__grid_sample;

/* Coordinate i of linspace(0, side - 1, count), in torch's fp32 steps: from the start in the lower half, from the end
 * (fused) in the upper. */
qv__grid_sample qv__grid_sample_at(int i, int count, int side);

/* Cells [low y, low x], [low y, high x], [high y, low x], [high y, high x] of the table, and their weights. */
void qv__grid_corners(qv__grid_sample y, qv__grid_sample x, int side, int64_t cell[4], float weight[4]);
#endif
