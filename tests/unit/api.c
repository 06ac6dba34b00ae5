/* api/ without a socket and without a model: what goes in, what comes out. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/forms.h"
#include "api/job.h"
#include "api/refusal.h"
#include "api/write.h"
#include "base/base64.h"
#include "check.h"

static const qv__embed_limits limits = {
    .max_inputs = 10, .max_model_len = 100, .embedding_size = 256, .max_images = 3, .max_videos = 2};

static const char *written(const char *text, size_t size) {
    static char out[256];
    qv__buffer b = {0};
    CHECK(qv__write_string(&b, text, size) && b.size < sizeof out);
    memcpy(out, b.data, b.size);
    out[b.size] = 0;
    qv__buffer_clear(&b);
    return out;
}

TEST(strings_are_escaped_and_repaired) {
    CHECK_STR(written("", 0), "\"\"");
    CHECK_STR(written("a\"\\\n\t\r\x01\x7F", 8), "\"a\\\"\\\\\\n\\t\\r\\u0001\\u007f\"");
    CHECK_STR(written("a\0b", 3), "\"a\\u0000b\"");
    CHECK_STR(written("\xC3\xA9\xF0\x9F\x98\x80", 6), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
    CHECK_STR(written("x\xFFy\xC3", 4), "\"x\xEF\xBF\xBDy\xEF\xBF\xBD\"");
}

TEST(every_string_survives_a_reader) {
    uint64_t state = check_seed();
    for (int round = 0; round < 2000; round++) {
        char text[64];
        size_t size = check_random(&state) % sizeof text;
        for (size_t i = 0; i < size; i++) text[i] = (char)(check_random(&state) % 128);
        qv__buffer b = {0};
        CHECK(qv__write_string(&b, text, size));
        json_t *back = json_loadb(b.data, b.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        CHECK(json_string_length(back) == size && memcmp(json_string_value(back), text, size) == 0);
        json_decref(back);
        qv__buffer_clear(&b);
    }
}

TEST(floats_read_back_exactly) {
    uint64_t state = check_seed();
    float values[1000];
    for (int i = 0; i < 1000; i++)
        values[i] = (float)check_uniform(&state) * (float)pow(10, check_uniform(&state) * 30);
    qv__buffer b = {0};
    CHECK(qv__write_floats(&b, values, 1000) && qv__buffer_append(&b, "", 1));
    const char *p = b.data;
    for (int i = 0; i < 1000; i++) {
        CHECK(*p == (i ? ',' : '['));
        char *end;
        CHECK(strtof(p + 1, &end) == values[i]);
        p = end;
    }
    CHECK_STR(p, "]");
    qv__buffer_clear(&b);
}

TEST(base64_in_pieces_is_base64_of_the_whole) {
    uint64_t state = check_seed();
    static const size_t counts[] = {0, 1, 2, 3, 767, 768, 769, 1535, 2048, 4096};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int wire = QV__WIRE_F32; wire <= QV__WIRE_BF16; wire++) {
            size_t n = counts[c];
            float *values = check_guarded(n * sizeof *values, false);
            for (size_t i = 0; i < n; i++) values[i] = (float)check_uniform(&state);
            qv__buffer bytes = {0}, text = {0};
            CHECK(qv__write_bytes(&bytes, values, n, (qv__wire)wire, false) &&
                  qv__write_base64(&text, values, n, (qv__wire)wire, false));
            CHECK_INT(bytes.size, n * qv__wire_size((qv__wire)wire));
            uint8_t *back = check_guarded(qv__base64_decoded_max(text.size), true);
            size_t got;
            CHECK(qv__base64_decode(text.data + 1, text.size - 2, back, &got, NULL));
            CHECK(got == bytes.size && (got == 0 || memcmp(back, bytes.data, got) == 0));
            qv__buffer_clear(&bytes);
            qv__buffer_clear(&text);
        }
}

static uint8_t byte_of(float value, qv__wire wire) {
    qv__buffer b = {0};
    CHECK(qv__write_bytes(&b, &value, 1, wire, false) && b.size == 1);
    uint8_t bits = (uint8_t)b.data[0];
    qv__buffer_clear(&b);
    return bits;
}

static bool is_plain(const char *text) {
    json_t *root = json_loads(text, 0, NULL);
    CHECK(root);
    bool plain = qv__body_is_plain(root);
    json_decref(root);
    return plain;
}

TEST(only_texts_are_plain) {
    CHECK(is_plain("{}"));
    CHECK(is_plain("{\"input\":\"a\",\"model\":\"m\",\"dimensions\":8}"));
    CHECK(is_plain("{\"query\":\"a\",\"documents\":[\"b\",\"c\"],\"top_n\":1}"));
    CHECK(is_plain("{\"input\":[[1,2],[3]],\"user\":null}"));
    CHECK(!is_plain("{\"input\":[{\"image\":\"data:image/png;base64,AA==\"}]}"));
    CHECK(!is_plain("{\"input\":\"file:///a\",\"modality\":\"image\"}"));
    CHECK(!is_plain("{\"images\":[\"data:image/png;base64,AA==\"]}"));
    CHECK(!is_plain("{\"query\":{\"text\":\"a\"},\"documents\":[\"b\"]}"));
    CHECK(!is_plain("{\"messages\":[]}"));
    CHECK(is_plain("{\"input\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"));
    CHECK(!is_plain("{\"input\":[\"\",1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"));
}

TEST(eight_bit_floats_are_torchs) {
    CHECK_INT(byte_of(1.0f, QV__WIRE_E4M3), 0x38);
    CHECK_INT(byte_of(-0.1f, QV__WIRE_E4M3), 0x9D);
    CHECK_INT(byte_of(1.0625f, QV__WIRE_E4M3), 0x38); /* half way: to even */
    CHECK_INT(byte_of(1.1875f, QV__WIRE_E4M3), 0x3A);
    CHECK_INT(byte_of(0x1p-9f, QV__WIRE_E4M3), 0x01); /* the smallest */
    CHECK_INT(byte_of(0x1p-10f, QV__WIRE_E4M3), 0x00);
    CHECK_INT(byte_of(0x1.8p-9f, QV__WIRE_E4M3), 0x02);
    CHECK_INT(byte_of(448.0f, QV__WIRE_E4M3), 0x7E);
    CHECK_INT(byte_of(464.0f, QV__WIRE_E4M3), 0x7E);
    CHECK_INT(byte_of(465.0f, QV__WIRE_E4M3), 0x7F);
    CHECK_INT(byte_of(-1e9f, QV__WIRE_E4M3), 0xFF);
    CHECK_INT(byte_of(1.0f, QV__WIRE_E5M2), 0x3C);
    CHECK_INT(byte_of(-0.1f, QV__WIRE_E5M2), 0xAE);
    CHECK_INT(byte_of(0x1p-16f, QV__WIRE_E5M2), 0x01);
    CHECK_INT(byte_of(57344.0f, QV__WIRE_E5M2), 0x7B);
    CHECK_INT(byte_of(61439.0f, QV__WIRE_E5M2), 0x7B);
    CHECK_INT(byte_of(61440.0f, QV__WIRE_E5M2), 0x7C);
    CHECK_INT(byte_of(NAN, QV__WIRE_E5M2) & 0x7F, 0x7F);
}

