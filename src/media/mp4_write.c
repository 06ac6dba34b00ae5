#include "media/mp4_write.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#include "base/error.h"
#include "media/container.h"

enum { QUANTIZER = 31, KEY_EVERY = 12 }; /* the coarsest: noise takes 0.14 byte a pixel */

typedef struct {
    const qv__mp4_source *source;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream; /* the format's */
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *scaler;
    uint8_t *rgb; /* [height][width][3], and room for the scaler's vectors */
    qv_error *err;
} writer;

static qv_status fail(const writer *w, int code, const char *what) {
    char reason[AV_ERROR_MAX_STRING_SIZE] = "";
    if (code == AVERROR(ENOMEM)) return qv__fail(w->err, QV_NO_MEMORY, "out of memory for a video");
    av_strerror(code, reason, sizeof reason);
    return qv__fail(w->err, QV_INTERNAL, "%s: %s", what, reason);
}

static qv_status no_memory(const writer *w) {
    return fail(w, AVERROR(ENOMEM), "");
}

static qv_status open_codec(writer *w) {
    const AVCodec *encoder = avcodec_find_encoder_by_name("mpeg4");
    if (!encoder) return qv__fail(w->err, QV_UNSUPPORTED, "libavcodec has no mpeg4 encoder here: no videos are made");
    AVCodecContext *c = w->codec = avcodec_alloc_context3(encoder);
    if (!c) return no_memory(w);
    c->width = w->source->width;
    c->height = w->source->height;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->time_base = (AVRational){1, w->source->rate};
    c->framerate = (AVRational){w->source->rate, 1};
    c->gop_size = KEY_EVERY;
    c->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    c->global_quality = QUANTIZER * FF_QP2LAMBDA;
    c->thread_count = 1;
    int code = avcodec_open2(c, encoder, NULL);
    return code < 0 ? fail(w, code, "the mpeg4 encoder cannot be opened") : QV_OK;
}

static qv_status open_file(writer *w) {
    int code = avformat_alloc_output_context2(&w->format, NULL, "mp4", NULL);
    if (code < 0) return fail(w, code, "libavformat writes no MP4");
    w->format->flags |= AVFMT_FLAG_BITEXACT;
    w->stream = avformat_new_stream(w->format, NULL);
    if (!w->stream) return no_memory(w);
    w->stream->time_base = w->codec->time_base;
    w->stream->avg_frame_rate = w->codec->framerate;
    code = avcodec_parameters_from_context(w->stream->codecpar, w->codec);
    if (code >= 0) code = avio_open_dyn_buf(&w->format->pb);
    if (code >= 0) code = avformat_write_header(w->format, NULL);
    return code < 0 ? fail(w, code, "an MP4 file cannot be begun") : QV_OK;
}

static qv_status open_frame(writer *w) {
    int height = w->source->height, width = w->source->width;
    w->frame = av_frame_alloc();
    w->packet = av_packet_alloc();
    w->rgb = qv__malloc((size_t)height * (size_t)width * 3 + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!w->frame || !w->packet || !w->rgb) return no_memory(w);
    w->frame->format = AV_PIX_FMT_YUV420P;
    w->frame->width = width;
    w->frame->height = height;
    int code = av_frame_get_buffer(w->frame, 0);
    if (code < 0) return fail(w, code, "a video frame cannot be made");
    w->scaler = sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, AV_PIX_FMT_YUV420P,
                               SWS_BILINEAR | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    return w->scaler ? QV_OK : no_memory(w);
}

/* Packets that the encoder has ready. */
static int write_packets(writer *w) {
    int code = 0;
    while (code >= 0 && (code = avcodec_receive_packet(w->codec, w->packet)) >= 0) {
        w->packet->duration = 1;
        w->packet->stream_index = w->stream->index;
        av_packet_rescale_ts(w->packet, w->codec->time_base, w->stream->time_base);
        code = av_write_frame(w->format, w->packet);
        av_packet_unref(w->packet);
    }
    return code == AVERROR(EAGAIN) || code == AVERROR_EOF ? 0 : code;
}

static int write_frame(writer *w, int number) {
    const qv__mp4_source *s = w->source;
    s->draw(s->user, w->rgb, (size_t)s->height * (size_t)s->width * 3);
    int code = av_frame_make_writable(w->frame);
    if (code < 0) return code;
    sws_scale(w->scaler, (const uint8_t *const[4]){w->rgb}, (int[4]){s->width * 3}, 0, s->height, w->frame->data,
              w->frame->linesize);
    w->frame->pts = number;
    w->frame->quality = w->codec->global_quality; /* what the encoder goes by */
    code = avcodec_send_frame(w->codec, w->frame);
    return code < 0 ? code : write_packets(w);
}

static qv_status write_all(writer *w) {
    int code = 0;
    for (int i = 0; i < w->source->frames && code >= 0; i++) code = write_frame(w, i);
    if (code >= 0) code = avcodec_send_frame(w->codec, NULL);
    if (code >= 0) code = write_packets(w);
    if (code >= 0) code = av_write_trailer(w->format);
    return code < 0 ? fail(w, code, "a video cannot be written") : QV_OK;
}

/* The file's bytes go to `out` when all went well, and are freed in any case. */
static qv_status close_all(writer *w, qv_status status, qv__buffer *out) {
    uint8_t *bytes = NULL;
    int size = w->format && w->format->pb ? avio_close_dyn_buf(w->format->pb, &bytes) : 0;
    if (!status && (size <= 0 || !qv__buffer_append(out, bytes, (size_t)size))) status = no_memory(w);
    av_free(bytes);
    avformat_free_context(w->format);
    avcodec_free_context(&w->codec);
    av_frame_free(&w->frame);
    av_packet_free(&w->packet);
    sws_freeContext(w->scaler);
    qv__free(w->rgb);
    return status;
}

static bool is_within(int value, int most) {
    return value >= 1 && value <= most;
}

static bool is_side(int value) {
    return is_within(value, QV__MP4_SIDE_MAX) && value % 2 == 0;
}

qv_status qv__mp4_write(const qv__mp4_source *source, qv__buffer *out, qv_error *err) {
    writer w = {.source = source, .err = err};
    if (!is_side(source->height) || !is_side(source->width))
        return qv__fail(err, QV_INVALID_ARGUMENT, "a video of %d x %d; even sides up to %d", source->height,
                        source->width, QV__MP4_SIDE_MAX);
    if (!is_within(source->frames, QV__MP4_FRAMES_MAX) || !is_within(source->rate, QV__MP4_RATE_MAX))
        return qv__fail(err, QV_INVALID_ARGUMENT, "a video of %d frames, %d a second; 1 to %d frames, 1 to %d a second",
                        source->frames, source->rate, QV__MP4_FRAMES_MAX, QV__MP4_RATE_MAX);
    qv__libav_silence();
    qv_status status = open_codec(&w);
    if (!status) status = open_file(&w);
    if (!status) status = open_frame(&w);
    if (!status) status = write_all(&w);
    return close_all(&w, status, out);
}
