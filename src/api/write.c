#include "api/write.h"

#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "base/number.h"
#include "base/utf8.h"

bool qv__write_string(qv__buffer *b, const char *text, size_t size) {
    static const char hex[] = "0123456789abcdef";
    qv__buffer_append(b, "\"", 1);
    while (size) {
        size_t valid = qv__utf8_valid_prefix(text, size), plain = 0;
        for (size_t i = 0; i <= valid; i++) {
            unsigned char c = i < valid ? (unsigned char)text[i] : 0;
            if (i < valid && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
            qv__buffer_append(b, text + plain, i - plain);
            plain = i + 1;
            if (i == valid) break;
            char escape[6] = {'\\', (char)c, '0', '0', hex[c >> 4], hex[c & 15]};
            if (c == '\n')
                escape[1] = 'n';
            else if (c == '\t')
                escape[1] = 't';
            else if (c == '\r')
                escape[1] = 'r';
            else if (c != '"' && c != '\\')
                escape[1] = 'u';
            qv__buffer_append(b, escape, escape[1] == 'u' ? 6 : 2);
        }
        text += valid;
        size -= valid;
        if (!size) break;
        qv__buffer_append(b, "\xEF\xBF\xBD", 3);
        text++;
        size--;
    }
    return qv__buffer_append(b, "\"", 1);
}

bool qv__write_floats(qv__buffer *b, const float *values, size_t count) {
    if (count > SIZE_MAX / (QV__FLOAT_TEXT_MAX + 1) - 2 || !qv__buffer_reserve(b, count * 14 + 2))
        return b->failed = true, false;
    qv__buffer_append(b, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (!qv__buffer_reserve(b, QV__FLOAT_TEXT_MAX + 2)) return false;
        if (i) b->data[b->size++] = ',';
        b->size += qv__float_shortest(values[i], b->data + b->size);
    }
    return qv__buffer_append(b, "]", 1);
}

size_t qv__wire_size(qv__wire dtype) {
    return dtype == QV__WIRE_F32 ? 4 : dtype == QV__WIRE_E4M3 || dtype == QV__WIRE_E5M2 ? 1 : 2;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A float of fewer bits, below a sign bit at `sign`. Below `normal` (the smallest normal one, as float32) the sum with
 * `magic` does the rounding to the format's smallest step. */
typedef struct {
    int sign, shift;
    uint32_t normal, rebias, overflow; /* float32 bits; from overflow on, and for NaN, the codes below */
    float magic;
    uint32_t overflow_code, nan;
} small_float;

/* Round to nearest, ties to even. */
static uint32_t to_small(float value, const small_float *f) {
    uint32_t x = bits_of(value), sign = x >> 31 << f->sign;
    x &= 0x7FFFFFFF;
    if (x > 0x7F800000) return sign | f->nan;
    if (x >= f->overflow) return sign | f->overflow_code;
    if (x < f->normal) return sign | (bits_of(fabsf(value) + f->magic) - bits_of(f->magic));
    return sign | (x - f->rebias + (1u << (f->shift - 1)) - 1 + (x >> f->shift & 1)) >> f->shift;
}

static uint32_t to_bits(float value, qv__wire dtype) {
    static const small_float f16 = {15, 13, 0x38800000, 0x38000000, 0x477FF000, 0x1p-1f, 0x7C00, 0x7E00};
    static const small_float bf16 = {15, 16, 0, 0, 0x7F7F8000, 0, 0x7F80, 0x7FC0};
    static const small_float e4m3 = {7, 20, 0x3C800000, 0x3C000000, 0x43E80001, 0x1p14f, 0x7F, 0x7F}; /* above 464 */
    static const small_float e5m2 = {7, 21, 0x38800000, 0x38000000, 0x47700000, 0x1p7f, 0x7C, 0x7F};  /* from 61440 */
    switch (dtype) {
    case QV__WIRE_F16: return to_small(value, &f16);
    case QV__WIRE_BF16: return to_small(value, &bf16);
    case QV__WIRE_E4M3: return to_small(value, &e4m3);
    case QV__WIRE_E5M2: return to_small(value, &e5m2);
    default: return bits_of(value);
    }
}

static void put(uint8_t *out, uint32_t bits, size_t size, bool big_endian) {
    for (size_t i = 0; i < size; i++) out[big_endian ? size - 1 - i : i] = (uint8_t)(bits >> 8 * i);
}

static void convert(uint8_t *out, const float *values, size_t count, qv__wire dtype, bool big_endian) {
    size_t size = qv__wire_size(dtype);
    const bool own_order = big_endian == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    if (dtype == QV__WIRE_F32 && own_order) {
        memcpy(out, values, count * size);
        return;
    }
    for (size_t i = 0; i < count; i++, out += size) put(out, to_bits(values[i], dtype), size, big_endian);
}

bool qv__write_bytes(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian) {
    size_t size;
    if (__builtin_mul_overflow(count, qv__wire_size(dtype), &size)) return b->failed = true, false;
    if (!qv__buffer_reserve(b, size)) return false;
    if (size == 0) return true; /* an empty buffer has no memory to point into */
    convert((uint8_t *)b->data + b->size, values, count, dtype, big_endian);
    b->size += size;
    return true;
}

bool qv__write_base64(qv__buffer *b, const float *values, size_t count, qv__wire dtype, bool big_endian) {
    size_t size, text;
    if (__builtin_mul_overflow(count, qv__wire_size(dtype), &size)) return b->failed = true, false;
    text = qv__base64_encoded_size(size);
    if (text > SIZE_MAX - 2 || !qv__buffer_reserve(b, text + 2)) return b->failed = true, false;
    /* 3 * 256 values at a time: whole base64 groups in every dtype */
    uint8_t bytes[4 * 768];
    b->data[b->size++] = '"';
    for (size_t i = 0; i < count; i += 768) {
        size_t n = count - i < 768 ? count - i : 768, raw = n * qv__wire_size(dtype);
        convert(bytes, values + i, n, dtype, big_endian);
        qv__base64_encode(bytes, raw, b->data + b->size);
        b->size += qv__base64_encoded_size(raw);
    }
    b->data[b->size++] = '"';
    return true;
}

/* -128 .. 255; returns the end. printf takes eight times as long (bench_write). */
static char *write_code(char *at, int code) {
    if (code < 0) {
        *at++ = '-';
        code = -code;
    }
    if (code >= 100) *at++ = (char)('0' + code / 100);
    if (code >= 10) *at++ = (char)('0' + code / 10 % 10);
    *at++ = (char)('0' + code % 10);
    return at;
}

bool qv__write_quantized(qv__buffer *b, const float *values, size_t count, qv__numbers kind, bool base64) {
    size_t size = qv__quantize_size(kind, count), text = qv__base64_encoded_size(size);
    /* The codes lie behind the text while it is written; a number and its comma take at most five characters. */
    size_t room = (base64 ? text : 5 * size) + 2;
    if (size > SIZE_MAX / 8 || !qv__buffer_reserve(b, room + size)) return b->failed = true, false;
    uint8_t *codes = (uint8_t *)b->data + b->size + room;
    qv__quantize(values, count, kind, codes);
    if (base64) {
        b->data[b->size] = '"';
        qv__base64_encode(codes, size, b->data + b->size + 1);
        b->data[b->size + text + 1] = '"';
        b->size += text + 2;
        return true;
    }
    bool negative = qv__numbers_signed(kind);
    char *at = b->data + b->size;
    *at++ = '[';
    for (size_t i = 0; i < size; i++) {
        if (i) *at++ = ',';
        at = write_code(at, negative ? (int8_t)codes[i] : codes[i]);
    }
    *at++ = ']';
    b->size = (size_t)(at - b->data);
    return true;
}
