#include "media/container.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <libavutil/display.h>

#include "base/clock.h"
#include "base/error.h"
#include "media/decode.h"

/* Nothing else is probed or decoded: no play lists, no formats that name other files, no sequences of pictures. */
static const char allowed_formats[] = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif";

/* X(decoder, strict). Strict: the decoder fails where it would otherwise guess, because it marks no frame that it
 * guessed. H.264 and its successors mark such frames; there the marks decide, as real streams have flaws that cost
 * nothing. */
#define DECODERS(X)                                                                                                    \
    X(h264, 0)                                                                                                         \
    X(hevc, 0)                                                                                                         \
    X(vp8, 0)                                                                                                          \
    X(vp9, 0)                                                                                                          \
    X(av1, 0)                                                                                                          \
    X(libdav1d, 0)                                                                                                     \
    X(mpeg1video, 1)                                                                                                   \
    X(mpeg2video, 1)                                                                                                   \
    X(mpeg4, 1)                                                                                                        \
    X(h263, 1)                                                                                                         \
    X(msmpeg4, 1)                                                                                                      \
    X(mjpeg, 1)                                                                                                        \
    X(prores, 1)                                                                                                       \
    X(dnxhd, 1)                                                                                                        \
    X(ffv1, 1)                                                                                                         \
    X(huffyuv, 1)                                                                                                      \
    X(ffvhuff, 1)                                                                                                      \
    X(utvideo, 1)                                                                                                      \
    X(png, 1)                                                                                                          \
    X(gif, 1)                                                                                                          \
    X(rawvideo, 1)

#define DECODER_NAME(name, strict) #name ","
static const char allowed_decoders[] = DECODERS(DECODER_NAME);

static const struct {
    const char *name;
    bool strict;
} decoders[] = {
#define DECODER_ROW(name, strict) {#name, strict},
    DECODERS(DECODER_ROW)};

static void silence(void) {
    av_log_set_level(AV_LOG_QUIET);
}

void qv__libav_silence(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, silence);
}

static qv_status fail(const qv__container *c, int code, const char *what, qv_error *err) {
    char reason[AV_ERROR_MAX_STRING_SIZE] = "";
    if (qv__media_is_over(c->limits, c->deadline)) return qv__media_check_clock(c->limits, c->deadline, "video", err);
    if (code == AVERROR(ENOMEM)) return qv__fail(err, QV_NO_MEMORY, "out of memory while decoding a video");
    if (code) av_strerror(code, reason, sizeof reason);
    return qv__fail(err, QV_VIDEO_DECODE, "%s%s%s", what, code ? ": " : "", reason);
}

/* ---- bytes in memory for libavformat ---- */

static int on_read(void *opaque, uint8_t *to, int size) {
    qv__container *c = opaque;
    size_t left = c->size - c->at;
    if (qv__media_is_over(c->limits, c->deadline)) return AVERROR_EXIT; /* demuxers search a damaged file to its end */
    if (left == 0) return AVERROR_EOF;
    if (size < 0) return AVERROR(EINVAL);
    if ((size_t)size > left) size = (int)left;
    memcpy(to, c->bytes + c->at, (size_t)size);
    c->at += (size_t)size;
    return size;
}

static int64_t on_seek(void *opaque, int64_t offset, int whence) {
    qv__container *c = opaque;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return (int64_t)c->size;
    int64_t from = whence == SEEK_SET   ? 0
                   : whence == SEEK_CUR ? (int64_t)c->at
                   : whence == SEEK_END ? (int64_t)c->size
                                        : -1;
    int64_t to;
    if (from < 0 || __builtin_add_overflow(from, offset, &to) || to < 0) return AVERROR(EINVAL);
    if (to > (int64_t)c->size) to = (int64_t)c->size; /* what is read from there is the end */
    c->at = (size_t)to;
    return to;
}

static int on_interrupt(void *opaque) {
    const qv__container *c = opaque;
    return qv__media_is_over(c->limits, c->deadline);
}

/* A file may name others (references in MOV, segments in Matroska). None is opened. */
static int refuse_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags, AVDictionary **options) {
    (void)format, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EACCES);
}

static bool open_bytes(qv__container *c) {
    enum { BUFFER_SIZE = 1 << 15 };
    uint8_t *buffer = av_malloc(BUFFER_SIZE);
    c->at = 0;
    if (buffer && !(c->io = avio_alloc_context(buffer, BUFFER_SIZE, 0, c, on_read, NULL, on_seek))) av_free(buffer);
    if (!c->io || !(c->format = avformat_alloc_context())) return false;
    c->format->pb = c->io;
    c->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    c->format->io_open = refuse_open;
    c->format->interrupt_callback = (AVIOInterruptCB){on_interrupt, c};
    c->format->format_whitelist = av_strdup(allowed_formats);
    c->format->codec_whitelist = av_strdup(allowed_decoders);
    c->format->protocol_whitelist = av_strdup("none");
    c->format->max_streams = 64;
    return c->format->format_whitelist && c->format->codec_whitelist && c->format->protocol_whitelist;
}