static const char *quantized(const float *values, size_t count, qv__numbers kind, bool base64) {
    static char out[128];
    qv__buffer b = {0};
    CHECK(qv__write_quantized(&b, values, count, kind, base64) && b.size < sizeof out);
    memcpy(out, b.data, b.size);
    out[b.size] = 0;
    qv__buffer_clear(&b);
    return out;
}

/* sqrt(16) * 16 = 64 steps for 1 */
TEST(quantised_vectors_are_scaled_and_packed_as_documented) {
    const float v[16] = {1,     -1,      0.5f,     -0.0f,    0.0f, -0.25f, 0x1p-7f, 3 * 0x1p-7f,
                         -2.5f, 1.9844f, -1.9844f, 0x1p-20f, -1,   -1,     -1,      1};
    CHECK_STR(quantized(v, 16, QV__INT8, false), "[64,-64,32,0,0,-16,0,2,-127,127,-127,0,-64,-64,-64,64]");
    CHECK_STR(quantized(v, 16, QV__UINT8, false), "[192,64,160,128,128,112,128,130,1,255,1,128,64,64,64,192]");
    CHECK_STR(quantized(v, 16, QV__UBINARY, false), "[187,81]"); /* 10111011 01010001 */
    CHECK_STR(quantized(v, 16, QV__BINARY, false), "[59,-47]");
    CHECK_STR(quantized(v, 16, QV__UBINARY, true), "\"u1E=\"");
    CHECK_STR(quantized(v, 16, QV__BINARY, true), "\"O9E=\"");
    CHECK_STR(quantized(v, 0, QV__INT8, false), "[]");
}

