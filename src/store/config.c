#include "store/config.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "store/json.h"
#include "store/quantized.h"

enum { SIZE_LIMIT = 1 << 24, LAYERS_LIMIT = 512, HEAD_DIM_LIMIT = 256, CONFIG_BYTES_MAX = 1 << 20 };

/* One JSON object being read. The first failure is kept and turns every later read into a no-op, so that a
 * list of reads needs one check at its end. */
struct fields {
    const json_t *object;
    const char *where; /* put before the field's name in errors: "text_config." */
    qv_status status;
    qv_error *err;
};

static const json_t *lookup(const struct fields *f, const char *name) {
    const json_t *value = json_object_get(f->object, name);
    return json_is_null(value) ? NULL : value;
}

static int64_t get_int(struct fields *f, const char *name, int64_t min, int64_t max) {
    if (f->status) return min;
    const json_t *value = lookup(f, name);
    if (!value) {
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is missing", f->where, name);
    } else if (!json_is_integer(value)) {
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is not an integer", f->where, name);
    } else if (json_integer_value(value) < min || json_integer_value(value) > max) {
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is %lld, not within %lld..%lld", f->where, name,
                             (long long)json_integer_value(value), (long long)min, (long long)max);
    } else {
        return json_integer_value(value);
    }
    return min;
}

static int get_size(struct fields *f, const char *name) {
    return (int)get_int(f, name, 1, SIZE_LIMIT);
}

static double get_number(struct fields *f, const char *name, double above, double max) {
    if (f->status) return max;
    const json_t *value = lookup(f, name);
    double x = json_number_value(value);
    if (!value)
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is missing", f->where, name);
    else if (!json_is_number(value))
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is not a number", f->where, name);
    else if (!(x > above && x <= max))
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is %g, not above %g and at most %g", f->where, name, x,
                             above, max);
    else
        return x;
    return max;
}

static bool get_bool(struct fields *f, const char *name, bool fallback) {
    const json_t *value = lookup(f, name);
    if (f->status || !value) return fallback;
    if (!json_is_boolean(value))
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is neither true nor false", f->where, name);
    return json_is_true(value);
}

/* A field that selects a variant of the network: absent, or one of the (up to two) we compute. */
static void demand_text(struct fields *f, const char *name, const char *one, const char *other) {
    const json_t *value = lookup(f, name);
    if (f->status || !value) return;
    const char *text = json_string_value(value);
    if (!text)
        f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is not a string", f->where, name);
    else if (strcmp(text, one) && strcmp(text, other))
        f->status =
            qv__fail(f->err, QV_UNSUPPORTED, "%s%s is \"%.64s\"; only \"%s\" is supported", f->where, name, text, one);
}

static void demand_bool(struct fields *f, const char *name, bool wanted) {
    if (get_bool(f, name, wanted) != wanted && !f->status)
        f->status = qv__fail(f->err, QV_UNSUPPORTED, "%s%s is %s, which is not supported", f->where, name,
                             wanted ? "false" : "true");
}

static void demand(struct fields *f, bool condition, const char *what) {
    if (!f->status && !condition) f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s", f->where, what);
}

/* At most `max` integers of [lo, hi]; returns how many. */
static int get_list(struct fields *f, const char *name, int lo, int hi, int max, int *out) {
    if (f->status) return 0;
    const json_t *list = lookup(f, name);
    if (!json_is_array(list) || json_array_size(list) > (size_t)max) {
        f->status =
            qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s is not a list of at most %d integers", f->where, name, max);
        return 0;
    }
    int count = (int)json_array_size(list);
    for (int i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        json_int_t x = json_integer_value(value);
        if (!json_is_integer(value) || x < lo || x > hi) {
            f->status = qv__fail(f->err, QV_BAD_CHECKPOINT, "%s%s[%d] is not an integer within %d..%d", f->where, name,
                                 i, lo, hi);
            return 0;
        }
        out[i] = (int)x;
    }
    return count;
}

/* transformers 4: {"rope_theta": .., "rope_scaling": {..}}; transformers 5: {"rope_parameters": {.., "rope_theta":
 * ..}}. A text-only checkpoint may leave mrope_section out: with equal positions on the three axes it has no effect. */
