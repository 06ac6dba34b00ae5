/* Picking frames of a video by number.
 *
 * Opening walks all packets once without decoding: their timestamps, sorted, number the frames in presentation order,
 * as the reference's reader does it. Frame i is the picture on screen at the i-th timestamp: the last decoded frame
 * that is not later. Reading decodes from the nearest key frame before a wanted frame, or goes on from where it is;
 * both give the same pictures, because frames are told apart by timestamp and not by counting. Where timestamps are
 * missing or double (AVI with reordered frames), frames are counted from the start and there is no jumping. */
#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "media/container.h"
#include "media/decode.h"
#include "media/webp_animation.h"

typedef struct {
    int64_t *values; /* sorted once the walk is over */
    int64_t count, capacity;
} timestamps;

struct qv__video {
    qv__webp_animation *webp; /* not NULL: an animated WebP, and nothing else below is used */
    qv__container container;
    const qv__media_limits *limits;
    qv__video_facts facts;
    timestamps all, keys;
    bool timed;    /* every packet has its own timestamp */
    bool jumping;  /* seeking has not failed so far */
    bool skipping; /* frames that nothing depends on may be left undecoded */
    bool at_start, ended;
    int rotation;
    AVFrame *shown, *ahead;             /* the frame on screen and the next decoded one */
    int64_t shown_number, ahead_number; /* -1: none */
    int64_t decoded;                    /* frames decoded since the start */
    qv__scaler *scaler;
    const int64_t *wanted; /* indices of the read under way, ascending */
    int wanted_count;
};

/* ---- the walk over all packets ---- */

