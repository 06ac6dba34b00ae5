/* qvec: Qwen3-VL-Embedding and Qwen3-VL-Reranker in one C library.
 *
 * Two concepts. A `qv_model` is an opened checkpoint folder with its tokenizer, its compute device and
 * its queue; open one, share it between any number of threads, close it. A `qv_input` is one thing to
 * embed: an ordered list of parts (text, pictures, videos), an instruction and a few wishes.
 *
 * Ownership: the caller keeps everything it passes in (it must stay valid during the call); what the
 * library hands out through an `out` parameter belongs to the caller until the matching clear or close.
 * Threads: every function may be called from any thread; only open and close of the same model must not
 * overlap with other calls on it. Nothing here prints, exits or aborts.
 * Errors: functions return QV_OK or a negative qv_status, and fill the `qv_error` when it is not NULL. */
#ifndef QVEC_QVEC_H
#define QVEC_QVEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define QV_API
#else
#define QV_API __attribute__((visibility("default")))
#endif

/* X(NAME, value, "name in JSON", "what it means", HTTP status) */
#define QV_STATUS_MAP(X)                                                                                               \
    X(OK, 0, "ok", "success", 200)                                                                                     \
    X(INTERNAL, -1, "internal", "internal error", 500)                                                                 \
    X(NO_MEMORY, -2, "no_memory", "out of memory", 503)                                                                \
    X(INVALID_ARGUMENT, -3, "invalid_argument", "an argument is wrong", 400)                                           \
    X(INVALID_JSON, -4, "invalid_json", "the text is not valid JSON", 400)                                             \
    X(INVALID_UTF8, -5, "invalid_utf8", "the text is not valid UTF-8", 400)                                            \
    X(NOT_FOUND, -6, "not_found", "no such thing", 404)                                                                \
    X(UNSUPPORTED, -7, "unsupported", "this build or model cannot do that", 501)                                       \
    X(IO, -8, "io", "reading or writing failed", 500)                                                                  \
    X(BAD_CHECKPOINT, -9, "bad_checkpoint", "the checkpoint folder cannot be used", 500)                               \
    X(TOO_LONG, -10, "too_long", "more tokens than allowed", 400)                                                      \
    X(TOO_LARGE, -11, "too_large", "over a size limit", 413)                                                           \
    X(OVERLOADED, -12, "overloaded", "the queue is full", 429)                                                         \
    X(CANCELLED, -13, "cancelled", "the work was cancelled", 503)                                                      \
    X(DEADLINE, -14, "deadline", "the deadline passed", 504)                                                           \
    X(NON_FINITE, -15, "non_finite", "the model gave a value that is not finite", 500)                                 \
    X(UNAUTHORIZED, -16, "unauthorized", "the key is missing or wrong", 401)                                           \
    X(IMAGE_DECODE, -17, "image_decode", "the picture cannot be decoded", 422)                                         \
    X(VIDEO_DECODE, -18, "video_decode", "the video cannot be decoded", 422)                                           \
    X(MEDIA_LIMIT, -19, "media_limit", "a picture or video is over a limit", 413)                                      \
    X(MEDIA_SOURCE, -20, "media_source", "a picture or video cannot be read from there", 400)                          \
    X(WRONG_TASK, -21, "wrong_task", "this kind of model does not do that", 501)                                       \
    X(SHUTTING_DOWN, -22, "shutting_down", "the engine is closing", 503)                                               \
    X(MEDIA_FETCH, -23, "media_fetch", "a picture or video could not be fetched", 502)

typedef enum qv_status {
#define QV_STATUS_ENUM(name, value, json, text, http) QV_##name = value,
    QV_STATUS_MAP(QV_STATUS_ENUM)
#undef QV_STATUS_ENUM
} qv_status;

/* What went wrong: the code, and a text that names the thing and the limit. Never holds a pointer. */
typedef struct qv_error {
    qv_status code;
    char message[512];
} qv_error;

QV_API const char *qv_status_name(qv_status code); /* "image_decode"; "internal" for an unknown code */
QV_API const char *qv_status_text(qv_status code); /* "the picture cannot be decoded" */
QV_API int qv_status_http(qv_status code);         /* 422 */
QV_API const char *qv_version(void);               /* "0.1.0" */

/* ---- the model ---------------------------------------------------------------------------------- */

typedef struct qv_model qv_model;

typedef enum qv_task { QV_TASK_AUTO, QV_TASK_EMBED, QV_TASK_RERANK } qv_task;

