/* config.json of a checkpoint: the shapes of both towers. Source: the published configs; both spellings of
 * the rope fields (rope_scaling + rope_theta of transformers 4, rope_parameters of transformers 5). */
#ifndef QVEC_STORE_CONFIG_H
#define QVEC_STORE_CONFIG_H

#include "qvec/qvec.h"

enum { QV__DEEPSTACK_MAX = 8 };

typedef struct {
    int hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
    int64_t max_positions; /* max_position_embeddings */
    float rms_eps;
    double rope_theta;
    int mrope_section[3]; /* frequencies given to T, H, W; interleaved; sum = head_dim/2 */
} qv__text_config;

typedef struct {
    int depth, hidden, intermediate, heads; /* head_dim = hidden / heads */
    int out_hidden;                         /* = text hidden */
    int patch, temporal_patch, merge, channels;
    int table_side;                                    /* sqrt(num_position_embeddings) */
    int deepstack_count, deepstack[QV__DEEPSTACK_MAX]; /* block indexes, ascending */
} qv__vision_config;

typedef struct {
    qv__text_config text;
    bool has_vision; /* vision_config present */
    qv__vision_config vision;
    bool tie_embeddings;
    bool quantized; /* matrices are 8-bit codes: store/quantized.h */
    int32_t image_token, video_token, vision_start_token, vision_end_token;
} qv__config;

/* Tokens of a picture, or of a temporal patch, of this many pixels after resizing. */
static inline int64_t qv__vision_tokens(const qv__vision_config *v, int height, int width) {
    int cell = v->patch * v->merge;
    return (int64_t)(height / cell) * (width / cell);
}

/* Parses config.json's text. Every number is range-checked (sizes positive and at most 2^24, layers and
 * depth at most 512, hidden % heads == 0, sections sum to head_dim/2, ...); the error names the field. */
qv_status qv__config_parse(const char *json, size_t size, qv__config *out, qv_error *err);
#endif