static uint16_t half_of(float value, qv__wire wire, bool big) {
    qv__buffer b = {0};
    CHECK(qv__write_bytes(&b, &value, 1, wire, big));
    uint16_t bits = (uint16_t)((uint8_t)b.data[big] | (uint8_t)b.data[!big] << 8);
    qv__buffer_clear(&b);
    return bits;
}

TEST(half_sizes_round_to_nearest_even) {
    CHECK_INT(half_of(1.0f, QV__WIRE_BF16, false), 0x3F80);
    CHECK_INT(half_of(1.0f, QV__WIRE_BF16, true), 0x3F80);
    CHECK_INT(half_of(1.00390625f, QV__WIRE_BF16, false), 0x3F80); /* half way: to even */
    CHECK_INT(half_of(1.01171875f, QV__WIRE_BF16, false), 0x3F82);
    CHECK_INT(half_of(-0.1f, QV__WIRE_BF16, false), 0xBDCD);
    CHECK_INT(half_of(0.1f, QV__WIRE_F16, false), 0x2E66);
    CHECK_INT(half_of(1e-7f, QV__WIRE_F16, false), 0x0002);
    CHECK_INT(half_of(65519.0f, QV__WIRE_F16, false), 0x7BFF);
    CHECK_INT(half_of(65520.0f, QV__WIRE_F16, false), 0x7C00);
    CHECK(isnan((double)half_of(NAN, QV__WIRE_BF16, false)) || (half_of(NAN, QV__WIRE_BF16, false) & 0x7FFF) > 0x7F80);
}

static qv_status parse(const char *body, qv__embed_request *out, qv__refusal *r) {
    qv__body_setup();
    *out = (qv__embed_request){0};
    return qv__embed_request_parse(qv__read_embeddings, body, strlen(body), &limits, out, r);
}

TEST(a_request_becomes_inputs) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse("{\"input\":[\"a\",\"bc\"],\"dimensions\":64,\"use_activation\":false,\"truncate_prompt_tokens\":-"
                    "1,\"model\":\"m\"}",
                    &q, &r),
              QV_OK);
    CHECK_INT(q.count, 2);
    CHECK(!q.single && q.inputs[1].prompt == QV_PROMPT_RAW && q.inputs[1].no_normalize &&
          q.inputs[1].max_length == 100);
    CHECK_INT(q.inputs[0].dimensions, 64);
    CHECK(q.inputs[1].parts->size == 2 && memcmp(q.inputs[1].parts->data, "bc", 2) == 0);
    CHECK_STR(q.model, "m");
    qv__embed_request_clear(&q);
    CHECK_INT(parse("{\"input\":[7,8],\"truncate_prompt_tokens\":5,\"truncation_side\":\"left\"}", &q, &r), QV_OK);
    CHECK(q.single && q.keep_end && q.count == 1 && q.inputs->parts->kind == QV_PART_TOKENS &&
          q.inputs->parts->size == 2);
    CHECK_INT(((const int32_t *)q.inputs->parts->data)[1], 8);
    qv__embed_request_clear(&q);
    CHECK_INT(parse("{\"input\":\"a\",\"instruction\":\"Find\"}", &q, &r), QV_OK);
    CHECK(q.inputs->prompt == QV_PROMPT_OFFICIAL);
    CHECK_STR(q.inputs->instruction, "Find");
    qv__embed_request_clear(&q);
}

