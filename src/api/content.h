/* Typed content in the forms that clients send, as a list of qv_part:
 *   "text"   {"type":"text","text":…}   {"type":"image_url","image_url":{"url":…}}   {"image_url":"…"}   {"image":"…"}
 *   {"video":"…"}   {"video":["frame","frame"]}   and lists of these.
 * Pictures and videos come as data: URLs or bare base64; they are decoded here, so that no string of a request is
 * taken for a path but file:// URLs, and those only where the server was started with a folder for them. http(s) URLs
 * are noted (media_url.h) where it was started with hosts for them. */
#ifndef QVEC_API_CONTENT_H
#define QVEC_API_CONTENT_H

#include "api/body.h"
#include "api/media_url.h"

typedef struct {
    qv__arena *arena; /* owns parts and decoded bytes; texts stay in the JSON */
    qv__refusal *r;
    const char *name; /* of the input, for messages: "input[3]" */
    int max_images, max_videos;
    int64_t max_parts;    /* 0: any number */
    bool local_media;     /* file:// URLs are taken, to be read below the model's media_root */
    qv__media_urls *urls; /* where http(s) URLs are noted; NULL: none is taken */
    /* grows */
    qv_part *parts;
    size_t count, capacity;
    int images, videos;
} qv__content;

/* A JSON string that is a text; one that is nothing but a URL is refused. */
qv_status qv__content_add_text(qv__content *c, const json_t *value);
/* A text of our own making, which lives as long as the arena. */
qv_status qv__content_add_made(qv__content *c, const char *text, size_t size);
/* A string, one part, or a list of them. */
qv_status qv__content_add(qv__content *c, const json_t *value);
/* A string taken as a picture or video, whatever it looks like. */
qv_status qv__content_add_media(qv__content *c, const json_t *value, bool video);

/* {"text","image","video"} (each a string or a list) or {"content": parts}, and beside them instruction, min_pixels,
 * max_pixels, fps, max_frames: into `input`, whose other fields stay. An empty object is an empty input. A picture may
 * also be all there is, as {"url"} or {"bytes"}: so older clients of Jina spell it. */
qv_status qv__content_object(qv__content *c, const json_t *object, qv_input *input);
/* Characters of its texts; of token ids, their number. */
int64_t qv__content_characters(const qv_input *input);
void qv__content_end(const qv__content *c, qv_input *input);

/* min_pixels, max_pixels, apply_orientation, fps, max_frames; vLLM's mm_processor_kwargs and media_io_kwargs; all
 * optional. */
qv_status qv__content_limits(const json_t *object, qv_input *input, qv__refusal *r);
#endif
