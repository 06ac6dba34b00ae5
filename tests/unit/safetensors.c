/* Headers of safetensors files, good and hostile. Formats are tried in guarded memory: a read past the end faults. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "check.h"
#include "store/safetensors.h"

enum { DATA = 64 }; /* bytes of data behind every header of these tests */

/* Parses `json` as the header of a file with DATA bytes of data that start at a multiple of 8. */
static qv_status parse(const char *json, qv__safetensors_header *out, qv_error *err) {
    size_t text = strlen(json), size = (text + 7) / 8 * 8;
    char *guarded = check_guarded(size, false);
    memcpy(guarded, json, text);
    memset(guarded + text, ' ', size - text);
    *err = (qv_error){0};
    return qv__safetensors_parse(guarded, size, 8 + size + DATA, out, err);
}

TEST(entries_come_by_offset) {
    qv__safetensors_header h;
    qv_error err;
    CHECK_OK(parse("{\"__metadata__\": {\"format\": \"pt\", \"x\": 5},"
                   " \"second\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [16, 40]},"
                   " \"first\": {\"dtype\": \"BF16\", \"shape\": [8], \"data_offsets\": [0, 16]},"
                   " \"scalar\": {\"dtype\": \"F16\", \"shape\": [], \"data_offsets\": [40, 42]},"
                   " \"none\": {\"dtype\": \"F32\", \"shape\": [0, 7], \"data_offsets\": [20, 20]}}",
                   &h, &err),
             err);
    CHECK_INT(h.count, 4);
    CHECK_STR(h.entries[0].name, "first");
    CHECK(h.entries[0].usable && h.entries[0].dtype == QV__BF16 && h.entries[0].bytes == 16);
    CHECK_STR(h.entries[1].name, "second");
    CHECK(h.entries[1].rank == 2 && h.entries[1].shape[0] == 2 && h.entries[1].shape[1] == 3);
    CHECK_INT(h.entries[1].offset - h.entries[0].offset, 16);
    CHECK_INT(h.entries[0].offset % 8, 0);
    CHECK_STR(h.entries[2].name, "none"); /* no bytes: may lie anywhere, also inside another */
    CHECK(h.entries[3].rank == 0 && h.entries[3].bytes == 2 && h.entries[3].dtype == QV__F16);
    qv__safetensors_clear(&h);
    CHECK(!h.entries && !h.count);
    qv__safetensors_clear(&h);
}

TEST(dtypes_we_cannot_compute_with_are_kept_by_name) {
    qv__safetensors_header h;
    qv_error err;
    CHECK_OK(parse("{\"a\": {\"dtype\": \"I64\", \"shape\": [2], \"data_offsets\": [0, 16]},"
                   " \"b\": {\"dtype\": \"F8_E8M0_OF_THE_FUTURE\", \"shape\": [99], \"data_offsets\": [16, 17]}}",
                   &h, &err),
             err);
    CHECK(h.count == 2 && !h.entries[0].usable && !h.entries[1].usable);
    CHECK_STR(h.entries[0].dtype_text, "I64");
    CHECK_STR(h.entries[1].dtype_text, "F8_E8M0_OF_THE_");
    qv__safetensors_clear(&h);
}

#define ONE(dtype, shape, offsets)                                                                                     \
    "{\"t\": {\"dtype\": " dtype ", \"shape\": " shape ", \"data_offsets\": " offsets "}}"
#define TWO(a, b)                                                                                                      \
    "{\"a\": {\"dtype\": \"BF16\", \"shape\": [4], \"data_offsets\": " a "},"                                          \
    " \"b\": {\"dtype\": \"BF16\", \"shape\": [4], \"data_offsets\": " b "}}"

