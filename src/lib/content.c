/* Sizes are decided, and checked against what the model can take, before anything of that size is made: a picture is
 * decoded (media/ has its own limits), then its tokens are counted, then it is resized. Frames of a video are decoded
 * and resized pair by pair, so that only the resized ones are kept. */
#include "lib/content.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "lib/gate.h"
#include "prep/image.h"

/* The official classes' limits of a picture; 7,680 cells of 32 x 32 for a list of frames. A video file's frames share
 * nine tenths of 128,000 cells, a frame of a list is first fitted as a picture of 4 to 16,384 cells of twice the side.
 */
enum { MIN_PIXELS = 4096, MAX_PIXELS = 1843200, LIST_PIXELS = 7680 * 1024, FILE_CELLS = 115200 };
enum { FRAME_MIN_CELLS = 4, FRAME_MAX_CELLS = 16384, LIST_RATE = 2 };

enum { PARTS_MAX = 1 << 16, IMAGES_MAX = 1024, VIDEOS_MAX = 64, FRAMES_MAX = 768, LIST_MAX = 1 << 16 };

typedef struct {
    const qv_model *model;
    const qv_input *wishes;
    const char *relative_to;
    qv__arena *arena;
    int64_t tokens;
    int images, videos;
    qv_error *err;
} maker;

static qv_status no_memory(const maker *m) {
    return qv__fail(m->err, QV_NO_MEMORY, "out of memory for pictures and frames");
}

static const qv__vision_config *vision(const maker *m) {
    return &qv__checkpoint_config(m->model->checkpoint)->vision;
}

static int cell(const maker *m) {
    return vision(m)->patch * vision(m)->merge;
}

static const qv__media_limits *limits(const maker *m) {
    return &m->model->media;
}

/* Counts `frames` pictures of this size against what the model can take at all. */
static qv_status count_tokens(maker *m, int height, int width, int64_t frames) {
    int64_t tokens = qv__vision_tokens(vision(m), height, width) * frames, most = m->model->options.max_model_len;
    m->tokens += tokens;
    if (m->tokens <= most) return QV_OK;
    return qv__fail(m->err, QV_TOO_LONG,
                    "%d x %d pixels are %lld tokens; pictures and videos come to %lld here, %lld over the %lld that "
                    "this model takes",
                    width, height, (long long)tokens, (long long)m->tokens, (long long)(m->tokens - most),
                    (long long)most);
}

/* ---- bytes ---- */

typedef struct {
    const void *data;
    size_t size;
    void *owned; /* NULL: the caller's bytes */
} bytes;

static bool is_file(qv_part_kind kind) {
    return kind == QV_PART_IMAGE_FILE || kind == QV_PART_VIDEO_FILE;
}

static qv_status load(const maker *m, const qv_part *part, bytes *out) {
    *out = (bytes){part->data, part->size, NULL};
    if (!is_file(part->kind)) return QV_OK;
    if (!part->data) return qv__fail(m->err, QV_INVALID_ARGUMENT, "there is no path");
    qv_status status = qv__media_load(part->data, m->relative_to, m->model->options.media_root, limits(m), &out->owned,
                                      &out->size, m->err);
    out->data = out->owned;
    return status;
}

/* The caller's own pixels, not copied. */
static qv_status show_pixels(const maker *m, const qv_pixels *pixels, qv__bitmap *out) {
    if (!pixels || !pixels->rgb || pixels->height < 1 || pixels->width < 1)
        return qv__fail(m->err, QV_INVALID_ARGUMENT, "there are no pixels");
    *out = (qv__bitmap){pixels->height, pixels->width, (uint8_t *)pixels->rgb};
    return qv__media_check_size(limits(m), "picture", pixels->height, pixels->width, m->err);
}

/* *out: for drop. */
static qv_status decode(const maker *m, const qv_part *part, qv__bitmap *out) {
    bytes b;
    *out = (qv__bitmap){0};
    if (part->kind == QV_PART_PIXELS) return show_pixels(m, part->data, out);
    qv_status status = load(m, part, &b);
    if (!status) status = qv__image_decode(b.data, b.size, m->wishes->apply_orientation, limits(m), out, m->err);
    qv__free(b.owned);
    return status;
}

static void drop(const qv_part *part, qv__bitmap *decoded) {
    if (part->kind != QV_PART_PIXELS) qv__bitmap_clear(decoded);
}

/* ---- runs ---- */