/* ---- opening ---- */

static bool is_strict(const char *decoder) {
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        if (!strcmp(decoders[i].name, decoder)) return decoders[i].strict;
    return true;
}

static qv_status open_codec(qv__container *c, const AVCodec *decoder, qv_error *err) {
    const AVStream *s = qv__container_stream(c);
    c->codec = avcodec_alloc_context3(decoder);
    if (!c->codec) return fail(c, AVERROR(ENOMEM), "", err);
    int code = avcodec_parameters_to_context(c->codec, s->codecpar);
    if (code < 0) return fail(c, code, "the video's description is damaged", err);
    c->codec->pkt_timebase = s->time_base;
    c->codec->thread_count = 1;
    c->codec->max_pixels = c->limits->max_pixels;
    c->codec->err_recognition = AV_EF_CRCCHECK | (is_strict(decoder->name) ? AV_EF_EXPLODE : 0);
    AVDictionary *options = NULL;
    av_dict_set(&options, "codec_whitelist", allowed_decoders, 0);
    code = avcodec_open2(c->codec, decoder, &options);
    av_dict_free(&options);
    return code < 0 ? fail(c, code, "the video's codec cannot be opened", err) : QV_OK;
}

/* libavformat decodes a few frames to learn about the streams: within our limits, with one thread. */
static int probe_streams(qv__container *c) {
    unsigned count = c->format->nb_streams;
    AVDictionary **options = av_calloc(count ? count : 1, sizeof *options);
    if (!options) return AVERROR(ENOMEM);
    for (unsigned i = 0; i < count; i++) {
        av_dict_set_int(&options[i], "max_pixels", c->limits->max_pixels, 0);
        av_dict_set(&options[i], "threads", "1", 0);
    }
    int code = avformat_find_stream_info(c->format, options);
    for (unsigned i = 0; i < count; i++) av_dict_free(&options[i]);
    av_free(options);
    return code;
}

/* Finds the format by content and reads the header. c->format is freed on failure. */
static qv_status open_format(qv__container *c, qv_error *err) {
    const AVInputFormat *input = NULL;
    int code = av_probe_input_buffer2(c->io, &input, NULL, NULL, 0, 0);
    if (code >= 0 && strstr(input->name, "mp4")) {
        qv_status status = qv__boxes_check(c->bytes, c->size, err);
        if (status) return status;
    }
    if (code >= 0) code = avformat_open_input(&c->format, NULL, input, NULL);
    if (code >= 0) return QV_OK;
    return fail(c, code, "not a video of a known format (MP4, MOV, Matroska, WebM, AVI, GIF, animated WebP)", err);
}

