#include "media/webp_animation.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "base/error.h"
#include "base/memory.h"
#include "media/decode.h"

struct qv__webp_animation {
    WebPAnimDecoder *decoder;
    const qv__media_limits *limits;
    WebPAnimInfo info;
    bool alpha;
    int64_t next;          /* number of the frame that the decoder gives next */
    const uint8_t *canvas; /* the frame before it: [height][width][4], the decoder's */
};

bool qv__is_webp(const uint8_t *bytes, size_t size) {
    return size >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4);
}

/* Milliseconds that all frames are shown. */
static int64_t total_time(const WebPDemuxer *demuxer) {
    WebPIterator frame;
    int64_t total = 0;
    if (!WebPDemuxGetFrame(demuxer, 1, &frame)) return 0;
    do total += frame.duration;
    while (WebPDemuxNextFrame(&frame));
    WebPDemuxReleaseIterator(&frame);
    return total;
}

static qv_status read_facts(const WebPData *data, const qv__media_limits *limits, qv__video_facts *facts,
                            qv_error *err) {
    WebPDemuxer *demuxer = WebPDemux(data);
    if (!demuxer) return qv__fail(err, QV_VIDEO_DECODE, "the WebP animation is damaged or cut off");
    int64_t time = total_time(demuxer);
    facts->frames = WebPDemuxGetI(demuxer, WEBP_FF_FRAME_COUNT);
    facts->width = (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    facts->height = (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    facts->rate = time > 0 ? (double)facts->frames * 1000 / (double)time : 10;
    WebPDemuxDelete(demuxer);
    if (facts->frames < 1) return qv__fail(err, QV_VIDEO_DECODE, "the WebP animation holds no frames");
    if (facts->frames > limits->max_video_frames)
        return qv__fail(err, QV_MEDIA_LIMIT, "the video has %lld frames, over the limit of %lld",
                        (long long)facts->frames, (long long)limits->max_video_frames);
    return qv__media_check_size(limits, "video frame", facts->height, facts->width, err);
}

qv_status qv__webp_animation_open(const uint8_t *bytes, size_t size, const qv__media_limits *limits,
                                  qv__webp_animation **out, qv__video_facts *facts, qv_error *err) {
    WebPData data = {bytes, size};
    WebPBitstreamFeatures features;
    WebPAnimDecoderOptions options;
    qv_status status = read_facts(&data, limits, facts, err);
    if (status) return status;
    if (WebPGetFeatures(bytes, size, &features) != VP8_STATUS_OK || !WebPAnimDecoderOptionsInit(&options))
        return qv__fail(err, QV_VIDEO_DECODE, "the WebP animation is damaged");
    options.color_mode = MODE_RGBA;
    qv__webp_animation *a = qv__calloc(1, sizeof *a);
    if (!a) return qv__fail(err, QV_NO_MEMORY, "out of memory for a WebP animation");
    a->limits = limits;
    a->alpha = features.has_alpha;
    a->decoder = WebPAnimDecoderNew(&data, &options);
    if (!a->decoder || !WebPAnimDecoderGetInfo(a->decoder, &a->info)) {
        qv__webp_animation_close(&a);
        return qv__fail(err, QV_VIDEO_DECODE, "the WebP animation is damaged or cut off");
    }
    *out = a;
    return QV_OK;
}

/* Every frame builds on those before it, so all are decoded in order. */
qv_status qv__webp_animation_read(qv__webp_animation *a, int64_t number, int64_t deadline, qv__bitmap *out,
                                  qv_error *err) {
    if (number < a->next - 1) {
        WebPAnimDecoderReset(a->decoder);
        a->next = 0;
    }
    while (a->next <= number) {
        uint8_t *canvas;
        int milliseconds;
        qv_status status = qv__media_check_clock(a->limits, deadline, "video", err);
        if (status) return status;
        if (!WebPAnimDecoderGetNext(a->decoder, &canvas, &milliseconds))
            return qv__fail(err, QV_VIDEO_DECODE, "frame %lld of the video is damaged", (long long)a->next);
        a->canvas = canvas;
        a->next++;
    }
    size_t pixels = (size_t)a->info.canvas_height * a->info.canvas_width;
    *out = (qv__bitmap){(int)a->info.canvas_height, (int)a->info.canvas_width, qv__alloc_array(pixels, 3)};
    if (!out->rgb) return qv__fail(err, QV_NO_MEMORY, "out of memory for a video frame (%zu bytes)", pixels * 3);
    if (a->alpha)
        qv__pixels_over_white(a->canvas, out->rgb, pixels);
    else
        for (size_t i = 0; i < pixels; i++) memcpy(out->rgb + i * 3, a->canvas + i * 4, 3);
    return QV_OK;
}

void qv__webp_animation_close(qv__webp_animation **animation) {
    if (!*animation) return;
    WebPAnimDecoderDelete((*animation)->decoder);
    qv__free(*animation);
    *animation = NULL;
}