static bool append(timestamps *t, int64_t value) {
    if (t->count == t->capacity) {
        int64_t capacity = t->capacity ? t->capacity * 2 : 256;
        int64_t *values = qv__realloc(t->values, (size_t)capacity * sizeof *values);
        if (!values) return false;
        t->values = values;
        t->capacity = capacity;
    }
    t->values[t->count++] = value;
    return true;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Number of entries that are not later than `value`. */
static int64_t count_until(const timestamps *t, int64_t value) {
    int64_t low = 0, high = t->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (t->values[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static qv_status walk(qv__video *v, qv_error *err) {
    for (;;) {
        bool end;
        qv_status status = qv__container_next_packet(&v->container, &end, err);
        if (status) return status;
        if (end) break;
        const AVPacket *p = v->container.packet;
        if (v->all.count >= v->limits->max_video_frames)
            return qv__fail(err, QV_MEDIA_LIMIT, "the video has more than the limit of %lld frames",
                            (long long)v->limits->max_video_frames);
        if (!append(&v->all, p->pts) || (qv__container_can_start_here(&v->container) && !append(&v->keys, p->pts)))
            return qv__fail(err, QV_NO_MEMORY, "out of memory for a video's %lld timestamps", (long long)v->all.count);
    }
    if (v->all.count == 0) return qv__fail(err, QV_VIDEO_DECODE, "the video holds no frames");
    qsort(v->all.values, (size_t)v->all.count, sizeof(int64_t), by_value);
    if (v->keys.count) qsort(v->keys.values, (size_t)v->keys.count, sizeof(int64_t), by_value);
    v->timed = v->all.values[0] != AV_NOPTS_VALUE;
    for (int64_t i = 1; i < v->all.count && v->timed; i++) v->timed = v->all.values[i] != v->all.values[i - 1];
    v->jumping = v->skipping = v->timed;
    return QV_OK;
}

static qv_status find_facts(qv__video *v, qv_error *err) {
    const AVStream *s = qv__container_stream(&v->container);
    v->rotation = qv__container_rotation(&v->container);
    bool sideways = v->rotation == 90 || v->rotation == 270;
    v->facts.height = sideways ? s->codecpar->width : s->codecpar->height;
    v->facts.width = sideways ? s->codecpar->height : s->codecpar->width;
    v->facts.frames = v->all.count;
    AVRational rate = s->avg_frame_rate.num > 0 && s->avg_frame_rate.den > 0 ? s->avg_frame_rate : s->r_frame_rate;
    if (rate.num <= 0 || rate.den <= 0) return qv__fail(err, QV_VIDEO_DECODE, "the video's frame rate cannot be told");
    v->facts.rate = (double)rate.num / rate.den;
    return QV_OK;
}

static qv_status open_container(qv__video *v, qv_error *err) {
    v->shown = av_frame_alloc();
    v->ahead = av_frame_alloc();
    if (!v->shown || !v->ahead) return qv__fail(err, QV_NO_MEMORY, "out of memory for a video");
    qv_status status = qv__container_open(&v->container, err);
    if (!status) status = walk(v, err);
    return status ? status : find_facts(v, err);
}

qv_status qv__video_open(const void *bytes, size_t size, const qv__media_limits *limits, qv__video **out,
                         qv__video_facts *facts, qv_error *err) {
    *out = NULL;
    if (!limits) limits = &qv__media_default_limits;
    if (size == 0) return qv__fail(err, QV_VIDEO_DECODE, "the video is empty (0 bytes)");
    if (limits->max_bytes < 0 || size > (uint64_t)limits->max_bytes)
        return qv__fail(err, QV_MEDIA_LIMIT, "a video of %zu bytes is over the limit of %lld bytes", size,
                        (long long)limits->max_bytes);
    qv__video *v = qv__calloc(1, sizeof *v);
    if (!v) return qv__fail(err, QV_NO_MEMORY, "out of memory for a video");
    v->limits = limits;
    v->shown_number = v->ahead_number = -1;
    v->container =
        (qv__container){.bytes = bytes, .size = size, .limits = limits, .deadline = qv__media_deadline(limits)};
    qv_status status = qv__is_webp(bytes, size) ? qv__webp_animation_open(bytes, size, limits, &v->webp, &v->facts, err)
                                                : open_container(v, err);
    if (status) {
        qv__video_close(&v);
        return status;
    }
    *facts = v->facts;
    *out = v;
    return QV_OK;
}

void qv__video_close(qv__video **video) {
    qv__video *v = *video;
    if (!v) return;
    qv__webp_animation_close(&v->webp);
    qv__container_close(&v->container);
    av_frame_free(&v->shown);
    av_frame_free(&v->ahead);
    sws_freeContext(v->scaler);
    qv__free(v->all.values);
    qv__free(v->keys.values);
    qv__free(v);
    *video = NULL;
}

/* ---- moving to a frame ---- */

static void forget_frames(qv__video *v) {
    av_frame_unref(v->shown);
    av_frame_unref(v->ahead);
    v->shown_number = v->ahead_number = -1;
    v->ended = false;
}

static qv_status rewind_video(qv__video *v, qv_error *err) {
    forget_frames(v);
    v->decoded = 0;
    v->at_start = true;
    return qv__container_reopen(&v->container, err);
}

/* Number of a decoded frame: by its timestamp, or counted. */
static int64_t number_of(qv__video *v, const AVFrame *frame) {
    int64_t counted = v->decoded++;
    if (!v->timed) return counted;
    int64_t at = frame->best_effort_timestamp;
    int64_t until = at == AV_NOPTS_VALUE ? counted + 1 : count_until(&v->all, at);
    return until > 0 ? until - 1 : 0;
}

/* Frames past the last one asked for may be asked for next, when it is too late to decode them. */
static bool is_wanted(const void *context, int64_t timestamp) {
    const qv__video *v = context;
    if (!v->skipping || timestamp == AV_NOPTS_VALUE || v->wanted_count == 0) return true;
    int64_t number = count_until(&v->all, timestamp) - 1;
    if (number > v->wanted[v->wanted_count - 1]) return true;
    int low = 0, high = v->wanted_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (v->wanted[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->wanted_count && v->wanted[low] == number;
}

/* The frame ahead becomes the one shown, and the next is decoded. */
static qv_status step(qv__video *v, qv_error *err) {
    if (v->ahead_number >= 0) {
        av_frame_unref(v->shown);
        av_frame_move_ref(v->shown, v->ahead);
        v->shown_number = v->ahead_number;
        v->ahead_number = -1;
    }
    bool end;
    qv_status status = qv__container_next_frame(&v->container, v->ahead, &end, is_wanted, v, err);
    if (status) return status;
    v->ended = end;
    if (!end) v->ahead_number = number_of(v, v->ahead);
    return QV_OK;
}

/* Timestamp of the last key frame up to frame `number`; *key: its number. False: none. */
static bool key_before(const qv__video *v, int64_t number, int64_t *key, int64_t *timestamp) {
    int64_t n = count_until(&v->keys, v->all.values[number]);
    if (n == 0) return false;
    *timestamp = v->keys.values[n - 1];
    *key = count_until(&v->all, *timestamp) - 1;
    return true;
}

/* Brings the reader before frame `number` if it is past it, or closer to it if a key frame lies between. */
static qv_status jump(qv__video *v, int64_t number, qv_error *err) {
    int64_t key, timestamp, at = v->ahead_number >= 0 ? v->ahead_number : v->shown_number;
    bool past = v->shown_number > number || (!v->at_start && v->shown_number < 0 && v->ahead_number < 0);
    if (v->jumping && key_before(v, number, &key, &timestamp) && (past || key > at + 1) && key > 0) {
        v->at_start = false;
        forget_frames(v);
        v->jumping = qv__container_seek(&v->container, timestamp);
        if (v->jumping) return QV_OK;
        past = true;
    }
    return past ? rewind_video(v, err) : QV_OK;
}

/* Decodes until `shown` is frame `number`, or the last one before it. */
static qv_status advance(qv__video *v, int64_t number, qv_error *err) {
    qv_status status = jump(v, number, err);
    while (!status && !v->ended && v->shown_number != number && (v->ahead_number < 0 || v->ahead_number <= number))
        status = step(v, err);
    if (status || v->shown_number >= 0) return status;
    if (v->ahead_number < 0) return qv__fail(err, QV_VIDEO_DECODE, "the video's frames cannot be decoded");
    av_frame_move_ref(v->shown, v->ahead); /* nothing is that early: the first there is */
    v->shown_number = v->ahead_number;
    v->ahead_number = -1;
    return QV_OK;
}

static bool is_damaged(const AVFrame *frame) {
    return frame->decode_error_flags != 0 || frame->flags & AV_FRAME_FLAG_CORRUPT;
}

/* As advance. When a jump or leaving out frames did not give exactly this frame, once more from the start, plainly:
 * some packets give no frame, and some key frames are none. */
static qv_status go_to(qv__video *v, int64_t number, qv_error *err) {
    qv_error reason = {0};
    qv_status status = advance(v, number, &reason);
    bool exact = !status && !is_damaged(v->shown) && v->shown_number == number, plain = v->at_start && !v->skipping;
    if (!exact && !plain && status != QV_MEDIA_LIMIT && status != QV_NO_MEMORY) {
        v->jumping = v->skipping = false;
        status = rewind_video(v, &reason);
        if (!status) status = advance(v, number, &reason);
    }
    if (status) return qv__fail(err, status, "frame %lld: %s", (long long)number, reason.message);
    if (!is_damaged(v->shown)) return QV_OK;
    return qv__fail(err, QV_VIDEO_DECODE, "frame %lld of the video is damaged", (long long)number);
}

/* ---- reading ---- */

static qv_status check_request(const qv__video *v, const int64_t *indices, int count, qv_error *err) {
    int64_t kept = 0, frame_size = (int64_t)v->facts.height * v->facts.width * 3;
    for (int i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= v->facts.frames || (i && indices[i] < indices[i - 1]))
            return qv__fail(err, QV_INVALID_ARGUMENT, "frame %lld is not in order or not in the video (%lld frames)",
                            (long long)indices[i], (long long)v->facts.frames);
        kept += frame_size;
    }
    if (kept <= v->limits->max_decoded_bytes) return QV_OK;
    return qv__fail(err, QV_MEDIA_LIMIT, "%d frames of %d x %d pixels take %lld bytes, over the limit of %lld", count,
                    v->facts.width, v->facts.height, (long long)kept, (long long)v->limits->max_decoded_bytes);
}

static qv_status copy_bitmap(const qv__bitmap *from, qv__bitmap *to, qv_error *err) {
    size_t size = (size_t)from->height * (size_t)from->width * 3;
    *to = (qv__bitmap){from->height, from->width, qv__malloc(size)};
    if (!to->rgb) return qv__fail(err, QV_NO_MEMORY, "out of memory for a video frame (%zu bytes)", size);
    memcpy(to->rgb, from->rgb, size);
    return QV_OK;
}

static qv_status read_one(qv__video *v, int64_t number, qv__bitmap *out, qv_error *err) {
    if (v->webp) return qv__webp_animation_read(v->webp, number, v->container.deadline, out, err);
    qv_status status = go_to(v, number, err);
    if (status) return status;
    const AVCodecParameters *p = qv__container_stream(&v->container)->codecpar;
    return qv__frame_to_rgb(v->shown, p->height, p->width, v->rotation, &v->scaler, out, err);
}

qv_status qv__video_read(qv__video *v, const int64_t *indices, int count, qv__bitmap *frames, qv_error *err) {
    if (count > 0) memset(frames, 0, (size_t)count * sizeof *frames);
    v->wanted = indices;
    v->wanted_count = count;
    v->container.deadline = qv__media_deadline(v->limits);
    qv_status status = check_request(v, indices, count, err);
    for (int i = 0; i < count && !status; i++)
        status = i && indices[i] == indices[i - 1] ? copy_bitmap(&frames[i - 1], &frames[i], err)
                                                   : read_one(v, indices[i], &frames[i], err);
    for (int i = 0; i < count && status; i++) qv__bitmap_clear(&frames[i]);
    v->wanted = NULL;
    v->wanted_count = 0;
    return status;
}