/* Zero means "the default" in every field; start from `qv_model_options o = {0}`. */
typedef struct qv_model_options {
    const char *load_format;    /* "auto" (default), "safetensors", "dummy" or "dummy:SEED" */
    const char *cpu_tier;       /* highest kernel tier to use: "c", "avx2", "avx512"; default: the best there is */
    qv_task task;               /* told from the checkpoint's own files by default */
    int threads;                /* compute threads; default: the CPUs this process may use. A quarter as many calls
                                   (at least one) decode pictures and videos at the same time */
    int64_t max_model_len;      /* longest input in tokens; default: min(the model's own limit, 32768) */
    int64_t max_batched_tokens; /* tokens computed together; default 2048 */
    int64_t max_queued_items;   /* items waiting in the queue before QV_OVERLOADED; default 65536 */
    int64_t max_queued_tokens;  /* and their tokens; default 16777216 */
    int64_t image_cache_bytes;  /* cache of finished picture features; default 256 MiB, -1: off */
    int64_t prefix_cache_bytes; /* store of keys and values of shared prefixes; default 512 MiB, -1: off */
    /* Limits of a picture or video from outside; over one it is refused with QV_MEDIA_LIMIT. */
    int64_t max_media_bytes;   /* of an encoded file; default 256 MiB */
    int64_t max_image_pixels;  /* of a picture or frame as decoded; default 89,478,485 */
    int64_t max_image_side;    /* default 65,535 */
    int64_t max_video_frames;  /* that a video may hold; default 200,000 */
    int64_t max_decoded_bytes; /* frames of one video kept together; default 2 GiB */
    double max_decode_seconds; /* wall time of one decode; default 60 */
    const char *media_root;    /* folder that QV_PART_*_FILE paths must lie below; NULL: files anywhere */
    /* "auto" (default): weights as the folder has them; "int8": matrices are turned into 8-bit codes while opening, with
     * the same answers as from a folder that `qvec quantize` wrote; "none": refuse a folder of such codes. */
    const char *quantization;
} qv_model_options;

/* Opens a checkpoint folder (config.json, tokenizer files, safetensors). Weights are mapped, not copied.
 * On success *out belongs to the caller until qv_model_close. options may be NULL. */
QV_API qv_status qv_model_open(const char *folder, const qv_model_options *options, qv_model **out, qv_error *err);

/* The folder that `model` names, written to path[size]: a folder itself, or org/name, which is looked for in
 * download_dir (NULL: nowhere) and the hub caches. QV_NOT_FOUND. */
QV_API qv_status qv_model_find(const char *model, const char *download_dir, char *path, size_t size, qv_error *err);

/* Waits for the calls under way, frees everything, sets *model to NULL. Closing NULL is fine. */
QV_API void qv_model_close(qv_model **model);

typedef struct qv_model_facts {
    qv_task task;
    int64_t embedding_size; /* values of a full vector: 2048 for the 2B, 4096 for the 8B */
    int64_t max_model_len;  /* tokens */
    int threads;
    const char *cpu_tier; /* static string; "avx512+vnni" where 8-bit codes are multiplied with AVX-512 VNNI */
} qv_model_facts;

QV_API void qv_model_get_facts(const qv_model *model, qv_model_facts *facts);

/* ---- inputs ------------------------------------------------------------------------------------- */

typedef enum qv_part_kind {
    QV_PART_TEXT,         /* data/size: UTF-8 text */
    QV_PART_TOKENS,       /* data: int32_t[count], size = count: token ids used as they are; alone in its input */
    QV_PART_IMAGE,        /* data/size: the bytes of a JPEG, PNG, WebP, GIF, BMP or TIFF file */
    QV_PART_IMAGE_FILE,   /* data: path, NUL-terminated; or a data: URL */
    QV_PART_VIDEO,        /* data/size: the bytes of a video file */
    QV_PART_VIDEO_FILE,   /* data: path, NUL-terminated; or a data: URL */
    QV_PART_VIDEO_FRAMES, /* data: const qv_part[size], each an image: a video given as pictures at 2 a second */
    QV_PART_PIXELS,       /* data: const qv_pixels *: a decoded picture, an image like the others */
} qv_part_kind;

typedef struct qv_part {
    qv_part_kind kind;
    const void *data;
    size_t size;
} qv_part;

typedef struct qv_pixels {
    int height, width;
    const uint8_t *rgb; /* [height][width][3] */
} qv_pixels;

typedef enum qv_prompt {
    QV_PROMPT_OFFICIAL, /* the models' published recipe: system instruction, user content, assistant turn */
    QV_PROMPT_RAW,      /* the text as given and the end token: what a plain /v1/embeddings input means */
} qv_prompt;

