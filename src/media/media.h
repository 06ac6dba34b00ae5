/* Untrusted bytes to RGB frames. Only this folder includes picture and video libraries. Thread-safe, no state (libav's
 * log, which is one for the process, is switched off at the first video).
 * Every size is checked against the limits before anything of that size is allocated or decoded. Where a function takes
 * limits, NULL stands for the defaults. */
#ifndef QVEC_MEDIA_MEDIA_H
#define QVEC_MEDIA_MEDIA_H

#include <stdatomic.h>

#include "qvec/qvec.h"

typedef struct {
    int64_t max_bytes;  /* of an encoded file */
    int64_t max_pixels; /* of one decoded picture or frame */
    int64_t max_side;
    int64_t max_video_frames;  /* frames looked at in one video */
    int64_t max_decoded_bytes; /* frames kept by one read */
    double max_seconds;        /* wall time of one decode */
    const atomic_bool *stop;   /* NULL, or once it is set decoding is given up: QV_CANCELLED */
} qv__media_limits;

extern const qv__media_limits qv__media_default_limits;

typedef struct {
    int height, width;
    uint8_t *rgb; /* [height][width][3], owned */
} qv__bitmap;
void qv__bitmap_clear(qv__bitmap *b);

/* Whether a picture or frame ("picture", "video frame": what) of this size is allowed. QV_MEDIA_LIMIT. */
qv_status qv__media_check_size(const qv__media_limits *limits, const char *what, int64_t height, int64_t width,
                               qv_error *err);

/* Decodes a picture as the reference does: alpha pasted on white, other modes converted to RGB, orientation
 * tag applied only when asked (TIFF: always, as the reference's library does it while loading). Content tells the
 * format. A picture of which a part is missing or damaged is an error. QV_IMAGE_DECODE, QV_MEDIA_LIMIT, QV_NO_MEMORY.
 */
qv_status qv__image_decode(const void *bytes, size_t size, bool apply_orientation, const qv__media_limits *limits,
                           qv__bitmap *out, qv_error *err);

typedef struct {
    int64_t frames;    /* frames in the video */
    double rate;       /* average frames per second, as the reference's reader states it */
    int height, width; /* after rotation flags */
} qv__video_facts;

typedef struct qv__video qv__video;

/* bytes and limits must outlive the video. QV_VIDEO_DECODE, QV_MEDIA_LIMIT, QV_NO_MEMORY. */
qv_status qv__video_open(const void *bytes, size_t size, const qv__media_limits *limits, qv__video **out,
                         qv__video_facts *facts, qv_error *err);
/* Decodes exactly the frames with these ascending indices (repeats allowed) into frames[count]. Frame i is the picture
 * on screen at the i-th timestamp, whichever frames were read before. A later call may go back. On failure no frame is
 * left. */
qv_status qv__video_read(qv__video *video, const int64_t *indices, int count, qv__bitmap *frames, qv_error *err);
void qv__video_close(qv__video **video);

/* Bytes behind a path, a file:// URL or a base64 data: URL. *bytes: for qv__free. Regular files only. root NULL:
 * relative paths lie in relative_to (NULL: the working directory). Else every path must lie below root, relative ones
 * are taken from it, ".." does not lead out, and no symbolic link is followed. QV_MEDIA_SOURCE, QV_MEDIA_LIMIT,
 * QV_NO_MEMORY. */
qv_status qv__media_load(const char *path_or_data_url, const char *relative_to, const char *root,
                         const qv__media_limits *limits, void **bytes, size_t *size, qv_error *err);
#endif
