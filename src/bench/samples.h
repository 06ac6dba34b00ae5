/* What a benchmark sends: texts, pictures and videos, made at random or read from a file. */
#ifndef QVEC_BENCH_SAMPLES_H
#define QVEC_BENCH_SAMPLES_H

#include "bench/texts.h"

typedef struct {
    const char *url; /* data:, http: or https: */
    bool video;      /* else a picture */
} qv__medium;

/* One request's content. */
typedef struct {
    const char **texts; /* [text_count], NUL-terminated; for rerank the query, then the documents */
    size_t text_count;
    qv__medium *media; /* [media_count] */
    size_t media_count;
    int64_t tokens; /* of all texts, without special tokens; 0: not known */
    int64_t inputs; /* things that the server embeds or scores */
} qv__sample;

typedef struct {
    qv__arena arena; /* owns all texts */
    qv__sample *items;
    size_t count;
} qv__samples;
void qv__samples_clear(qv__samples *samples);

typedef struct {
    int height, width;
    int frames; /* 1: a picture, more: a video */
    double share;
} qv__bucket; /* of random pictures and videos */

enum { QV__BUCKETS_MAX = 32, QV__PICTURE_SIDE_MAX = 16384, QV__BUCKET_FRAMES_MAX = 4096 };

typedef struct {
    const qv__texts *texts;
    qv__random *random;
    int64_t inputs;     /* in all; requests are inputs / batch_size */
    int64_t length;     /* tokens of an input, special ones included */
    int64_t special;    /* tokens that the server adds to a text */
    int64_t prefix;     /* tokens that all texts begin with, besides */
    int64_t batch_size; /* inputs of a request */
    double range_ratio; /* lengths in [length (1 - r), length (1 + r)] */
    bool whole_length;  /* rerank: query and document have `length` each, not half of it */
    int64_t media;      /* pictures and videos of a request; 0: none */
    double media_ratio; /* their number in [media (1 - r), media (1 + r)] */
    int64_t images_max, videos_max;
    qv__bucket buckets[QV__BUCKETS_MAX];
    int bucket_count;
    bool (*stop)(void); /* asked between inputs; NULL: none */
} qv__random_samples;

/* Texts of random tokens; pictures and videos of random pixels as data: URLs of JPEG and MP4 files. */
qv_status qv__samples_random(const qv__random_samples *o, qv__samples *out, qv_error *err);
/* One random query for the whole run, and batches of random documents. */
qv_status qv__samples_random_rerank(const qv__random_samples *o, qv__samples *out, qv_error *err);

/* Reads "{(256, 256, 1): 0.5, (720, 1280, 16): 0.5}": height, width, frames. QV_INVALID_ARGUMENT. */
qv_status qv__buckets_parse(const char *text, qv__bucket *buckets, int *count, qv_error *err);

/* Reads JSON Lines, or one JSON array, of objects: "prompt", "text" or "input" (a string, or a list of them: one
 * request with several inputs), or "query" and "documents", or ShareGPT's "conversations"; and "image", "images",
 * "video" or "videos": a data: URL, an http URL for the server, or a file relative to `folder`. Gives `requests`
 * samples, from the beginning again when the file has fewer. what: names the file in errors. folder NULL: no files
 * beside it. */
qv_status qv__samples_parse(const char *text, size_t size, const char *what, const char *folder, size_t requests,
                            qv__samples *out, qv_error *err);
#endif