static void parse_rope(struct fields *text, bool has_vision, qv__text_config *out) {
    const json_t *rope = lookup(text, "rope_parameters");
    const char *where = "text_config.rope_parameters.";
    if (!rope) rope = lookup(text, "rope_scaling"), where = "text_config.rope_scaling.";
    demand(text, !rope || json_is_object(rope), "rope_parameters or rope_scaling is not an object");
    if (text->status) return;
    struct fields f = {rope, where, QV_OK, text->err};
    bool inside = lookup(&f, "rope_theta") != NULL;
    out->rope_theta = get_number(inside ? &f : text, "rope_theta", 1, 1e15);
    demand_text(&f, "rope_type", "default", "mrope");
    demand_text(&f, "type", "default", "mrope");
    demand_bool(&f, "mrope_interleaved", true);
    int half = out->head_dim / 2, *s = out->mrope_section;
    if (!lookup(&f, "mrope_section") && !has_vision) {
        s[0] = half, s[1] = s[2] = 0;
    } else if (!f.status) {
        int count = get_list(&f, "mrope_section", 0, half, 3, s);
        demand(&f, count == 3 && s[0] + s[1] + s[2] == half,
               "mrope_section is not three counts that sum to head_dim / 2");
        /* Interleaved: H takes the frequencies 1, 4, 7 .. and W 2, 5, 8 ..; the last of each must exist. */
        demand(&f, 3 * (s[1] - 1) + 1 < half && 3 * (s[2] - 1) + 2 < half, "mrope_section does not fit interleaved");
    }
    if (!text->status) text->status = f.status;
}

static void parse_text(struct fields *f, bool has_vision, qv__text_config *out) {
    demand_text(f, "model_type", "qwen3_vl_text", "qwen3_vl"); /* the latter: text fields at the root */
    demand_text(f, "hidden_act", "silu", "silu");
    demand_bool(f, "attention_bias", false);
    demand_bool(f, "use_sliding_window", false);
    out->hidden = get_size(f, "hidden_size");
    out->intermediate = get_size(f, "intermediate_size");
    out->layers = (int)get_int(f, "num_hidden_layers", 1, LAYERS_LIMIT);
    out->heads = (int)get_int(f, "num_attention_heads", 1, 4096);
    out->kv_heads = (int)get_int(f, "num_key_value_heads", 1, 4096);
    out->vocab = get_size(f, "vocab_size");
    out->max_positions = get_int(f, "max_position_embeddings", 1, 1 << 30);
    out->rms_eps = (float)get_number(f, "rms_norm_eps", 0, 0.1);
    if (f->status) return;
    demand(f, out->heads % out->kv_heads == 0, "num_attention_heads is not a multiple of num_key_value_heads");
    if (lookup(f, "head_dim")) {
        out->head_dim = (int)get_int(f, "head_dim", 2, 4096);
    } else {
        demand(f, out->hidden % out->heads == 0, "hidden_size is not a multiple of num_attention_heads");
        out->head_dim = out->hidden / out->heads;
    }
    demand(f, out->head_dim > 0 && out->head_dim % 2 == 0, "head_dim is not even");
    demand(f, out->head_dim <= HEAD_DIM_LIMIT, "head_dim is over 256");
    demand(f, (int64_t)out->heads * out->head_dim <= SIZE_LIMIT, "num_attention_heads * head_dim is over 2^24");
    if (!f->status) parse_rope(f, has_vision, out);
}

static void parse_vision(struct fields *f, const qv__text_config *text, qv__vision_config *out) {
    demand_text(f, "hidden_act", "gelu_pytorch_tanh", "gelu_pytorch_tanh");
    out->depth = (int)get_int(f, "depth", 1, LAYERS_LIMIT);
    out->hidden = get_size(f, "hidden_size");
    out->intermediate = get_size(f, "intermediate_size");
    out->heads = (int)get_int(f, "num_heads", 1, 4096);
    out->out_hidden = get_size(f, "out_hidden_size");
    out->patch = (int)get_int(f, "patch_size", 1, 256);
    out->temporal_patch = (int)get_int(f, "temporal_patch_size", 1, 16);
    out->merge = (int)get_int(f, "spatial_merge_size", 1, 16);
    out->channels = (int)get_int(f, "in_channels", 3, 3); /* pictures are RGB */
    int positions = get_size(f, "num_position_embeddings");
    out->deepstack_count =
        get_list(f, "deepstack_visual_indexes", 0, out->depth - 1, QV__DEEPSTACK_MAX, out->deepstack);
    if (f->status) return;
    out->table_side = (int)lround(sqrt(positions));
    demand(f, out->table_side * out->table_side == positions, "num_position_embeddings is not a square");
    demand(f, out->hidden % out->heads == 0, "hidden_size is not a multiple of num_heads");
    demand(f, out->hidden / out->heads % 4 == 0, "hidden_size / num_heads is not a multiple of 4 (rows and columns)");
    demand(f, out->hidden / out->heads <= HEAD_DIM_LIMIT, "hidden_size / num_heads is over 256");
    demand(f, (int64_t)out->hidden * out->merge * out->merge <= SIZE_LIMIT,
           "hidden_size * spatial_merge_size^2 is over 2^24");
    demand(f, out->out_hidden == text->hidden, "out_hidden_size is not text_config.hidden_size");
    demand(f, out->deepstack_count <= text->layers,
           "deepstack_visual_indexes has more entries than there are text layers");
    for (int i = 1; i < out->deepstack_count; i++)
        demand(f, out->deepstack[i - 1] < out->deepstack[i], "deepstack_visual_indexes is not ascending");
}