static void name_run(qv__vision_run *run) {
    struct {
        int32_t height, width;
        uint8_t frames[2][32];
    } named = {run->height, run->width, {{0}, {0}}};
    size_t size = (size_t)run->height * (size_t)run->width * 3;
    qv__sha256(run->frame[0], size, named.frames[0]);
    if (run->frame[1] == run->frame[0])
        memcpy(named.frames[1], named.frames[0], sizeof named.frames[0]);
    else
        qv__sha256(run->frame[1], size, named.frames[1]);
    qv__sha256(&named, sizeof named, run->key);
}

static qv_status new_visual(const maker *m, bool video, int runs, qv__visual **out) {
    qv__visual *v = qv__arena_alloc(m->arena, 1, sizeof *v);
    qv__vision_run *list = qv__arena_alloc(m->arena, (size_t)runs, sizeof *list);
    double *seconds = qv__arena_alloc(m->arena, (size_t)runs, sizeof *seconds);
    if (!v || !list || !seconds) return no_memory(m);
    memset(list, 0, (size_t)runs * sizeof *list);
    *v = (qv__visual){.video = video, .run_count = runs, .runs = list, .seconds = seconds};
    *out = v;
    return QV_OK;
}

/* ---- pictures ---- */

static qv_status resize_image(maker *m, const qv__bitmap *from, qv__visual *v) {
    int64_t least = m->wishes->min_pixels ? m->wishes->min_pixels : MIN_PIXELS;
    int64_t most = m->wishes->max_pixels ? m->wishes->max_pixels : MAX_PIXELS;
    qv__vision_run *run = v->runs;
    qv_status status =
        qv__smart_resize(from->height, from->width, cell(m), least, most, &run->height, &run->width, m->err);
    if (status || (status = count_tokens(m, run->height, run->width, 1))) return status;
    uint8_t *rgb = qv__arena_alloc(m->arena, (size_t)run->height, (size_t)run->width * 3);
    if (!rgb) return no_memory(m);
    run->frame[0] = run->frame[1] = rgb;
    status = qv__resize_bicubic(from->rgb, from->height, from->width, rgb, run->height, run->width, m->err);
    if (!status) name_run(run);
    return status;
}

static qv_status make_image(maker *m, const qv_part *part, qv__visual **out) {
    qv__bitmap picture;
    qv_status status = new_visual(m, false, 1, out);
    if (status || (status = decode(m, part, &picture))) return status;
    status = resize_image(m, &picture, *out);
    drop(part, &picture);
    return status;
}

/* ---- videos ---- */

/* How the frames of one video become runs. */
typedef struct {
    qv__visual *visual;
    int count;                       /* frames, even */
    int source_height, source_width; /* of each, as decoded; of a list's, as fitted */
    int height, width;               /* of each, in the runs */
    uint8_t *fitted;                 /* a list's frame between its two resizings */
} video;

/* total: pixels that the frames share. */
static qv_status plan_video(maker *m, video *v, int source_height, int source_width, int64_t total) {
    v->source_height = source_height;
    v->source_width = source_width;
    qv_status status =
        qv__video_size(source_height, source_width, v->count, total, cell(m), &v->height, &v->width, m->err);
    if (!status) status = count_tokens(m, v->height, v->width, v->count / 2);
    return status ? status : new_visual(m, true, v->count / 2, &v->visual);
}

/* Room for frame i, entered in its run. */
static qv_status place_frame(maker *m, video *v, int i, uint8_t **to) {
    qv__vision_run *run = &v->visual->runs[i / 2];
    *to = qv__arena_alloc(m->arena, (size_t)v->height, (size_t)v->width * 3);
    if (!*to) return no_memory(m);
    run->height = v->height;
    run->width = v->width;
    run->frame[i % 2] = *to;
    return QV_OK;
}

static qv_status add_frame(maker *m, video *v, int i, const uint8_t *rgb) {
    uint8_t *to;
    qv_status status = place_frame(m, v, i, &to);
    if (!status)
        status = qv__resize_bicubic_torch(rgb, v->source_height, v->source_width, to, v->height, v->width, m->err);
    if (!status && i % 2) name_run(&v->visual->runs[i / 2]);
    return status;
}

/* The frame before i again, in memory of its own: a pair of one pointer would be a picture. */
static qv_status repeat_frame(maker *m, video *v, int i) {
    uint8_t *to;
    qv_status status = place_frame(m, v, i, &to);
    if (status) return status;
    memcpy(to, v->visual->runs[(i - 1) / 2].frame[(i - 1) % 2], (size_t)v->height * (size_t)v->width * 3);
    if (i % 2) name_run(&v->visual->runs[i / 2]);
    return QV_OK;
}

