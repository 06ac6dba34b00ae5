/* config.json: the published shapes, both spellings of the rope fields, and what is refused under which name. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"
#include "store/config.h"

static json_t *stored(const char *shape) {
    char relative[128];
    snprintf(relative, sizeof relative, "golden/data/configs/%s/config.json", shape);
    json_t *root = json_load_file(check_source_path(relative), 0, NULL);
    CHECK(root);
    return root;
}

/* Parses the object, from guarded memory, and takes it. */
static qv_status parse(json_t *root, qv__config *out, qv_error *err) {
    char *text = json_dumps(root, 0);
    size_t size = strlen(text);
    char *guarded = check_guarded(size, false);
    memcpy(guarded, text, size);
    free(text);
    json_decref(root);
    *err = (qv_error){0};
    return qv__config_parse(guarded, size, out, err);
}

TEST(published_shapes) {
    static const struct {
        const char *shape;
        int hidden, intermediate, layers, heads, kv_heads, head_dim, depth, vision_hidden, deepstack[3];
        bool tied;
    } rows[] = {
        {"2b", 2048, 6144, 28, 16, 8, 128, 24, 1024, {5, 11, 17}, true},
        {"8b", 4096, 12288, 36, 32, 8, 128, 27, 1152, {8, 16, 24}, false},
        {"tiny", 64, 160, 3, 4, 2, 32, 4, 48, {0, 1, 2}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__config c;
        qv_error err;
        CHECK_OK(parse(stored(rows[i].shape), &c, &err), err);
        CHECK(c.text.hidden == rows[i].hidden && c.text.intermediate == rows[i].intermediate);
        CHECK(c.text.layers == rows[i].layers && c.text.heads == rows[i].heads && c.text.kv_heads == rows[i].kv_heads);
        CHECK_INT(c.text.head_dim, rows[i].head_dim);
        CHECK(c.text.rope_theta == 5e6 && c.text.rms_eps == 1e-6f);
        CHECK_INT(c.text.mrope_section[0] + c.text.mrope_section[1] + c.text.mrope_section[2], rows[i].head_dim / 2);
        CHECK(c.has_vision && c.vision.depth == rows[i].depth && c.vision.hidden == rows[i].vision_hidden);
        CHECK(c.vision.table_side == 48 && c.vision.patch == 16 && c.vision.merge == 2 &&
              c.vision.deepstack_count == 3);
        CHECK(!memcmp(c.vision.deepstack, rows[i].deepstack, sizeof rows[i].deepstack));
        CHECK_INT(c.tie_embeddings, rows[i].tied);
        CHECK_INT(c.image_token, 151655);
    }
}

TEST(rope_fields_of_transformers_5) {
    json_t *root = stored("2b"), *text = json_object_get(root, "text_config");
    json_t *rope = json_incref(json_object_get(text, "rope_scaling"));
    json_object_del(text, "rope_scaling");
    json_object_del(text, "rope_theta");
    json_object_set_new(rope, "rope_theta", json_integer(5000000));
    json_object_set_new(text, "rope_parameters", rope);
    qv__config old, new;
    qv_error err;
    CHECK_OK(parse(stored("2b"), &old, &err), err);
    CHECK_OK(parse(root, &new, &err), err);
    CHECK(new.text.rope_theta == old.text.rope_theta &&new.text.layers == old.text.layers);
    CHECK(!memcmp(old.text.mrope_section, new.text.mrope_section, sizeof old.text.mrope_section));
}

TEST(a_text_only_model) {
    json_t *root = stored("tiny");
    json_object_del(root, "vision_config");
    json_object_del(json_object_get(root, "text_config"), "rope_scaling");
    qv__config c;
    qv_error err;
    CHECK_OK(parse(root, &c, &err), err);
    CHECK(!c.has_vision && c.image_token == -1);
    CHECK_INT(c.text.mrope_section[0], 16);
}

/* Sets the field named by a dotted path in the tiny config to a JSON value; "-" removes it. */
static json_t *changed(const char *path, const char *value) {
    json_t *root = stored("tiny"), *at = root;
    char copy[128], *name = copy, *dot;
    snprintf(copy, sizeof copy, "%s", path);
    for (; (dot = strchr(name, '.')); name = dot + 1) *dot = 0, at = json_object_get(at, name);
    if (*value == '-' && !value[1])
        CHECK(json_object_del(at, name) == 0);
    else
        CHECK(json_object_set_new(at, name, json_loads(value, JSON_DECODE_ANY, NULL)) == 0);
    return root;
}

TEST(fields_out_of_range_are_named) {
    static const struct {
        const char *path, *value;
        qv_status status;
        const char *words;
    } rows[] = {
        {"model_type", "\"llama\"", QV_UNSUPPORTED, "model_type is \"llama\""},
        {"model_type", "7", QV_BAD_CHECKPOINT, "model_type is not a string"},
        {"quantization_config", "{}", QV_UNSUPPORTED, "quant_method \"\", format \"\""},
        {"quantization_config", "{\"quant_method\": \"awq\", \"bits\": 4}", QV_UNSUPPORTED, "\"awq\""},
        {"quantization_config", "{\"quant_method\": \"qvec\", \"format\": \"int8\"}", QV_BAD_CHECKPOINT,
         "quantization_config.version is missing"},
        {"quantization_config",
         "{\"quant_method\": \"qvec\", \"format\": \"int8\", \"version\": 2, \"group_size\": 64}", QV_UNSUPPORTED,
         "version is 2; this program knows 1"},
        {"quantization_config",
         "{\"quant_method\": \"qvec\", \"format\": \"int8\", \"version\": 1, \"group_size\": 32}", QV_BAD_CHECKPOINT,
         "group_size is 32, not within 64..64"},
        {"text_config", "[]", QV_BAD_CHECKPOINT, "text_config is not an object"},
        {"vision_config", "1", QV_BAD_CHECKPOINT, "vision_config is not an object"},
        {"text_config.hidden_size", "-", QV_BAD_CHECKPOINT, "text_config.hidden_size is missing"},
        {"text_config.hidden_size", "0", QV_BAD_CHECKPOINT, "text_config.hidden_size is 0, not within 1..16777216"},
        {"text_config.hidden_size", "16777217", QV_BAD_CHECKPOINT, "hidden_size is 16777217, not within"},
        {"text_config.hidden_size", "64.0", QV_BAD_CHECKPOINT, "hidden_size is not an integer"},
        {"text_config.hidden_size", "9223372036854775807", QV_BAD_CHECKPOINT, "not within"},
        {"text_config.hidden_size", "128", QV_BAD_CHECKPOINT, "out_hidden_size is not text_config.hidden_size"},
        {"text_config.num_hidden_layers", "513", QV_BAD_CHECKPOINT, "num_hidden_layers is 513"},
        {"text_config.num_hidden_layers", "2", QV_BAD_CHECKPOINT, "more entries than there are text layers"},
        {"text_config.num_attention_heads", "3", QV_BAD_CHECKPOINT, "not a multiple of num_key_value_heads"},
        {"text_config.head_dim", "31", QV_BAD_CHECKPOINT, "head_dim is not even"},
        {"text_config.head_dim", "64", QV_BAD_CHECKPOINT, "sum to head_dim / 2"},
        {"text_config.hidden_act", "\"gelu\"", QV_UNSUPPORTED, "text_config.hidden_act is \"gelu\""},
        {"text_config.attention_bias", "true", QV_UNSUPPORTED, "attention_bias is true"},
        {"text_config.attention_bias", "0", QV_BAD_CHECKPOINT, "neither true nor false"},
        {"text_config.use_sliding_window", "true", QV_UNSUPPORTED, "use_sliding_window is true"},
        {"text_config.rms_norm_eps", "0", QV_BAD_CHECKPOINT, "rms_norm_eps is 0, not above 0"},
        {"text_config.rms_norm_eps", "\"x\"", QV_BAD_CHECKPOINT, "rms_norm_eps is not a number"},
        {"text_config.rope_theta", "-", QV_BAD_CHECKPOINT, "rope_theta is missing"},
        {"text_config.rope_theta", "1", QV_BAD_CHECKPOINT, "rope_theta is 1, not above 1"},
        {"text_config.rope_scaling", "7", QV_BAD_CHECKPOINT, "not an object"},
        {"text_config.rope_scaling.rope_type", "\"yarn\"", QV_UNSUPPORTED, "rope_type is \"yarn\""},
        {"text_config.rope_scaling.mrope_interleaved", "false", QV_UNSUPPORTED, "mrope_interleaved is false"},
        {"text_config.rope_scaling.mrope_section", "[6, 5]", QV_BAD_CHECKPOINT, "three counts"},
        {"text_config.rope_scaling.mrope_section", "[6, 5, 6]", QV_BAD_CHECKPOINT, "sum to head_dim / 2"},
        {"text_config.rope_scaling.mrope_section", "[0, 8, 8]", QV_BAD_CHECKPOINT, "does not fit interleaved"},
        {"text_config.rope_scaling.mrope_section", "[6, 5, -5]", QV_BAD_CHECKPOINT, "[2] is not an integer within"},
        {"text_config.rope_scaling.mrope_section", "-", QV_BAD_CHECKPOINT, "mrope_section is not a list"},
        {"vision_config.depth", "0", QV_BAD_CHECKPOINT, "vision_config.depth is 0"},
        {"vision_config.num_heads", "5", QV_BAD_CHECKPOINT, "hidden_size is not a multiple of num_heads"},
        {"vision_config.num_heads", "8", QV_BAD_CHECKPOINT, "not a multiple of 4"},
        {"vision_config.in_channels", "1", QV_BAD_CHECKPOINT, "in_channels is 1"},
        {"vision_config.patch_size", "257", QV_BAD_CHECKPOINT, "patch_size is 257"},
        {"vision_config.hidden_act", "\"relu\"", QV_UNSUPPORTED, "hidden_act is \"relu\""},
        {"vision_config.num_position_embeddings", "2305", QV_BAD_CHECKPOINT, "not a square"},
        {"vision_config.hidden_size", "16777200", QV_BAD_CHECKPOINT, "hidden_size / num_heads is over 256"},
        {"vision_config.deepstack_visual_indexes", "[0, 1, 4]", QV_BAD_CHECKPOINT, "deepstack_visual_indexes[2]"},
        {"vision_config.deepstack_visual_indexes", "[1, 1, 2]", QV_BAD_CHECKPOINT, "not ascending"},
        {"vision_config.deepstack_visual_indexes", "[0,0,0,0,0,0,0,0,0]", QV_BAD_CHECKPOINT, "at most 8"},
        {"vision_config.deepstack_visual_indexes", "null", QV_BAD_CHECKPOINT, "is not a list"},
        {"image_token_id", "151936", QV_BAD_CHECKPOINT, "image_token_id is 151936, not within 0..151935"},
        {"image_token_id", "151656", QV_BAD_CHECKPOINT, "image_token_id equals video_token_id"},
        {"tie_word_embeddings", "\"yes\"", QV_BAD_CHECKPOINT, "tie_word_embeddings is neither"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__config c;
        qv_error err;
        qv_status status = parse(changed(rows[i].path, rows[i].value), &c, &err);
        CHECK_MSG(status == rows[i].status && strstr(err.message, rows[i].words),
                  "%s = %s: status %d, \"%s\", expected \"%s\"", rows[i].path, rows[i].value, status, err.message,
                  rows[i].words);
        CHECK(strncmp(err.message, "config.json: ", 13) == 0);
    }
}

TEST(texts_that_are_no_object) {
    static const char *const texts[] = {"", " ", "{", "[]", "null", "{}x", "{\"model_type\": \"qwen3_vl\xFF\"}"};
    qv__config c;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        qv_error err = {0};
        CHECK_FAILS(qv__config_parse(texts[i], strlen(texts[i]), &c, &err), QV_BAD_CHECKPOINT, "config.json: not", err);
    }
    qv_error err = {0};
    CHECK_FAILS(qv__config_parse("{}", 2, &c, &err), QV_BAD_CHECKPOINT, "hidden_size is missing", err);
    char *large = qv__calloc(1, (1 << 20) + 1);
    CHECK_FAILS(qv__config_parse(large, (1 << 20) + 1, &c, &err), QV_BAD_CHECKPOINT, "over the limit of 1048576", err);
    qv__free(large);
}
