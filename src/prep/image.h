/* Pixel arithmetic of the reference, pure functions. docs/MODEL.md part 5. */
#ifndef QVEC_PREP_IMAGE_H
#define QVEC_PREP_IMAGE_H

#include "qvec/qvec.h"

/* Target size of a picture: multiples of factor, area within [min_pixels, max_pixels], nearest aspect ratio.
 * QV_INVALID_ARGUMENT when one side is more than 200 times the other or a side is not positive. */
qv_status qv__smart_resize(int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, int *out_height,
                           int *out_width, qv_error *err);

/* Target size of each frame of a video of `frames` frames that share total_pixels. */
qv_status qv__video_size(int height, int width, int frames, int64_t total_pixels, int factor, int *out_height,
                         int *out_width, qv_error *err);

/* Image.resize(BICUBIC) of Pillow 13 on RGB, equal bytes (before 13 the order of the passes was another, and some bytes
 * with it). src [height][width][3] -> dst [out_height][out_width][3].
 * An axis whose size does not change is skipped. Scratch is malloc'd inside. */
qv_status qv__resize_bicubic(const uint8_t *src, int height, int width, uint8_t *dst, int out_height, int out_width,
                             qv_error *err);
/* torchvision's antialiased bicubic on uint8 (video frames), equal bytes to its AVX2 and AVX-512 builds. Same
 * arguments. */
qv_status qv__resize_bicubic_torch(const uint8_t *src, int height, int width, uint8_t *dst, int out_height,
                                   int out_width, qv_error *err);

/* Which frames of a video of `frames` frames at `rate` per second are taken at `fps` (0: 1), at most max_frames (0:
 * 64). indices has room for max_frames; *count is even. */
qv_status qv__video_choose(int64_t frames, double rate, double fps, int max_frames, int64_t *indices, int *count,
                           qv_error *err);
/* The same for a list of pictures, which are taken as they are unless there are more than max_frames (0: 64). An odd
 * number is filled up by the last one. indices has room for one more than max_frames (or frames, if that is less). */
void qv__frames_choose(int frames, int max_frames, int *indices, int *count);
#endif
