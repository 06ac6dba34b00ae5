/* Decoded video frames to RGB, as the reference's reader converts them: libswscale's bilinear scaler at equal size, by
 * the frame's own colour matrix and range. */
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "media/container.h"
#include "media/decode.h"

static qv_status failed(const AVFrame *frame, qv_error *err) {
    const char *name = av_get_pix_fmt_name(frame->format);
    return qv__fail(err, QV_VIDEO_DECODE, "frames of %s pixels cannot be converted to RGB", name ? name : "unknown");
}

static bool prepare(const AVFrame *frame, int height, int width, qv__scaler **scaler) {
    *scaler = sws_getCachedContext(*scaler, frame->width, frame->height, frame->format, width, height, AV_PIX_FMT_RGB24,
                                   SWS_BILINEAR, NULL, NULL, NULL);
    if (!*scaler) return false;
    int *from, *to, from_full, to_full, brightness, contrast, saturation;
    if (sws_getColorspaceDetails(*scaler, &from, &from_full, &to, &to_full, &brightness, &contrast, &saturation) < 0)
        return true; /* not a conversion between colour spaces */
    const int *matrix = sws_getCoefficients(frame->colorspace);
    if (frame->color_range != AVCOL_RANGE_UNSPECIFIED) from_full = frame->color_range == AVCOL_RANGE_JPEG;
    sws_setColorspaceDetails(*scaler, matrix, from_full, matrix, to_full, brightness, contrast, saturation);
    return true;
}

/* rgb [height][stride] to the bitmap, turned clockwise. */
static void turn(const uint8_t *rgb, int stride, int height, int width, int rotation, qv__bitmap *out) {
    for (int y = 0; y < out->height; y++) {
        uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
        if (rotation == 0) {
            memcpy(to, rgb + (ptrdiff_t)y * stride, (size_t)width * 3);
            continue;
        }
        for (int x = 0; x < out->width; x++, to += 3) {
            int row = rotation == 90 ? height - 1 - x : rotation == 180 ? height - 1 - y : x;
            int column = rotation == 90 ? y : rotation == 180 ? width - 1 - x : width - 1 - y;
            memcpy(to, rgb + (ptrdiff_t)row * stride + (ptrdiff_t)column * 3, 3);
        }
    }
}

qv_status qv__frame_to_rgb(const AVFrame *frame, int height, int width, int rotation, qv__scaler **scaler,
                           qv__bitmap *out, qv_error *err) {
    if (!prepare(frame, height, width, scaler)) return failed(frame, err);
    uint8_t *rgb[4] = {0};
    int stride[4] = {0};
    int size = av_image_alloc(rgb, stride, width, height, AV_PIX_FMT_RGB24, 64); /* the scaler writes whole vectors */
    bool sideways = rotation == 90 || rotation == 270;
    *out = (qv__bitmap){sideways ? width : height, sideways ? height : width, NULL};
    if (size < 0 || !(out->rgb = qv__malloc((size_t)height * (size_t)width * 3))) {
        av_freep(&rgb[0]);
        return qv__fail(err, QV_NO_MEMORY, "out of memory for a video frame of %d x %d pixels", width, height);
    }
    int rows = sws_scale(*scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, rgb, stride);
    if (rows == height) turn(rgb[0], stride[0], height, width, rotation, out);
    av_freep(&rgb[0]);
    if (rows == height) return QV_OK;
    qv__bitmap_clear(out);
    return failed(frame, err);
}
