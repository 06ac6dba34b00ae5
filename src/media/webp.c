/* WebP through libwebp: lossy, lossless, alpha; of an animation the first frame on its canvas. */
#include <webp/decode.h>
#include <webp/demux.h>

#include "base/memory.h"
#include "media/decode.h"

static const char *reason_of(VP8StatusCode code) {
    switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED: return "it is cut off";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses a feature that is not supported";
    default: return "its data are damaged";
    }
}

/* Canvas [height][width][4] to RGB: pasted on white when the file says that it has alpha, else the colours alone. */
static void take_rgba(qv__bitmap *out, const uint8_t *rgba, bool alpha) {
    size_t n = (size_t)out->height * (size_t)out->width;
    if (alpha) {
        qv__pixels_over_white(rgba, out->rgb, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) out->rgb[i * 3 + (size_t)c] = rgba[i * 4 + (size_t)c];
}

static qv_status decode_animation(qv__decode *d, bool alpha) {
    WebPData data = {d->bytes, d->size};
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options)) return qv__decode_fail(d, "libwebp has another version");
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    if (!decoder) return qv__decode_fail(d, "its frames are damaged or cut off");
    uint8_t *canvas;
    int milliseconds;
    qv_status status = QV_OK;
    if (WebPAnimDecoderGetNext(decoder, &canvas, &milliseconds))
        take_rgba(d->out, canvas, alpha);
    else
        status = qv__decode_fail(d, "its first frame is damaged or cut off");
    WebPAnimDecoderDelete(decoder);
    return status;
}

/* One picture, decoded in place or, with alpha, through a buffer of 4 bytes a pixel. */
static qv_status decode_still(qv__decode *d, WebPDecoderConfig *config, bool alpha) {
    size_t width = (size_t)d->out->width, height = (size_t)d->out->height, stride = width * (alpha ? 4 : 3);
    uint8_t *pixels = d->out->rgb;
    if (alpha && !(pixels = qv__alloc_array(height, stride))) return qv__decode_no_memory(d, height * stride);
    config->output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config->output.is_external_memory = 1;
    config->output.u.RGBA = (WebPRGBABuffer){pixels, (int)stride, height * stride};
    VP8StatusCode code = WebPDecode(d->bytes, d->size, config);
    if (alpha && code == VP8_STATUS_OK) take_rgba(d->out, pixels, true);
    if (alpha) qv__free(pixels);
    return code == VP8_STATUS_OK ? QV_OK : qv__decode_fail(d, reason_of(code));
}

static void find_orientation(qv__decode *d) {
    WebPData data = {d->bytes, d->size};
    WebPDemuxer *demuxer = WebPDemux(&data);
    WebPChunkIterator chunk;
    if (!demuxer) return;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        d->orientation = qv__exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
}

qv_status qv__webp_decode(qv__decode *d) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return qv__decode_fail(d, "libwebp has another version");
    VP8StatusCode code = WebPGetFeatures(d->bytes, d->size, &config.input);
    if (code != VP8_STATUS_OK) return qv__decode_fail(d, reason_of(code));
    qv_status status = qv__decode_start(d, config.input.height, config.input.width);
    if (status) return status;
    bool alpha = config.input.has_alpha;
    status = config.input.has_animation ? decode_animation(d, alpha) : decode_still(d, &config, alpha);
    if (!status) status = qv__decode_check_clock(d);
    if (!status && d->wants_orientation) find_orientation(d);
    return status;
}
