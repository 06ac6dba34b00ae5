/* Untrusted bytes to RGB frames. Only this folder includes picture and video libraries. Thread-safe, no state.
 * Every size is checked against the limits before anything of that size is allocated or decoded. */
#ifndef QVEC_MEDIA_MEDIA_H
#define QVEC_MEDIA_MEDIA_H

#include "qvec/qvec.h"

typedef struct {
    int64_t max_bytes;        /* of an encoded file */
    int64_t max_pixels;       /* of one decoded picture or frame */
    int64_t max_side;
    int64_t max_video_frames; /* frames looked at in one video */
    int64_t max_decoded_bytes;/* kept frames of one video */
    double max_seconds;       /* wall time of one decode */
} qv__media_limits;

extern const qv__media_limits qv__media_default_limits;

typedef struct {
    int height, width;
    uint8_t *rgb;             /* [height][width][3], owned */
} qv__bitmap;
void qv__bitmap_clear(qv__bitmap *b);

/* Decodes a picture as the reference does: alpha pasted on white, other modes converted to RGB, orientation
 * tag applied only when asked. QV_IMAGE_DECODE, QV_MEDIA_LIMIT, QV_NO_MEMORY. */
qv_status qv__image_decode(const void *bytes, size_t size, bool apply_orientation, const qv__media_limits *limits,
                           qv__bitmap *out, qv_error *err);

typedef struct {
    int64_t frames;           /* frames in the video */
    double rate;              /* average frames per second, as the reference's reader states it */
    int height, width;        /* after rotation flags */
} qv__video_facts;

typedef struct qv__video qv__video;

/* bytes must outlive the video. */
qv_status qv__video_open(const void *bytes, size_t size, const qv__media_limits *limits, qv__video **out,
                         qv__video_facts *facts, qv_error *err);
/* Decodes exactly the frames with these ascending indices (repeats allowed) into frames[count]. */
qv_status qv__video_read(qv__video *video, const int64_t *indices, int count, qv__bitmap *frames, qv_error *err);
void qv__video_close(qv__video **video);

/* Bytes behind a path (below root when root is not NULL: no "..", no symlinks out of it, regular files only) or a base64
 * data: URL. *bytes: malloc'd. QV_MEDIA_SOURCE, QV_MEDIA_LIMIT. relative_to: folder of relative paths; NULL: cwd. */
qv_status qv__media_load(const char *path_or_data_url, const char *relative_to, const char *root,
                         const qv__media_limits *limits, void **bytes, size_t *size, qv_error *err);
#endif
