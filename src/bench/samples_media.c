#include "bench/samples_media.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/error.h"
#include "media/jpeg_write.h"
#include "media/mp4_write.h"

enum { QUALITY = 75, FRAMES_A_SECOND = 30 };

int64_t qv__draw_around(qv__random *random, int64_t n, double ratio) {
    if (ratio <= 0) return n;
    int64_t low = (int64_t)floor((double)n * (1 - ratio)), high = (int64_t)ceil((double)n * (1 + ratio));
    return low + (int64_t)qv__random_below(random, (uint64_t)(high - low + 1));
}

static qv_status no_memory(qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for random pictures; fewer --num-prompts need less");
}

/* ---- one picture or video ---- */

static void draw_pixels(void *random, uint8_t *rgb, size_t size) {
    for (size_t i = 0; i < size; i += 8) {
        uint64_t bits = qv__random_next(random);
        memcpy(rgb + i, &bits, size - i < 8 ? size - i : 8);
    }
}

static qv_status make_picture(const qv__random_samples *o, const qv__bucket *b, qv__buffer *file, qv_error *err) {
    size_t size = (size_t)b->height * (size_t)b->width * 3;
    uint8_t *rgb = qv__malloc(size);
    if (!rgb) return no_memory(err);
    draw_pixels(o->random, rgb, size);
    qv_status status = qv__jpeg_write(rgb, b->height, b->width, QUALITY, file, err);
    qv__free(rgb);
    return status;
}

static qv_status make_video(const qv__random_samples *o, const qv__bucket *b, qv__buffer *file, qv_error *err) {
    qv__mp4_source source = {.height = b->height,
                             .width = b->width,
                             .frames = b->frames,
                             .rate = FRAMES_A_SECOND,
                             .draw = draw_pixels,
                             .user = o->random};
    return qv__mp4_write(&source, file, err);
}

/* "data:image/jpeg;base64,..." in the arena. */
static qv_status make_url(const qv__buffer *file, const char *head, qv__arena *arena, const char **url, qv_error *err) {
    size_t from = strlen(head), encoded = qv__base64_encoded_size(file->size);
    char *text = encoded == SIZE_MAX ? NULL : qv__arena_alloc(arena, from + encoded + 1, 1);
    if (!text) return no_memory(err);
    memcpy(text, head, from);
    qv__base64_encode(file->data, file->size, text + from);
    text[from + encoded] = 0;
    *url = text;
    return QV_OK;
}

/* ---- all of a sample ---- */

static bool is_video(const qv__bucket *b) {
    return b->frames > 1;
}

/* Share of a size of which more may be drawn; 0 when the limit for its kind is reached. */
static double share_left(const qv__bucket *b, int64_t images_left, int64_t videos_left) {
    return (is_video(b) ? videos_left : images_left) > 0 ? b->share : 0;
}

/* NULL: nothing more may be drawn. */
static const qv__bucket *draw_bucket(const qv__random_samples *o, int64_t images_left, int64_t videos_left) {
    const qv__bucket *last = NULL;
    double sum = 0;
    for (int i = 0; i < o->bucket_count; i++) sum += share_left(&o->buckets[i], images_left, videos_left);
    if (sum <= 0) return NULL;
    double at = qv__random_unit(o->random) * sum;
    for (int i = 0; i < o->bucket_count; i++) {
        double share = share_left(&o->buckets[i], images_left, videos_left);
        if (share <= 0) continue;
        last = &o->buckets[i];
        if ((at -= share) < 0) break;
    }
    return last;
}

static qv_status add_medium(const qv__random_samples *o, const qv__bucket *b, qv__samples *out, qv__sample *sample,
                            qv_error *err) {
    qv__medium *medium = &sample->media[sample->media_count];
    qv__buffer file = {0};
    medium->video = is_video(b);
    if (o->stop && o->stop()) return qv__fail(err, QV_CANCELLED, "interrupted while the pictures were made");
    qv_status status = medium->video ? make_video(o, b, &file, err) : make_picture(o, b, &file, err);
    const char *head = medium->video ? "data:video/mp4;base64," : "data:image/jpeg;base64,";
    if (!status) status = make_url(&file, head, &out->arena, &medium->url, err);
    if (!status) sample->media_count++;
    qv__buffer_clear(&file);
    return status;
}

qv_status qv__media_make(const qv__random_samples *o, qv__samples *out, qv__sample *sample, qv_error *err) {
    int64_t count = qv__draw_around(o->random, o->media, o->media_ratio);
    int64_t images_left = o->images_max, videos_left = o->videos_max;
    const qv__bucket *b;
    if (count <= 0) return QV_OK;
    sample->media = qv__arena_alloc(&out->arena, (size_t)count, sizeof *sample->media);
    if (!sample->media) return no_memory(err);
    qv_status status = QV_OK;
    for (int64_t i = 0; i < count && !status && (b = draw_bucket(o, images_left, videos_left)); i++) {
        *(is_video(b) ? &videos_left : &images_left) -= 1;
        status = add_medium(o, b, out, sample, err);
    }
    return status;
}

/* ---- sizes ---- */

static bool fits(int side, bool video) {
    return side >= 1 && side <= (video ? QV__MP4_SIDE_MAX : QV__PICTURE_SIDE_MAX) && !(video && side % 2);
}

static qv_status check_bucket(const qv__bucket *b, qv_error *err) {
    bool video = is_video(b);
    if (b->frames < 1 || b->frames > QV__BUCKET_FRAMES_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "%d frames; 1 for pictures, 2 to %d for videos", b->frames,
                        QV__BUCKET_FRAMES_MAX);
    if (fits(b->height, video) && fits(b->width, video)) return QV_OK;
    if (video)
        return qv__fail(err, QV_INVALID_ARGUMENT, "a video of %d x %d; even sides up to %d", b->height, b->width,
                        QV__MP4_SIDE_MAX);
    return qv__fail(err, QV_INVALID_ARGUMENT, "a picture of %d x %d; sides of 1 to %d", b->height, b->width,
                    QV__PICTURE_SIDE_MAX);
}

qv_status qv__buckets_parse(const char *text, qv__bucket *buckets, int *count, qv_error *err) {
    const char *at = text;
    double sum = 0;
    int used = 0;
    *count = 0;
    if (*at == '{') at++;
    while (*at && *at != '}') {
        qv__bucket b;
        if (sscanf(at, " ( %5d , %5d , %5d ) : %lf%n", &b.height, &b.width, &b.frames, &b.share, &used) != 4 ||
            !(b.share >= 0 && b.share <= 1))
            return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.60s\" is not (height, width, frames): share", at);
        qv_status status = b.share > 0 ? check_bucket(&b, err) : QV_OK;
        if (status) return status;
        if (*count == QV__BUCKETS_MAX)
            return qv__fail(err, QV_INVALID_ARGUMENT, "more than %d sizes of pictures", QV__BUCKETS_MAX);
        if (b.share > 0) buckets[(*count)++] = b;
        sum += b.share;
        at += used;
        while (*at == ' ' || *at == ',') at++;
    }
    if (sum > 0) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.60s\" gives no size of pictures a share", text);
}
