/* Videos as MP4 files, for the benchmark's random ones. */
#ifndef QVEC_MEDIA_MP4_WRITE_H
#define QVEC_MEDIA_MP4_WRITE_H

#include "base/memory.h"
#include "qvec/qvec.h"

enum {
    QV__MP4_SIDE_MAX = 8190, /* the codec's field has 13 bits */
    QV__MP4_FRAMES_MAX = 65536,
    QV__MP4_RATE_MAX = 1000,
};

typedef struct {
    int height, width; /* even, because two pixels share a colour; at most QV__MP4_SIDE_MAX */
    int frames;        /* 1 to QV__MP4_FRAMES_MAX */
    int rate;          /* frames per second, 1 to QV__MP4_RATE_MAX */
    /* Fills rgb[height][width][3], `size` bytes, with the next frame. */
    void (*draw)(void *user, uint8_t *rgb, size_t size);
    void *user;
} qv__mp4_source;

/* Appends an MP4 file with one track of MPEG-4 Part 2 video (mp4v), which libavcodec encodes without further libraries.
 * The same frames give the same bytes. QV_INVALID_ARGUMENT, QV_UNSUPPORTED (libavcodec was built without the encoder),
 * QV_NO_MEMORY. */
qv_status qv__mp4_write(const qv__mp4_source *source, qv__buffer *out, qv_error *err);
#endif
