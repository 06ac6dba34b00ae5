#include "prep/prompt.h"

/* A stretch of text: the three axes run together. */
static int32_t fill_text(int32_t *positions, int32_t length, int32_t from, int32_t to, int32_t p) {
    for (int32_t i = from; i < to; i++, p++)
        for (int axis = 0; axis < 3; axis++) positions[(size_t)axis * (size_t)length + (size_t)i] = p;
    return p;
}

/* docs/MODEL.md part 7: token (r, c) of a run of rows x columns gets (p, p + r, p + c); p then moves on by the larger
 * of the two. Every temporal patch of a video is a run of its own. */
void qv__positions(const qv__config *config, const int32_t *ids, int32_t length, const qv__vision_run *runs,
                   int run_count, int32_t *positions) {
    int32_t p = 0, at = 0;
    int cell = config->has_vision ? config->vision.patch * config->vision.merge : 1;
    size_t n = (size_t)length;
    for (int k = 0; k < run_count; k++) {
        int32_t rows = runs[k].height / cell, columns = runs[k].width / cell;
        p = fill_text(positions, length, at, runs[k].first_token, p);
        at = runs[k].first_token;
        for (int32_t r = 0; r < rows; r++) {
            for (int32_t c = 0; c < columns; c++, at++) {
                positions[at] = p;
                positions[n + (size_t)at] = p + r;
                positions[2 * n + (size_t)at] = p + c;
            }
        }
        p += rows > columns ? rows : columns;
    }
    fill_text(positions, length, at, length, p);
}
