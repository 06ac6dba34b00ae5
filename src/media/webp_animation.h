/* Animated WebP as a video. libav cannot decode it, so libwebp does. Private to this folder. */
#ifndef QVEC_MEDIA_WEBP_ANIMATION_H
#define QVEC_MEDIA_WEBP_ANIMATION_H

#include "media/media.h"

typedef struct qv__webp_animation qv__webp_animation;

bool qv__is_webp(const uint8_t *bytes, size_t size);
/* Rate: frames over the time they are shown; 10 a second when the file gives them no time. */
qv_status qv__webp_animation_open(const uint8_t *bytes, size_t size, const qv__media_limits *limits,
                                  qv__webp_animation **out, qv__video_facts *facts, qv_error *err);
qv_status qv__webp_animation_read(qv__webp_animation *animation, int64_t number, int64_t deadline, qv__bitmap *out,
                                  qv_error *err);
void qv__webp_animation_close(qv__webp_animation **animation);
#endif
