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
    return dtype == QV__WIRE_F32 ? 4 : 2;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static uint16_t to_bf16(float value) {
    uint32_t x = bits_of(value);
    if ((x & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7FFF + (x >> 16 & 1)) >> 16);
}

/* The same for binary16; below 2^-14 the sum with 0.5 does the rounding to steps of 2^-24. */
static uint16_t to_f16(float value) {
    uint32_t x = bits_of(value), sign = x >> 16 & 0x8000;
    x &= 0x7FFFFFFF;
    if (x > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (x >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* 65520 and more */
    if (x < 0x38800000) return (uint16_t)(sign | (bits_of(fabsf(value) + 0.5f) - 0x3F000000));
    return (uint16_t)(sign | (x + 0xFFF + (x >> 13 & 1) - 0x38000000) >> 13);
}

static void put(uint8_t *out, uint32_t bits, size_t size, bool big_endian) {
    for (size_t i = 0; i < size; i++) out[big_endian ? size - 1 - i : i] = (uint8_t)(bits >> 8 * i);
}

static void convert(uint8_t *out, const float *values, size_t count, qv__wire dtype, bool big_endian) {
    size_t size = qv__wire_size(dtype);
    for (size_t i = 0; i < count; i++, out += size)
        put(out,
            dtype == QV__WIRE_F32   ? bits_of(values[i])
            : dtype == QV__WIRE_F16 ? to_f16(values[i])
                                    : to_bf16(values[i]),
            size, big_endian);
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