TEST(a_refusal_is_the_error_body) {
    qv__refusal r;
    qv__response response = {0};
    CHECK_INT(qv__refuse_field(&r, "dimensions", "it is \"%s\"", "no"), QV_INVALID_ARGUMENT);
    qv__refusal_respond(&r, QV__ERRORS_VLLM, 0, &response);
    CHECK_INT(response.status, 400);
    CHECK(!response.header_name[0]);
    CHECK(qv__buffer_append(&response.body, "", 1));
    CHECK_STR(response.body.data, "{\"error\":{\"message\":\"it is \\\"no\\\"\",\"type\":\"Bad "
                                  "Request\",\"param\":\"body.dimensions\",\"code\":400}}");
    qv__buffer_clear(&response.body);
    CHECK_INT(qv__refuse(&r, QV_OVERLOADED, NULL, "full"), QV_OVERLOADED);
    response = (qv__response){0};
    qv__refusal_respond(&r, QV__ERRORS_VLLM, 7, &response);
    CHECK_INT(response.status, 429);
    CHECK_STR(response.header_name[0], "Retry-After");
    CHECK_STR(response.header_value[0], "7");
    qv__buffer_clear(&response.body);
}

TEST(every_failed_allocation_is_a_clean_refusal) {
    static const char body[] = "{\"input\":[[1,2,3],[4,5],[6]],\"model\":\"m\",\"instruction\":\"x\",\"dimensions\":"
                               "100,\"encoding_format\":\"base64\"}";
    qv__embed_request q;
    qv__refusal r;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        CHECK(n < 1000);
        for (int forever = 0; forever < 2; forever++) {
            qv__alloc_fail_at(n, forever);
            qv_status status = parse(body, &q, &r);
            qv__alloc_fail_at(0, false);
            done = !status;
            if (status)
                CHECK_MSG(r.http == 503, "allocation %llu: status %d: %s", (unsigned long long)n, r.http, r.message);
            qv__embed_request_clear(&q);
        }
    }
}

static bool text_is(const qv_part *part, const char *text) {
    return part->kind == QV_PART_TEXT && part->size == strlen(text) && memcmp(part->data, text, part->size) == 0;
}

/* ---- other dialects ---- */

static qv_status parse_form(qv__embed_read read, const char *body, qv__embed_request *out, qv__refusal *r) {
    qv__body_setup();
    *out = (qv__embed_request){0};
    return qv__embed_request_parse(read, body, strlen(body), &limits, out, r);
}

TEST(a_dialect_is_told_by_its_own_fields) {
    static const struct {
        const char *body;
        qv__errors errors;
    } rows[] = {
        {"{\"input\":\"a\"}", QV__ERRORS_VLLM},
        {"{\"input\":\"a\",\"encoding_format\":\"base64\",\"dimensions\":64}", QV__ERRORS_VLLM},
        {"{\"input\":\"a\",\"input_type\":null}", QV__ERRORS_DETAIL},
        {"{\"input\":\"a\",\"truncation\":true}", QV__ERRORS_DETAIL},
        {"{\"input\":\"a\",\"late_chunking\":true}", QV__ERRORS_DETAIL},
        {"{\"input\":\"a\",\"embedding_type\":\"float\"}", QV__ERRORS_DETAIL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__embed_request q;
        qv__refusal r = {0};
        CHECK_MSG(!parse(rows[i].body, &q, &r), "%s: %s", rows[i].body, r.message);
        CHECK_INT(q.errors, rows[i].errors);
        CHECK_INT(q.inputs->prompt, QV_PROMPT_RAW);
        qv__embed_request_clear(&q);
    }
}

TEST(cohere_fields) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse_form(qv__read_cohere,
                         "{\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\",\"embedding_types\":[\"int8\","
                         "\"base64\",\"int8\"],\"output_dimension\":64,\"truncate\":\"START\",\"max_tokens\":7}",
                         &q, &r),
              QV_OK);
    CHECK(q.count == 2 && q.keep_end && !q.refuse_cut && q.echo);
    CHECK(q.inputs[1].prompt == QV_PROMPT_OFFICIAL && q.inputs[1].max_length == 7 && q.inputs[1].dimensions == 64);
    CHECK_STR(q.inputs[1].instruction, "Retrieve images or text relevant to the user's query.");
    CHECK(q.output_count == 2 && q.outputs[0].numbers == QV__INT8 && q.outputs[1].base64);
    qv__embed_request_clear(&q);
    CHECK_INT(parse_form(qv__read_cohere, "{\"images\":[\"Zm9v\"],\"truncate\":\"NONE\"}", &q, &r), QV_OK);
    CHECK(q.inputs->prompt == QV_PROMPT_OFFICIAL && q.inputs->parts->kind == QV_PART_IMAGE && q.refuse_cut && !q.echo);
    CHECK_INT(q.inputs->max_length, 100);
    qv__embed_request_clear(&q);
}