static void set_seconds(video *v, const int64_t *indices, double rate) {
    double *seconds = (double *)v->visual->seconds;
    for (int i = 0; i < v->count; i += 2)
        seconds[i / 2] = ((double)indices[i] / rate + (double)indices[i + 1] / rate) / 2;
}

static qv_status check_max_frames(const maker *m) {
    if (m->wishes->max_frames >= 0 && m->wishes->max_frames <= FRAMES_MAX) return QV_OK;
    return qv__fail(m->err, QV_INVALID_ARGUMENT, "max_frames is %d; it goes from 2 to %d", m->wishes->max_frames,
                    FRAMES_MAX);
}

/* ---- a video file ---- */

static qv_status read_pairs(maker *m, qv__video *file, video *v, const int64_t *indices) {
    int64_t end = qv__now_ns() + (int64_t)(limits(m)->max_seconds * 1e9);
    qv_status status = QV_OK;
    for (int i = 0; i < v->count && !status; i += 2) {
        qv__bitmap pair[2] = {{0}, {0}};
        if (qv__now_ns() > end)
            return qv__fail(m->err, QV_MEDIA_LIMIT, "decoding takes longer than the limit of %g seconds",
                            limits(m)->max_seconds);
        status = qv__video_read(file, indices + i, 2, pair, m->err);
        for (int k = 0; k < 2; k++) {
            if (!status) status = add_frame(m, v, i + k, pair[k].rgb);
            qv__bitmap_clear(&pair[k]);
        }
    }
    return status;
}

static qv_status make_from_file(maker *m, qv__video *file, const qv__video_facts *facts, qv__visual **out) {
    int64_t indices[FRAMES_MAX];
    video v = {0};
    qv_status status =
        qv__video_choose(facts->frames, facts->rate, m->wishes->fps, m->wishes->max_frames, indices, &v.count, m->err);
    int64_t total = (int64_t)FILE_CELLS * cell(m) * cell(m);
    if (!status) status = plan_video(m, &v, facts->height, facts->width, total);
    if (!status) status = read_pairs(m, file, &v, indices);
    if (status) return status;
    set_seconds(&v, indices, facts->rate);
    *out = v.visual;
    return QV_OK;
}

static qv_status make_video(maker *m, const qv_part *part, qv__visual **out) {
    bytes b = {0};
    qv__video *file = NULL;
    qv__video_facts facts;
    qv_status status = check_max_frames(m);
    if (!status) status = load(m, part, &b);
    if (!status) status = qv__video_open(b.data, b.size, limits(m), &file, &facts, m->err);
    if (!status) status = make_from_file(m, file, &facts, out);
    if (file) qv__video_close(&file);
    qv__free(b.owned);
    return status;
}

/* ---- a list of frames ---- */

/* Each frame is fitted as a picture of its own, on a grid twice as coarse; all must come out alike. */
static qv_status fit_frame(maker *m, video *v, int i, const qv__bitmap *picture) {
    int factor = 2 * cell(m), height, width;
    qv_status status =
        qv__smart_resize(picture->height, picture->width, factor, (int64_t)FRAME_MIN_CELLS * factor * factor,
                         (int64_t)FRAME_MAX_CELLS * factor * factor, &height, &width, m->err);
    if (status) return status;
    if (i == 0) {
        if ((status = plan_video(m, v, height, width, LIST_PIXELS))) return status;
        v->fitted = qv__alloc_array((size_t)height, (size_t)width * 3);
        if (!v->fitted) return no_memory(m);
    } else if (height != v->source_height || width != v->source_width)
        return qv__fail(m->err, QV_INVALID_ARGUMENT,
                        "%d x %d pixels become %d x %d; the first frame becomes %d x %d, and all must be alike",
                        picture->width, picture->height, width, height, v->source_width, v->source_height);
    return qv__resize_bicubic(picture->rgb, picture->height, picture->width, v->fitted, height, width, m->err);
}

static qv_status add_listed(maker *m, video *v, int i, const qv_part *part) {
    qv__bitmap picture = {0};
    if (part->kind != QV_PART_IMAGE && part->kind != QV_PART_IMAGE_FILE && part->kind != QV_PART_PIXELS)
        return qv__fail(m->err, QV_INVALID_ARGUMENT, "a frame must be a picture");
    qv_status status = decode(m, part, &picture);
    if (!status) status = fit_frame(m, v, i, &picture);
    drop(part, &picture);
    return status ? status : add_frame(m, v, i, v->fitted);
}