/* Start from `qv_input in = {0}`: the official prompt, full size, unit length. */
typedef struct qv_input {
    const qv_part *parts;
    size_t part_count;
    qv_prompt prompt;
    const char *instruction;        /* NULL or blank: the model's default; official prompt only */
    int dimensions;                 /* first values to keep, then normalised again; 0: all */
    int64_t max_length;             /* cut the prompt to this many tokens; 0: 8192 official, no cut raw */
    bool no_normalize;              /* leave the vector at its natural length */
    bool no_special_tokens;         /* raw prompt: do not append the tokenizer's end token */
    int64_t min_pixels, max_pixels; /* per picture, after resizing; 0: 4096 and 1,843,200 */
    bool apply_orientation;         /* turn pictures as their EXIF orientation says; the reference does not */
    double fps;                     /* frames taken per second of video; 0: 1 */
    int max_frames;                 /* 0: 64 */
} qv_input;

/* ---- results ------------------------------------------------------------------------------------ */

typedef struct qv_embedding {
    qv_status status; /* QV_OK, or why this input failed; the others are not disturbed */
    qv_error error;
    float *values; /* [dimensions], owned; NULL when failed */
    int dimensions;
    qv_prompt prompt;    /* the recipe that was used */
    int64_t tokens;      /* tokens computed, after expansion of pictures and after truncation */
    int64_t untruncated; /* tokens before truncation; > tokens when the input was cut */
} qv_embedding;

/* Embeds `count` inputs and waits for all of them; there may be any number: a few at a time are on their way, and a
 * full queue is waited for. out[count] is written in the inputs' order, also on failure. Returns QV_OK when every input
 * succeeded, else the first failure's status (err too). The bytes of a result do not depend on the other inputs, their
 * order or the number of threads. */
QV_API qv_status qv_model_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out,
                                qv_error *err);

/* One scored document. */
typedef struct qv_score {
    qv_status status; /* QV_OK, or why this document failed; the others are not disturbed */
    qv_error error;
    float score; /* sigmoid of the logit, in (0, 1): the model's probability of "yes" */
    float logit;
    int64_t tokens;      /* of the whole prompt (query and document) after truncation */
    int64_t untruncated; /* > tokens when the prompt was cut */
} qv_score;

/* Scores `count` documents against one query and waits for all of them. out[count] is in the documents' order. The
 * instruction, pixel and length wishes are read from `query`; `prompt` and `dimensions` do not apply. The query is
 * computed once and shared. QV_WRONG_TASK for an embedding model. Bytes do not depend on the other documents. */
QV_API qv_status qv_model_rerank(qv_model *model, const qv_input *query, const qv_input *documents, size_t count,
                                 qv_score *out, qv_error *err);

/* ---- the same calls in pieces: to watch, to cancel, and vectors where the caller wants them ---- */

/* A qv_model_embed or qv_model_rerank under way. What was passed in must stay valid until it is ended. */
typedef struct qv_job qv_job;

/* Starts; *job belongs to the caller until qv_job_end. matrix: where vectors go, input i's to matrix + i * stride (an
 * input of more dimensions than `stride` fails), and the results' values stay NULL; NULL: none. */
QV_API qv_status qv_job_embed(qv_model *model, const qv_input *inputs, size_t count, qv_embedding *out, float *matrix,
                              size_t stride, qv_job **job, qv_error *err);
QV_API qv_status qv_job_rerank(qv_model *model, const qv_input *query, const qv_input *documents, size_t count,
                               qv_score *out, qv_job **job, qv_error *err);
/* Works on the job on this thread for about so many seconds (a picture or video that was begun is decoded to its end;
 * 0: one step, INFINITY: to the end). True when every result is written. */
QV_API bool qv_job_wait(qv_job *job, double seconds);
/* How many inputs have their result, and the tokens of those. Any thread. */
QV_API void qv_job_progress(qv_job *job, size_t *finished, int64_t *tokens);
/* Inputs without a result fail with QV_CANCELLED; what is being computed for this job alone is given up within one
 * block of rows of one layer. Returns at once; any thread. */
QV_API void qv_job_cancel(qv_job *job);
/* Waits for the rest, frees the job, sets *job to NULL. Returns what qv_model_embed or qv_model_rerank would. Ending
 * NULL is fine. */
QV_API qv_status qv_job_end(qv_job **job, qv_error *err);

/* Frees what `count` results own and zeroes them. */
QV_API void qv_embedding_clear(qv_embedding *results, size_t count);

/* Token ids of a text. Added tokens inside the text are recognised. special: apply the post-processor too, as an
 * embedding call does. *ids is malloc'd (NULL when there are none), freed by qv_tokens_free. */
QV_API qv_status qv_model_tokenize(const qv_model *model, const char *text, size_t size, bool special, int32_t **ids,
                                   size_t *count, qv_error *err);
QV_API void qv_tokens_free(int32_t *ids);

#ifdef __cplusplus
}
#endif
#endif