TEST(hosted_and_tei_fields) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse_form(qv__read_jina,
                         "{\"input\":[\"a\",{\"image\":\"Zm9v\"}],\"truncate\":true,\"late_chunking\":true}", &q, &r),
              QV_OK);
    CHECK(q.count == 2 && q.inputs[0].prompt == QV_PROMPT_RAW && q.inputs[1].prompt == QV_PROMPT_OFFICIAL);
    CHECK(q.warning && !q.refuse_cut);
    qv__embed_request_clear(&q);
    CHECK_INT(parse_form(qv__read_voyage,
                         "{\"input\":\"a\",\"output_dtype\":\"binary\",\"encoding_format\":\"base64\"}", &q, &r),
              QV_OK);
    CHECK(q.single && q.outputs[0].numbers == QV__BINARY && q.outputs[0].base64);
    qv__embed_request_clear(&q);
    CHECK_INT(parse_form(qv__read_tei,
                         "{\"inputs\":[\"a\",[1,2]],\"normalize\":false,\"truncation_direction\":\"Left\",\"prompt_"
                         "name\":\"document\"}",
                         &q, &r),
              QV_OK);
    CHECK(q.count == 2 && q.inputs[1].parts->kind == QV_PART_TOKENS && q.inputs[0].no_normalize && q.keep_end);
    CHECK(q.inputs[0].prompt == QV_PROMPT_OFFICIAL && !q.inputs[0].instruction);
    qv__embed_request_clear(&q);
    CHECK_INT(
        parse_form(qv__read_similarity, "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"b\",\"c\"]}}", &q, &r),
        QV_OK);
    CHECK(q.count == 3 && text_is(q.inputs[2].parts, "c"));
    qv__embed_request_clear(&q);
}