static void parse_tokens(struct fields *f, qv__config *out) {
    int last = out->text.vocab - 1;
    out->image_token = (int32_t)get_int(f, "image_token_id", 0, last);
    out->video_token = (int32_t)get_int(f, "video_token_id", 0, last);
    out->vision_start_token = (int32_t)get_int(f, "vision_start_token_id", 0, last);
    out->vision_end_token = (int32_t)get_int(f, "vision_end_token_id", 0, last);
    demand(f, out->image_token != out->video_token, "image_token_id equals video_token_id");
}

/* Of all ways to quantise only our own (store/quantized.h) is known. */
static void parse_quantization(struct fields *top, qv__config *out) {
    const json_t *object = lookup(top, "quantization_config");
    if (!object || top->status) return;
    struct fields f = {object, "quantization_config.", QV_OK, top->err};
    const char *method = json_string_value(lookup(&f, "quant_method")),
               *format = json_string_value(lookup(&f, "format"));
    if (!method || strcmp(method, "qvec") || !format || strcmp(format, "int8"))
        f.status = qv__fail(f.err, QV_UNSUPPORTED,
                            "quantization_config is not what `qvec quantize` writes: quant_method \"%.32s\", format "
                            "\"%.32s\"; only \"qvec\", \"int8\" is supported beside bf16, f16 and f32 weights",
                            method ? method : "", format ? format : "");
    int64_t version = get_int(&f, "version", 1, INT32_MAX);
    if (!f.status && version != QV__QUANTIZED_VERSION)
        f.status = qv__fail(f.err, QV_UNSUPPORTED, "quantization_config.version is %lld; this program knows %d",
                            (long long)version, QV__QUANTIZED_VERSION);
    get_int(&f, "group_size", QV__INT8_GROUP, QV__INT8_GROUP);
    top->status = f.status;
    out->quantized = true;
}

static qv_status parse(const json_t *root, qv__config *out, qv_error *err) {
    struct fields top = {root, "", QV_OK, err};
    demand_text(&top, "model_type", "qwen3_vl", "qwen3_vl_text");
    parse_quantization(&top, out);
    const json_t *text_object = lookup(&top, "text_config"), *vision_object = lookup(&top, "vision_config");
    demand(&top, !text_object || json_is_object(text_object), "text_config is not an object");
    demand(&top, !vision_object || json_is_object(vision_object), "vision_config is not an object");
    if (top.status) return top.status;

    struct fields text = {text_object ? text_object : root, text_object ? "text_config." : "", QV_OK, err};
    struct fields vision = {vision_object, "vision_config.", QV_OK, err};
    out->has_vision = vision_object != NULL;
    parse_text(&text, out->has_vision, &out->text);
    if (text.status) return text.status;
    if (out->has_vision) {
        parse_vision(&vision, &out->text, &out->vision);
        if (vision.status) return vision.status;
        parse_tokens(&top, out);
    } else {
        out->image_token = out->video_token = out->vision_start_token = out->vision_end_token = -1;
    }
    out->tie_embeddings = get_bool(&top, "tie_word_embeddings", get_bool(&text, "tie_word_embeddings", false));
    return text.status ? text.status : top.status;
}

qv_status qv__config_parse(const char *json, size_t size, qv__config *out, qv_error *err) {
    *out = (qv__config){0};
    if (size > CONFIG_BYTES_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "config.json has %zu bytes, over the limit of %d", size,
                        CONFIG_BYTES_MAX);
    json_t *root = NULL;
    qv_status status = qv__json_parse(json, size, &root, err);
    if (!status) status = parse(root, out, err);
    json_decref(root);
    return status ? qv__fail_in(err, status, "config.json") : QV_OK;
}