TEST(hostile_headers) {
    static const struct {
        const char *json, *words;
    } rows[] = {
        {"", "header: not valid JSON"},
        {"[]", "not a JSON object"},
        {"{\"t\"", "not valid JSON"},
        {"{\"t\": 5}", "tensor \"t\": no dtype"},
        {"{\"t\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested deeper than 64"},
        {"{\"t\": {\"shape\": [4], \"data_offsets\": [0, 8]}}", "no dtype"},
        {ONE("16", "[4]", "[0, 8]"), "no dtype"},
        {ONE("\"B\\u0007\"", "[4]", "[0, 8]"), "no dtype"},
        {"{\"t\": {\"dtype\": \"BF16\", \"data_offsets\": [0, 8]}}", "no shape"},
        {ONE("\"BF16\"", "4", "[0, 8]"), "no shape"},
        {ONE("\"BF16\"", "[1, 1, 1, 1, 1, 4]", "[0, 8]"), "has 6 dimensions, at most 5"},
        {ONE("\"BF16\"", "[-4]", "[0, 8]"), "dimension 0 is not a size"},
        {ONE("\"BF16\"", "[2, 2.0]", "[0, 8]"), "dimension 1 is not a size"},
        {ONE("\"BF16\"", "[\"4\"]", "[0, 8]"), "dimension 0 is not a size"},
        {ONE("\"BF16\"", "[4294967296, 4294967296]", "[0, 0]"), "the product of its shape overflows"},
        {ONE("\"BF16\"", "[3037000500, 3037000500]", "[0, 8]"), "the product of its shape overflows"},
        {ONE("\"BF16\"", "[9223372036854775807]", "[0, 8]"), "its size in bytes overflows"},
        {ONE("\"BF16\"", "[9223372036854775808]", "[0, 8]"), "not valid JSON"},
        {ONE("\"BF16\"", "[4611686018427387905]", "[0, 2]"), "its size in bytes overflows"}, /* 2^63 + 2 bytes */
        {ONE("\"BF16\"", "[4]", "[0, 6]"), "make 8 bytes, data_offsets 6"},
        {ONE("\"F32\"", "[4]", "[0, 8]"), "make 16 bytes, data_offsets 8"},
        {ONE("\"I64\"", "[4]", "[0, 8]"), "make 32 bytes, data_offsets 8"},
        {ONE("\"BF16\"", "[4]", "[60, 68]"), "ends at byte 68 of the data, but the file holds 64"},
        {ONE("\"BF16\"", "[4]", "[9223372036854775799, 9223372036854775807]"), "but the file holds 64"},
        {ONE("\"BF16\"", "[4]", "[-8, 0]"), "data_offsets are not [begin, end]"},
        {ONE("\"BF16\"", "[4]", "[8, 0]"), "data_offsets are not [begin, end]"},
        {ONE("\"BF16\"", "[4]", "[0]"), "data_offsets are not [begin, end]"},
        {ONE("\"BF16\"", "[4]", "[0, 8, 16]"), "data_offsets are not [begin, end]"},
        {ONE("\"BF16\"", "[4]", "[0.0, 8.0]"), "data_offsets are not [begin, end]"},
        {ONE("\"BF16\"", "[4]", "{\"0\": 8}"), "data_offsets are not [begin, end]"},
        {"{\"t\": {\"dtype\": \"BF16\", \"shape\": [4]}}", "data_offsets are not [begin, end]"},
        {ONE("\"F32\"", "[2]", "[2, 10]"), "not a multiple of 4"},
        {ONE("\"BF16\"", "[4]", "[3, 11]"), "not a multiple of 2"},
        {TWO("[0, 8]", "[4, 12]"), "\"a\" and \"b\" overlap"},
        {TWO("[8, 16]", "[8, 16]"), "\"a\" and \"b\" overlap"},
        {"{\"a\": {\"dtype\": \"U8\", \"shape\": [64], \"data_offsets\": [0, 64]},"
         " \"b\": {\"dtype\": \"U8\", \"shape\": [0], \"data_offsets\": [8, 8]},"
         " \"c\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [63, 64]}}",
         "\"a\" and \"c\" overlap"},
        {"{\"t\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]},"
         " \"t\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [1, 2]}}",
         "duplicate object key"},
        {"{\"\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}", "a tensor's name is empty"},
        {"{\"a\\nb\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}", "not printable"},
        {"{\"a\\u0000b\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__safetensors_header h;
        qv_error err;
        qv_status status = parse(rows[i].json, &h, &err);
        CHECK_MSG(status == QV_BAD_CHECKPOINT && strstr(err.message, rows[i].words),
                  "%s: status %d, \"%s\", expected \"%s\"", rows[i].json, status, err.message, rows[i].words);
        CHECK(!h.entries && !h.memory.blocks);
    }
}

TEST(touching_tensors_do_not_overlap) {
    qv__safetensors_header h;
    qv_error err;
    CHECK_OK(parse(TWO("[8, 16]", "[0, 8]"), &h, &err), err);
    qv__safetensors_clear(&h);
    CHECK_OK(parse(TWO("[56, 64]", "[0, 8]"), &h, &err), err);
    qv__safetensors_clear(&h);
}

TEST(names_up_to_their_limit) {
    qv_error err;
    for (int length = QV__TENSOR_NAME_MAX; length <= QV__TENSOR_NAME_MAX + 1; length++) {
        char json[512], name[300];
        qv__safetensors_header h;
        memset(name, 'n', (size_t)length);
        name[length] = 0;
        snprintf(json, sizeof json, "{\"%s\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}", name);
        if (length > QV__TENSOR_NAME_MAX)
            CHECK_FAILS(parse(json, &h, &err), QV_BAD_CHECKPOINT, "over 255 bytes", err);
        else
            CHECK_OK(parse(json, &h, &err), err);
        qv__safetensors_clear(&h);
    }
}

TEST(too_many_tensors) {
    qv__buffer json = {0};
    qv__buffer_puts(&json, "{\"x\": 0");
    for (int i = 0; i < QV__SAFETENSORS_COUNT_MAX; i++) qv__buffer_printf(&json, ",\"%d\":0", i);
    CHECK(qv__buffer_puts(&json, "}"));
    qv__safetensors_header h;
    qv_error err = {0};
    CHECK_FAILS(qv__safetensors_parse(json.data, json.size, json.size + 8, &h, &err), QV_BAD_CHECKPOINT,
                "has 65537 tensors, over the limit of 65536", err);
    qv__buffer_clear(&json);
}

TEST(length_of_the_header) {
    static const struct {
        const char *first; /* 8 bytes */
        uint64_t file_size;
        const char *words; /* NULL: good */
        size_t length;
    } rows[] = {
        {"\x02\x01\0\0\0\0\0\0", 1000, NULL, 258},
        {"\0\0\0\0\0\0\0\0", 8, NULL, 0},
        {"\x02\x01\0\0\0\0\0\0", 265, "is truncated: a header of 258 bytes in a file of 265", 0},
        {"\x02\x01\0\0\0\0\0\0", 266, NULL, 258},
        {"\0\0\0\0\0\0\0\0", 7, "is truncated", 0},
        {"\0\0\x40\x06\0\0\0\0", UINT64_MAX, "announces a header of 104857600 bytes, over the limit of 8388608", 0},
        {"\0\0\x80\0\0\0\0\0", UINT64_MAX, NULL, 8 << 20},
        {"\1\0\x80\0\0\0\0\0", UINT64_MAX, "over the limit", 0},
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", UINT64_MAX, "over the limit", 0},
        {"version https", 130, "is a Git LFS pointer", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_error err = {0};
        size_t length = 0;
        qv_status status = qv__safetensors_length(rows[i].first, rows[i].file_size, &length, &err);
        if (rows[i].words)
            CHECK_FAILS(status, QV_BAD_CHECKPOINT, rows[i].words, err);
        else
            CHECK_OK(status, err);
        CHECK_INT(length, rows[i].length);
    }
}
