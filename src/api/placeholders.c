#include "api/placeholders.h"

#include <string.h>

enum { IMAGE, VIDEO, KINDS };

static const char *const places[KINDS] = {"<|vision_start|><|image_pad|><|vision_end|>",
                                          "<|vision_start|><|video_pad|><|vision_end|>"};

/* KINDS: a text. */
static int kind_of(const qv_part *part) {
    switch ((int)part->kind) {
    case QV_PART_TEXT: return KINDS;
    case QV_PART_IMAGE:
    case QV_PART_IMAGE_FILE:
    case QV__PART_IMAGE_URL: return IMAGE;
    default: return VIDEO;
    }
}

static int place_at(const char *text, size_t size) {
    for (int kind = 0; kind < KINDS; kind++)
        if (size >= strlen(places[kind]) && memcmp(text, places[kind], strlen(places[kind])) == 0) return kind;
    return KINDS;
}

/* The next place in a text and its kind; NULL: there is none. Linear in what it passes over. */
static const char *next_place(const char *text, size_t size, int *kind) {
    static const char start[] = "<|vision_start|>";
    for (const char *end = text + size; (text = memmem(text, (size_t)(end - text), start, sizeof start - 1)); text++)
        if ((*kind = place_at(text, (size_t)(end - text))) < KINDS) break;
    return text;
}

typedef struct {
    size_t media[KINDS], places[KINDS];
} counts;

static void count_places(const qv_part *part, counts *n) {
    const char *text = part->data, *end = text + part->size, *at;
    for (int kind; text && (at = next_place(text, (size_t)(end - text), &kind)); text = at + strlen(places[kind]))
        n->places[kind]++;
}

static counts count_all(const qv_part *parts, size_t count) {
    counts n = {{0}, {0}};
    for (size_t i = 0; i < count; i++) {
        int kind = kind_of(&parts[i]);
        if (kind == KINDS)
            count_places(&parts[i], &n);
        else
            n.media[kind]++;
    }
    return n;
}

typedef struct {
    const qv_part *parts;      /* as they came */
    size_t count, next[KINDS]; /* from where on the next picture or video is looked for */
    qv_part *out;
    size_t out_count;
} placing;

static void put_text(placing *p, const char *text, size_t size) {
    if (size) p->out[p->out_count++] = (qv_part){.kind = QV_PART_TEXT, .data = text, .size = size};
}

static void put_next(placing *p, int kind) {
    while (kind_of(&p->parts[p->next[kind]]) != kind) p->next[kind]++;
    p->out[p->out_count++] = p->parts[p->next[kind]++];
}

static void put_split(placing *p, const qv_part *part) {
    const char *text = part->data, *end = text + part->size, *at;
    for (int kind; text && (at = next_place(text, (size_t)(end - text), &kind)); text = at + strlen(places[kind])) {
        put_text(p, text, (size_t)(at - text));
        put_next(p, kind);
    }
    put_text(p, text, (size_t)(end - text));
}

/* Those that keep their part come first in their kind, so that `next` only has to go past them. */
static void place(placing *p, const counts *n) {
    size_t staying[KINDS] = {n->media[IMAGE] - n->places[IMAGE], n->media[VIDEO] - n->places[VIDEO]};
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t left = staying[kind]; left; p->next[kind]++) left -= kind_of(&p->parts[p->next[kind]]) == kind;
    for (size_t i = 0; i < p->count; i++) {
        int kind = kind_of(&p->parts[i]);
        if (kind == KINDS)
            put_split(p, &p->parts[i]);
        else if (staying[kind])
            staying[kind]--, p->out[p->out_count++] = p->parts[i];
    }
}

qv_status qv__placeholders_settle(qv__content *c, size_t first) {
    if (c->count == first) return QV_OK;
    placing p = {.parts = c->parts + first, .count = c->count - first};
    counts n = count_all(p.parts, p.count);
    size_t all = n.places[IMAGE] + n.places[VIDEO];
    if (!all) return QV_OK;
    for (int kind = 0; kind < KINDS; kind++)
        if (n.places[kind] > n.media[kind])
            return qv__refuse(
                c->r, QV_INVALID_ARGUMENT, c->name,
                "Found more '%s' placeholders in input prompt than actual multimodal data items. (%s: %zu, "
                "and %zu items)",
                places[kind], c->name, n.places[kind], n.media[kind]);
    size_t capacity = c->count + 2 * all; /* each place makes at most a part and the text behind it */
    qv_part *parts = qv__arena_alloc(c->arena, capacity, sizeof *parts);
    if (!parts) return qv__refuse(c->r, QV_NO_MEMORY, NULL, "No memory for the request.");
    memcpy(parts, c->parts, first * sizeof *parts);
    p.out = parts + first;
    place(&p, &n);
    c->parts = parts;
    c->capacity = capacity;
    c->count = first + p.out_count;
    return QV_OK;
}