static qv_status open_stream(qv__container *c, qv_error *err) {
    qv_status status = open_format(c, err);
    if (status) return status;
    int code = probe_streams(c);
    if (code < 0) return fail(c, code, "the video's streams cannot be read", err);
    const AVCodec *decoder = NULL;
    code = av_find_best_stream(c->format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (code == AVERROR_STREAM_NOT_FOUND) return qv__fail(err, QV_VIDEO_DECODE, "the file holds no video stream");
    if (code < 0 || !decoder) return fail(c, code, "the video's codec is not supported", err);
    c->stream = code;
    for (unsigned i = 0; i < c->format->nb_streams; i++)
        if ((int)i != c->stream) c->format->streams[i]->discard = AVDISCARD_ALL;
    const AVCodecParameters *p = qv__container_stream(c)->codecpar;
    if (p->width < 1 || p->height < 1) return qv__fail(err, QV_VIDEO_DECODE, "the video does not tell its size");
    status = qv__media_check_size(c->limits, "video frame", p->height, p->width, err);
    return status ? status : open_codec(c, decoder, err);
}

qv_status qv__container_open(qv__container *c, qv_error *err) {
    qv__libav_silence();
    c->draining = false;
    qv_status status =
        open_bytes(c) && (c->packet = av_packet_alloc()) ? open_stream(c, err) : fail(c, AVERROR(ENOMEM), "", err);
    if (status) qv__container_close(c);
    return status;
}

void qv__container_close(qv__container *c) {
    av_packet_free(&c->packet);
    avcodec_free_context(&c->codec);
    avformat_close_input(&c->format);
    if (c->io) av_freep(&c->io->buffer);
    avio_context_free(&c->io);
}

qv_status qv__container_reopen(qv__container *c, qv_error *err) {
    qv__container_close(c);
    return qv__container_open(c, err);
}

bool qv__container_seek(qv__container *c, int64_t timestamp) {
    if (av_seek_frame(c->format, c->stream, timestamp, AVSEEK_FLAG_BACKWARD) < 0) return false;
    avcodec_flush_buffers(c->codec);
    c->draining = false;
    return true;
}

const AVStream *qv__container_stream(const qv__container *c) {
    return c->format->streams[c->stream];
}

int qv__container_rotation(const qv__container *c) {
    const AVStream *s = qv__container_stream(c);
    const uint8_t *matrix;
#if LIBAVFORMAT_VERSION_MAJOR >= 61
    const AVPacketSideData *side = av_packet_side_data_get(s->codecpar->coded_side_data,
                                                           s->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    matrix = side ? side->data : NULL;
#else
    matrix = av_stream_get_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, NULL);
#endif
    if (!matrix) return 0;
    double degrees = -av_display_rotation_get((const int32_t *)matrix); /* NaN for a matrix that is no rotation */
    if (!isfinite(degrees)) return 0;
    int turn = (int)fmod(degrees, 360); /* cut to whole degrees, as the reference's reader does */
    if (turn < 0) turn += 360;
    return turn == 90 || turn == 180 || turn == 270 ? turn : 0;
}

/* ---- packets and frames ---- */

qv_status qv__container_next_packet(qv__container *c, bool *end, qv_error *err) {
    for (;;) {
        if (qv__media_is_over(c->limits, c->deadline)) return fail(c, 0, "", err);
        av_packet_unref(c->packet);
        int code = av_read_frame(c->format, c->packet);
        if ((*end = code == AVERROR_EOF)) return QV_OK;
        if (code < 0) return fail(c, code, "the video is damaged or cut off", err);
        if (c->packet->stream_index != c->stream) continue;
        if (c->packet->flags & AV_PKT_FLAG_CORRUPT) return fail(c, 0, "the video is damaged or cut off", err);
        return QV_OK;
    }
}

/* Type of the next unit of an H.264 packet, 0 at the end. `prefix` is the size of the length before each
 * unit, 0 for start codes. */
static int next_unit(const uint8_t **at, const uint8_t *end, int prefix) {
    uint32_t length = 0;
    if (prefix) {
        if (end - *at < prefix + 1) return 0;
        for (int i = 0; i < prefix; i++) length = length << 8 | *(*at)++;
        int type = **at & 31;
        *at += length < (size_t)(end - *at) ? (ptrdiff_t)length : end - *at;
        return type;
    }
    for (; end - *at >= 4; ++*at)
        if ((*at)[0] == 0 && (*at)[1] == 0 && (*at)[2] == 1) {
            *at += 3;
            return **at & 31;
        }
    return 0;
}

bool qv__container_can_start_here(const qv__container *c) {
    enum { UNIT_IDR = 5 };
    const AVPacket *p = c->packet;
    if (!(p->flags & AV_PKT_FLAG_KEY)) return false;
    if (c->codec->codec_id != AV_CODEC_ID_H264) return true;
    /* Containers also call recovery points key frames, and what follows those may depend on what came before. */
    bool lengths = c->codec->extradata_size > 4 && c->codec->extradata[0] == 1;
    int prefix = lengths ? (c->codec->extradata[4] & 3) + 1 : 0;
    const uint8_t *at = p->data, *end = p->data + p->size;
    for (int type; (type = next_unit(&at, end, prefix));)
        if (type == UNIT_IDR) return true;
    return false;
}

/* Lets the decoder leave out a frame that is not wanted and that no other refers to. */
static void tell_wanted(qv__container *c, bool (*keep)(const void *context, int64_t timestamp), const void *context) {
    bool skippable = c->codec->codec_id == AV_CODEC_ID_H264 || c->codec->codec_id == AV_CODEC_ID_HEVC;
    bool wanted = !keep || !skippable || keep(context, c->packet->pts);
    c->codec->skip_frame = wanted ? AVDISCARD_DEFAULT : AVDISCARD_NONREF;
}

qv_status qv__container_next_frame(qv__container *c, AVFrame *frame, bool *end,
                                   bool (*keep)(const void *context, int64_t timestamp), const void *context,
                                   qv_error *err) {
    *end = false;
    for (;;) {
        int code = avcodec_receive_frame(c->codec, frame);
        if (code == 0) return QV_OK;
        if ((*end = code == AVERROR_EOF)) return QV_OK;
        if (code != AVERROR(EAGAIN)) return fail(c, code, "a frame of the video cannot be decoded", err);
        bool last = c->draining;
        qv_status status = last ? QV_OK : qv__container_next_packet(c, &last, err);
        if (status) return status;
        if (last && c->draining) return fail(c, 0, "the video's decoder does not finish", err);
        if (!last) tell_wanted(c, keep, context);
        code = avcodec_send_packet(c->codec, last ? NULL : c->packet);
        c->draining = last;
        if (code < 0 && code != AVERROR_EOF) return fail(c, code, "a frame of the video cannot be decoded", err);
    }
}
