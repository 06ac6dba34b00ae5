#include "api/limits.h"

#include <string.h>

#define K (1LL << 10)
#define M (1LL << 20)
#define G (1LL << 30)
#define DAY 86400
#define REQUESTS(field) .group = QV__LIMITS_REQUESTS, .offset = offsetof(qv__limits, field)
#define MEDIA(field) .group = QV__LIMITS_MEDIA, .offset = offsetof(qv__limits, field)

const qv__limit qv__limit_table[QV__LIMITS] = {
    {"max-body", "BYTES", "Largest request body, the memory for whose JSON may be 6 times as much; over it: 413.",
     REQUESTS(body_bytes), 64 * M, K, K *G},
    {"max-total-body", "BYTES",
     "Most memory for the bodies of all requests together, and as much (64M at least) for their JSON; over it: 429.",
     REQUESTS(total_body_bytes), G, M, K *G},
    {"max-head", "BYTES",
     "Memory of a connection for a request's head, and for pieces of its body; a longer path: 414, longer headers: "
     "431.",
     REQUESTS(head_bytes), 16 * K, 4 * K, 16 * M},
    {"max-headers", "N", "Most headers of a request; over it: 431.", REQUESTS(headers), 128, 10, M},
    {"max-connections", "N", "Most connections at a time; more are closed at once.", REQUESTS(connections), 4096, 1, M},
    {"idle-timeout", "SECONDS", "How long a connection may be silent, or take to begin its next request.",
     REQUESTS(idle_seconds), 75, 1, DAY},
    {"header-timeout", "SECONDS", "How long a request's head may take from its first line on.", REQUESTS(head_seconds),
     30, 1, DAY},
    {"body-timeout", "SECONDS", "How long a body may take, beside a second for each 16 KB of it.",
     REQUESTS(body_seconds), 60, 1, DAY},
    {"request-timeout", "SECONDS",
     "How long a request may take from its body's last byte to its answer, else 504, and what is left of its work is "
     "dropped; 0: any time.",
     REQUESTS(request_seconds), 600, 0, DAY},
    {"max-inputs", "N", "Most inputs of an embedding request; over it: 400.", REQUESTS(inputs), 2048, 1, M},
    {"max-documents", "N", "Most documents or pairs of a rerank or score request; over it: 400.", REQUESTS(documents),
     10000, 1, M},
    {"max-parts", "N", "Most texts, pictures and videos of one input, query or document; over it: 400.",
     REQUESTS(parts), 2048, 1, M},
    {"max-echo-tokens", "N", "Most tokens of the prompts that one answer repeats on request; over it: 400.",
     REQUESTS(echo_tokens), 256 * K, 1, INT32_MAX},
    {"max-waiting-requests", "N",
     "Most requests that wait to be read, the last eighth of them for clients of whom few wait; over it: 429.",
     REQUESTS(waiting_requests), 4096, 1, M},
    {"max-queued-items", "N",
     "Most inputs that wait to be computed, the last eighth of them for clients of whom few wait; over it: 429.",
     REQUESTS(queued_items), 65536, 1, INT32_MAX},
    {"max-queued-tokens", "N",
     "Most tokens of the inputs that wait to be computed, the last eighth likewise; over it: 429.",
     REQUESTS(queued_tokens), 16 * M, 1, INT32_MAX},
    {"max-media-urls", "N", "Most http and https URLs that one request may have fetched; over it: 413.",
     REQUESTS(media_urls), 64, 1, M},
    {"max-media-url", "BYTES", "Longest http or https URL; over it: 400.", REQUESTS(media_url_bytes), 8 * K, 100, M},
    {"max-fetched-bytes", "BYTES", "Most bytes that the URLs of one request may bring together; over it: 413.",
     REQUESTS(fetched_bytes), 64 * M, 1, K *G},
    {"media-fetch-timeout", "SECONDS", "How long fetching all URLs of a request may take; over it: 502.",
     REQUESTS(fetch_seconds), 30, 1, DAY},
    {"max-fetched-headers", "BYTES",
     "Most bytes of headers that hosts may send for one URL, those of redirects among them; over it: 400.",
     REQUESTS(fetch_header_bytes), 64 * K, K, 16 * M},
    {"media-connect-timeout", "SECONDS", "How long reaching a host may take; over it: 502.", REQUESTS(connect_seconds),
     5, 1, DAY},
    {"media-min-rate", "BYTES",
     "Fewest bytes a second that a host may send for a third of --media-fetch-timeout; below it: 502.",
     REQUESTS(fetch_rate), K, 1, G},
    {"media-fetch-redirects", "N",
     "Most redirects of a URL, each checked like a URL of its own; over it: 400. $VLLM_MEDIA_URL_ALLOW_REDIRECTS=0 "
     "means "
     "0.",
     REQUESTS(fetch_redirects), 5, 0, 20},
    {"max-media-bytes", "BYTES", "Largest picture or video file.", MEDIA(media_bytes), 256 * M, 1, INT64_MAX},
    {"max-image-pixels", "N", "Most pixels of a picture or frame as it is decoded.", MEDIA(image_pixels), 89478485, 1,
     INT32_MAX},
    {"max-image-side", "N", "Most pixels along one side of a picture or frame.", MEDIA(image_side), 65535, 1,
     INT32_MAX},
    {"max-video-frames", "N", "Most frames that a video file may hold.", MEDIA(video_frames), 200000, 1, INT32_MAX},
    {"max-decoded-bytes", "BYTES", "Most memory for the decoded frames of one video.", MEDIA(decoded_bytes), 2 * G, 1,
     INT64_MAX},
    {"max-decode-seconds", "SECONDS", "Longest time that decoding one picture or video may take; 0: the default.",
     MEDIA(decode_seconds), 60, 0, DAY, .fraction = true},
};

void qv__limits_default(qv__limits *limits) {
    for (size_t i = 0; i < QV__LIMITS; i++) {
        const qv__limit *l = &qv__limit_table[i];
        void *place = (char *)limits + l->offset;
        if (l->fraction)
            *(double *)place = (double)l->initial;
        else
            *(int64_t *)place = l->initial;
    }
}

void qv__limits_fill(qv__limits *limits) {
    qv__limits initial;
    qv__limits_default(&initial);
    for (size_t i = 0; i < QV__LIMITS; i++) {
        const qv__limit *l = &qv__limit_table[i];
        void *place = (char *)limits + l->offset;
        if (!l->fraction && l->min > 0 && *(int64_t *)place <= 0) memcpy(place, (char *)&initial + l->offset, 8);
    }
}

void qv__limits_write(const qv__limits *limits, qv__buffer *b) {
    for (size_t i = 0; i < QV__LIMITS; i++) {
        const qv__limit *l = &qv__limit_table[i];
        const void *place = (const char *)limits + l->offset;
        qv__buffer_printf(b, "%s\"%s\":", i ? "," : "", l->flag);
        if (l->fraction)
            qv__buffer_printf(b, "%.17g", *(const double *)place);
        else
            qv__buffer_printf(b, "%lld", (long long)*(const int64_t *)place);
    }
}
