/* Sizes and frame numbers, computed as the reference's Python does: doubles, round half to even. */
#include "prep/image.h"

#include <limits.h>
#include <math.h>

#include "base/error.h"

enum { ASPECT_MAX = 200, CHOSEN_MIN = 4, CHOSEN_MAX = 64 };

/* A video frame's least and greatest area in cells of factor x factor pixels. */
enum { FRAME_MIN_CELLS = 128, FRAME_MAX_CELLS = 768 };

static double multiple(double value, int factor) {
    return value * factor < factor ? factor : value * factor;
}

/* max_pixels is not always whole: a video's total is shared out among its frames. */
static qv_status fit(int height, int width, int factor, double min_pixels, double max_pixels, int *out_height,
                     int *out_width, qv_error *err) {
    if (height < 1 || width < 1 || factor < 1)
        return qv__fail(err, QV_INVALID_ARGUMENT, "%d x %d is no size of a picture", width, height);
    double h = height, w = width, longer = fmax(h, w), shorter = fmin(h, w);
    if (longer / shorter > ASPECT_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "%d x %d: one side is more than %d times the other", width, height,
                        ASPECT_MAX);
    if (min_pixels > max_pixels)
        return qv__fail(err, QV_INVALID_ARGUMENT, "min_pixels is %.0f and max_pixels %.0f", min_pixels, max_pixels);
    double to_h = multiple(rint(h / factor), factor), to_w = multiple(rint(w / factor), factor);
    if (to_h * to_w > max_pixels) {
        double shrink = sqrt(h * w / max_pixels);
        to_h = multiple(floor(h / shrink / factor), factor);
        to_w = multiple(floor(w / shrink / factor), factor);
    } else if (to_h * to_w < min_pixels) {
        double grow = sqrt(min_pixels / (h * w));
        to_h = multiple(ceil(h * grow / factor), factor);
        to_w = multiple(ceil(w * grow / factor), factor);
    }
    if (to_h > INT_MAX / 2 || to_w > INT_MAX / 2)
        return qv__fail(err, QV_MEDIA_LIMIT, "%d x %d would become %.0f x %.0f pixels", width, height, to_w, to_h);
    *out_height = (int)to_h;
    *out_width = (int)to_w;
    return QV_OK;
}

qv_status qv__smart_resize(int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, int *out_height,
                           int *out_width, qv_error *err) {
    if (max_pixels < 1)
        return qv__fail(err, QV_INVALID_ARGUMENT, "max_pixels is %lld; at least 1", (long long)max_pixels);
    return fit(height, width, factor, (double)min_pixels, (double)max_pixels, out_height, out_width, err);
}

qv_status qv__video_size(int height, int width, int frames, int64_t total_pixels, int factor, int *out_height,
                         int *out_width, qv_error *err) {
    if (frames < 1) return qv__fail(err, QV_INVALID_ARGUMENT, "a video of %d frames", frames);
    double cell = (double)factor * factor, least = FRAME_MIN_CELLS * cell;
    double cap = fmin(FRAME_MAX_CELLS * cell, (double)total_pixels / frames * 2);
    return fit(height, width, factor, least, fmax(cap, floor(least * 1.05)), out_height, out_width, err);
}

/* torch.linspace(0, last, count) in float32, from both ends to the middle, then rounded. */
static void spread(int64_t last, int count, int64_t *indices) {
    float end = (float)last, step = end / (float)(count - 1);
    for (int i = 0; i < count; i++)
        indices[i] = (int64_t)rintf(i < count / 2 ? step * (float)i : end - step * (float)(count - 1 - i));
}

qv_status qv__video_choose(int64_t frames, double rate, double fps, int max_frames, int64_t *indices, int *count,
                           qv_error *err) {
    if (fps == 0) fps = 1;
    if (max_frames == 0) max_frames = CHOSEN_MAX;
    if (!(fps > 0 && isfinite(fps))) return qv__fail(err, QV_INVALID_ARGUMENT, "fps is %g; it must be above 0", fps);
    if (!(rate > 0 && isfinite(rate)))
        return qv__fail(err, QV_VIDEO_DECODE, "the video states %g frames per second", rate);
    if (max_frames < 2) return qv__fail(err, QV_INVALID_ARGUMENT, "max_frames is %d; at least 2", max_frames);
    if (frames < 2)
        return qv__fail(err, QV_VIDEO_DECODE, "the video has %lld frames; at least 2 are needed", (long long)frames);
    double n = fmax((double)frames / rate * fps, CHOSEN_MIN);
    n = fmin(fmin(n, max_frames / 2 * 2), (double)frames);
    *count = (int)floor(n / 2) * 2;
    spread(frames - 1, *count, indices);
    return QV_OK;
}

void qv__frames_choose(int frames, int max_frames, int *indices, int *count) {
    int n = max_frames ? max_frames : CHOSEN_MAX;
    if (n > frames) n = frames;
    /* numpy.linspace(0, frames - 1, n, dtype=int): i times the step in double, cut to a whole number; the last exact.
     */
    double step = n > 1 ? (double)(frames - 1) / (n - 1) : 0;
    for (int i = 0; i < n; i++) indices[i] = n == frames ? i : n > 1 && i == n - 1 ? frames - 1 : (int)(i * step);
    if (n % 2) indices[n] = indices[n - 1], n++;
    *count = n;
}