TEST(errors_by_dialect) {
    static const struct {
        qv__errors errors;
        int status;
        const char *body;
    } rows[] = {
        {QV__ERRORS_COHERE, 400, "{\"message\":\"it is \\\"no\\\"\"}"},
        {QV__ERRORS_DETAIL, 400, "{\"detail\":\"it is \\\"no\\\"\"}"},
        {QV__ERRORS_TEI, 422, "{\"error\":\"it is \\\"no\\\"\",\"error_type\":\"Validation\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__refusal r;
        qv__response response = {0};
        qv__refuse_field(&r, "x", "it is \"%s\"", "no");
        qv__refusal_respond(&r, rows[i].errors, 0, &response);
        CHECK_INT(response.status, rows[i].status);
        CHECK(qv__buffer_append(&response.body, "", 1));
        CHECK_STR(response.body.data, rows[i].body);
        qv__buffer_clear(&response.body);
    }
}

TEST(every_failed_allocation_of_a_dialect_is_a_clean_refusal) {
    static const struct {
        qv__embed_read read;
        const char *body;
    } rows[] = {
        {qv__read_cohere, "{\"inputs\":[{\"content\":[\"a\",{\"image\":\"Zm9v\"}]}],\"embedding_types\":[\"int8\"]}"},
        {qv__read_embeddings, "{\"input\":[{\"image\":\"Zm9v\"},\"b\"],\"task\":\"retrieval.query\"}"},
        {qv__read_tei, "{\"inputs\":[[1,2],\"a\"],\"prompt_name\":\"query\"}"},
        {qv__read_similarity, "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"b\"]}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool done = false;
        for (uint64_t n = 1; !done; n++) {
            qv__embed_request q;
            qv__refusal r;
            CHECK(n < 1000);
            qv__alloc_fail_at(n, false);
            qv_status status = parse_form(rows[i].read, rows[i].body, &q, &r);
            qv__alloc_fail_at(0, false);
            done = !status;
            if (status)
                CHECK_MSG(r.http == 503, "row %zu, allocation %llu: %d %s", i, (unsigned long long)n, r.http,
                          r.message);
            qv__embed_request_clear(&q);
        }
    }
}

/* {"a":[0,0,…,0]}, of an odd size: what takes most memory for its bytes. */
static char *zeros(size_t size) {
    char *text = malloc(size);
    CHECK(text && size % 2);
    memcpy(text, "{\"a\":[", 6);
    for (size_t i = 6; i < size; i++) text[i] = i % 2 ? ',' : '0';
    memcpy(text + size - 2, "]}", 2);
    return text;
}

TEST(the_memory_for_json_follows_the_limits_of_bodies) {
    enum { SIZE = 3000001 };
    qv__body_setup();
    char *text = zeros(SIZE);
    qv__limits l;
    qv__limits_default(&l);
    qv__refusal r;
    qv__body bodies[64];
    CHECK_INT(qv__body_parse(text, SIZE, &l, &bodies[0], &r), QV_TOO_LARGE); /* 20 bytes a byte */
    CHECK_MSG(strstr(r.message, "38 MiB") && strstr(r.message, "--max-body"), "%s", r.message);
    memset(text + 7, ' ', SIZE / 8 * 5 / 2 * 2); /* three eighths of them stay */
    CHECK_INT(qv__body_parse(text, SIZE, &l, &bodies[0], &r), QV_OK);
    qv__body_clear(&bodies[0]);
    l.body_bytes = SIZE; /* 6 times that are not enough */
    CHECK_INT(qv__body_parse(text, SIZE, &l, &bodies[0], &r), QV_TOO_LARGE);
    CHECK_MSG(strstr(r.message, "17 MiB"), "%s", r.message);
    l.body_bytes = 64 << 20;
    size_t alive = 0;
    l.total_body_bytes = 128 << 20;
    while (alive < 64 && !qv__body_parse(text, SIZE, &l, &bodies[alive], &r)) alive++;
    CHECK_MSG(alive >= 3 && alive <= 4, "%zu bodies of 30 MB in 128 MiB", alive);
    CHECK_INT(r.http, 429);
    CHECK_MSG(strstr(r.message, "134217728 bytes") && strstr(r.message, "--max-total-body"), "%s", r.message);
    l.total_body_bytes *= 4; /* a larger one is not held up */
    CHECK_INT(qv__body_parse(text, SIZE, &l, &bodies[alive], &r), QV_OK);
    for (size_t i = 0; i <= alive; i++) qv__body_clear(&bodies[i]);
    l.total_body_bytes = 1 << 20; /* one body is always taken */
    CHECK_INT(qv__body_parse("{}", 2, &l, &bodies[0], &r), QV_OK);
    qv__body_clear(&bodies[0]);
    free(text);
}

TEST(limits_have_their_defaults_and_are_written_by_name) {
    qv__limits limits_set = {.inputs = 7}, initial;
    qv__limits_default(&initial);
    qv__limits_fill(&limits_set);
    CHECK_INT(limits_set.inputs, 7);
    CHECK_INT(limits_set.documents, initial.documents);
    CHECK_INT(limits_set.request_seconds, 0); /* none: that is a value */
    for (size_t i = 0; i < QV__LIMITS; i++) {
        const qv__limit *l = &qv__limit_table[i];
        CHECK(l->min <= l->initial && l->initial <= l->max && l->help[strlen(l->help) - 1] == '.');
    }
    const qv__media_limits *media = &qv__media_default_limits; /* the library's own, told again in the table */
    CHECK(initial.media_bytes == media->max_bytes && initial.image_pixels == media->max_pixels &&
          initial.image_side == media->max_side && initial.video_frames == media->max_video_frames &&
          initial.decoded_bytes == media->max_decoded_bytes && initial.decode_seconds == media->max_seconds);
    qv__buffer b = {0};
    qv__buffer_puts(&b, "{");
    qv__limits_write(&limits_set, &b);
    qv__buffer_puts(&b, "}");
    json_t *object = json_loadb(b.data, b.size, 0, NULL);
    CHECK_INT((int)json_object_size(object), QV__LIMITS);
    CHECK_INT(json_integer_value(json_object_get(object, "max-inputs")), 7);
    json_decref(object);
    qv__buffer_clear(&b);
}
