/* What an MP4 or MOV file announces, checked before libavformat believes it.
 *
 * A file of a few hundred bytes can say that a track has billions of samples of one size; libavformat makes an index
 * entry of each. This walk adds up what the index would take. Every box but the media data is looked into as if it held
 * others, so that no unusual nesting hides a table; what makes no sense as a box ends that look. */
#include <string.h>

#include "base/error.h"
#include "media/container.h"

/* Index entries over all tracks; libavformat keeps 24 to 48 bytes each. */
enum { MAX_SAMPLES = 4000000, MAX_DEPTH = 12 };

typedef struct {
    uint64_t samples, in_fragments, chunks, longest_chunk;
    bool other_than_sound; /* a handler that is not 'soun' */
    bool sound;
    int time_tables, unit_time_tables; /* stts; those that give every sample the duration 1: plain PCM */
} track;

typedef struct {
    track now;      /* the track under way */
    uint64_t total; /* entries of all tracks */
    bool compressed;
} walker;

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static uint64_t u64(const uint8_t *p) {
    return (uint64_t)u32(p) << 32 | u32(p + 4);
}
static bool is(const uint8_t *type, const char *name) {
    return !memcmp(type, name, 4);
}

/* libavformat indexes plain PCM by pieces of 1024 samples, everything else by samples. */
static void finish_track(walker *w) {
    const track *t = &w->now;
    bool pcm = t->sound && !t->other_than_sound && t->time_tables == 1 && t->unit_time_tables == 1;
    w->total += t->in_fragments + (pcm ? (t->longest_chunk / 1024 + 1) * t->chunks : t->samples);
    w->now = (track){0};
}

/* p: behind the box's head, n bytes of it. */
static void note_table(walker *w, const uint8_t *type, const uint8_t *p, uint64_t n) {
    track *t = &w->now;
    if (is(type, "cmov")) w->compressed = true;
    if (n < 8) return;
    uint32_t count = u32(p + 4);
    if (is(type, "trun"))
        t->in_fragments += count;
    else if (is(type, "stco") || is(type, "co64"))
        t->chunks += count;
    else if (n >= 12 && (is(type, "stsz") || is(type, "stz2")))
        t->samples += u32(p + 8);
    else if (n >= 12 && is(type, "hdlr"))
        *(is(p + 8, "soun") ? &t->sound : &t->other_than_sound) = true;
    else if (n >= 16 && is(type, "stts")) {
        t->time_tables++;
        t->unit_time_tables += count == 1 && u32(p + 12) == 1;
    } else if (is(type, "stsc")) {
        for (uint64_t i = 0, at = 8; i < count && n - at >= 12; i++, at += 12)
            if (u32(p + at + 4) > t->longest_chunk) t->longest_chunk = u32(p + at + 4);
    }
}

static void walk_boxes(walker *w, const uint8_t *p, uint64_t n, int depth) {
    while (n >= 8 && depth < MAX_DEPTH) {
        const uint8_t *type = p + 4;
        uint64_t size = u32(p), head = 8;
        if (size == 1 && n >= 16) size = u64(p + 8), head = 16;
        if (size == 0 || size > n) size = n; /* to the end, or cut off */
        if (size < head) return;
        if (is(type, "trak")) finish_track(w);
        if (!is(type, "mdat") && !is(type, "free") && !is(type, "skip")) {
            note_table(w, type, p + head, size - head);
            uint64_t version = is(type, "meta") && size - head >= 4 && u32(p + head) == 0 ? 4 : 0;
            walk_boxes(w, p + head + version, size - head - version, depth + 1);
        }
        p += size;
        n -= size;
    }
}

qv_status qv__boxes_check(const uint8_t *bytes, size_t size, qv_error *err) {
    walker w = {0};
    walk_boxes(&w, bytes, size, 0);
    finish_track(&w);
    if (w.compressed) return qv__fail(err, QV_VIDEO_DECODE, "the video's header is compressed, which is not supported");
    if (w.total <= MAX_SAMPLES) return QV_OK;
    return qv__fail(err, QV_MEDIA_LIMIT, "the video announces %llu samples, over the limit of %d",
                    (unsigned long long)w.total, MAX_SAMPLES);
}