static qv_status make_frames(maker *m, const qv_part *part, qv__visual **out) {
    const qv_part *frames = part->data;
    qv_status status = check_max_frames(m);
    if (status) return status;
    if (!frames || part->size == 0 || part->size > LIST_MAX)
        return qv__fail(m->err, QV_INVALID_ARGUMENT, "a list of %zu frames; it goes from 1 to %d", part->size,
                        LIST_MAX);
    int chosen[FRAMES_MAX + 1];
    int64_t times[FRAMES_MAX + 1];
    video v = {0};
    qv__frames_choose((int)part->size, m->wishes->max_frames, chosen, &v.count);
    for (int i = 0; i < v.count && !status; i++) {
        times[i] = i;
        status = i && chosen[i] == chosen[i - 1] ? repeat_frame(m, &v, i) : add_listed(m, &v, i, &frames[chosen[i]]);
        if (status) qv__fail_in(m->err, status, "frame %d", chosen[i] + 1);
    }
    qv__free(v.fitted);
    if (status) return status;
    set_seconds(&v, times, LIST_RATE);
    *out = v.visual;
    return QV_OK;
}

/* ---- all parts ---- */

static bool is_video(qv_part_kind kind) {
    return kind == QV_PART_VIDEO || kind == QV_PART_VIDEO_FILE || kind == QV_PART_VIDEO_FRAMES;
}

static qv_status count_visual(maker *m, bool is_clip, int *number) {
    int *count = is_clip ? &m->videos : &m->images, most = is_clip ? VIDEOS_MAX : IMAGES_MAX;
    *number = ++*count;
    if (*count <= most) return QV_OK;
    return qv__fail(m->err, QV_MEDIA_LIMIT, "more than %d %s in one input", most, is_clip ? "videos" : "pictures");
}

static qv_status make_visual(maker *m, const qv_part *part, qv__visual **out) {
    bool clip = is_video(part->kind);
    int number;
    qv_status status = count_visual(m, clip, &number);
    if (status) return status;
    qv__gate_enter(m->model->decoding);
    status = part->kind == QV_PART_VIDEO_FRAMES ? make_frames(m, part, out)
             : clip                             ? make_video(m, part, out)
                                                : make_image(m, part, out);
    qv__gate_leave(m->model->decoding);
    return status ? qv__fail_in(m->err, status, "%s %d", clip ? "video" : "image", number) : QV_OK;
}

static qv_status make_part(maker *m, const qv_part *part, qv__prompt_part *out) {
    switch (part->kind) {
    case QV_PART_TEXT: *out = (qv__prompt_part){.text = part->data ? part->data : "", .size = part->size}; return QV_OK;
    case QV_PART_IMAGE:
    case QV_PART_IMAGE_FILE:
    case QV_PART_VIDEO:
    case QV_PART_VIDEO_FILE:
    case QV_PART_VIDEO_FRAMES:
    case QV_PART_PIXELS: {
        qv__visual *visual = NULL;
        if (!qv__checkpoint_config(m->model->checkpoint)->has_vision)
            return qv__fail(m->err, QV_UNSUPPORTED, "this model takes no pictures and no videos");
        qv_status status = make_visual(m, part, &visual);
        *out = (qv__prompt_part){.visual = visual};
        return status;
    }
    case QV_PART_TOKENS: return qv__fail(m->err, QV_INVALID_ARGUMENT, "token ids must be alone in their input");
    }
    return qv__fail(m->err, QV_INVALID_ARGUMENT, "there is no part of kind %d", (int)part->kind);
}

qv_status qv__content_make(const qv_model *model, const qv_input *input, const qv_input *wishes,
                           const char *relative_to, int64_t tokens_before, qv__arena *arena, qv__content *out,
                           qv_error *err) {
    maker m = {.model = model, .wishes = wishes, .relative_to = relative_to, .arena = arena, .err = err};
    m.tokens = tokens_before;
    *out = (qv__content){.count = input->part_count};
    if (input->part_count > PARTS_MAX || (input->part_count && !input->parts))
        return qv__fail(err, QV_INVALID_ARGUMENT, "%zu parts in one input; it goes up to %d", input->part_count,
                        PARTS_MAX);
    out->parts = qv__arena_alloc(arena, input->part_count, sizeof *out->parts);
    if (!out->parts) return no_memory(&m);
    for (size_t i = 0; i < input->part_count; i++) {
        qv_status status = make_part(&m, &input->parts[i], &out->parts[i]);
        if (status) return status;
    }
    out->tokens = m.tokens - tokens_before;
    return QV_OK;
}
