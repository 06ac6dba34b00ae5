/* One video file in memory, through libavformat and libavcodec: packets and decoded frames in order, from the start or
 * from a key frame. Private to this folder. */
#ifndef QVEC_MEDIA_CONTAINER_H
#define QVEC_MEDIA_CONTAINER_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "media/media.h"

typedef struct {
    const uint8_t *bytes;
    size_t size;
    size_t at; /* where libavformat reads next */
    const qv__media_limits *limits;
    int64_t deadline;
    AVIOContext *io;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVPacket *packet;
    int stream;
    bool draining; /* the last packet has been sent */
} qv__container;

/* The only state of libav's that is touched for the whole process: its log goes to stderr unless told not to. */
void qv__libav_silence(void);

/* c->bytes, size, limits and deadline are set, the rest is zero. On failure everything is freed again. */
qv_status qv__container_open(qv__container *c, qv_error *err);
void qv__container_close(qv__container *c);
/* Back to a newly opened file. */
qv_status qv__container_reopen(qv__container *c, qv_error *err);
/* To the key frame at or before this timestamp. False: the demuxer cannot. */
bool qv__container_seek(qv__container *c, int64_t timestamp);

/* The next packet of the video stream in c->packet; *end: there is none. */
qv_status qv__container_next_packet(qv__container *c, bool *end, qv_error *err);
/* Whether c->packet is a key frame from which decoding gives the same frames as from the start. */
bool qv__container_can_start_here(const qv__container *c);
/* The next frame in presentation order; *end: there is none. keep(context, timestamp) tells whether a packet's frame is
 * wanted; others may be left out where nothing depends on them. keep NULL: every frame. */
qv_status qv__container_next_frame(qv__container *c, AVFrame *frame, bool *end,
                                   bool (*keep)(const void *context, int64_t timestamp), const void *context,
                                   qv_error *err);
const AVStream *qv__container_stream(const qv__container *c);
/* Degrees that the picture is to be turned clockwise: 0, 90, 180 or 270 (other angles count as 0). */
int qv__container_rotation(const qv__container *c);

/* Refuses an MP4 or MOV file that announces more samples than an index may hold; other files pass. QV_MEDIA_LIMIT. */
qv_status qv__boxes_check(const uint8_t *bytes, size_t size, qv_error *err);

/* ---- frames to RGB ---- */

typedef struct SwsContext qv__scaler;
/* Converts to RGB of height x width (before the turn) and turns by rotation. *scaler is kept between calls, freed with
 * sws_freeContext. */
qv_status qv__frame_to_rgb(const AVFrame *frame, int height, int width, int rotation, qv__scaler **scaler,
                           qv__bitmap *out, qv_error *err);
#endif
