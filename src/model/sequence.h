/* One prompt as the network takes it. Made by prep/, owned by the item's arena, read by model/. */
#ifndef QVEC_MODEL_SEQUENCE_H
#define QVEC_MODEL_SEQUENCE_H

#include <stdint.h>

/* One run of vision tokens: a picture, or one temporal patch (two frames) of a video. Runs do not see each
 * other in the vision tower, so each can be computed, cached and batched on its own. */
typedef struct {
    const uint8_t *frame[2]; /* [height][width][3] RGB after resizing; the same pointer twice for a picture */
    int height, width;       /* pixels, multiples of patch * merge */
    int32_t first_token;     /* index in ids of its first pad token; it has (height/32)*(width/32) of them */
    uint8_t key[32];         /* SHA-256 over height, width and the SHA-256 of each frame: names its features */
} qv__vision_run;

typedef struct {
    int32_t *ids;       /* [length] */
    int32_t *positions; /* [3][length]: T, H, W of M-RoPE */
    int32_t length;
    qv__vision_run *runs;
    int run_count;
} qv__sequence;
#endif
