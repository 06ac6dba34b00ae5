#include "text/scan.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

enum { DEPTH_MAX = 64 };

qv_status qv__scan_fail(qv__scan *s, const char *expected) {
    return qv__fail(s->err, QV_BAD_CHECKPOINT, "%s: expected %s at byte %zu", s->what, expected,
                    (size_t)(s->at - s->start));
}

char qv__scan_peek(qv__scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) s->at++;
    return s->at < s->end ? *s->at : 0;
}

qv_status qv__scan_expect(qv__scan *s, char c) {
    char text[4] = {'\'', c, '\'', 0};
    if (qv__scan_peek(s) != c || s->at >= s->end) return qv__scan_fail(s, text);
    s->at++;
    return QV_OK;
}

bool qv__span_is(qv__span span, const char *text) {
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

/* End of the string's contents (the closing quote), or NULL. */
static const char *string_end(const qv__scan *s, const char *p, bool *escapes) {
    *escapes = false;
    for (; p < s->end; p++) {
        if (*p == '"') return p;
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\') {
            *escapes = true;
            if (++p >= s->end) return NULL;
        }
    }
    return NULL;
}

static bool hex4(const char *p, const char *end, uint32_t *out) {
    if (end - p < 4) return false;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

/* \uXXXX at p (behind the u), a surrogate pair included; bytes used, or 0. */
static size_t unicode_escape(const char *p, const char *end, uint32_t *code) {
    uint32_t low;
    if (!hex4(p, end, code)) return 0;
    if (*code < 0xD800 || *code > 0xDFFF) return 4;
    if (*code > 0xDBFF || end - p < 10 || p[4] != '\\' || p[5] != 'u' || !hex4(p + 6, end, &low)) return 0;
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return 10;
}

static size_t encode_utf8(uint32_t c, char *out) {
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00 >> n & 0xFF) | c);
    return n;
}

static qv_status unescape(qv__scan *s, const char *p, const char *end, qv__span *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    s->unescaped.size = 0;
    while (p < end) {
        const char *plain = p;
        while (p < end && *p != '\\') p++;
        bool ok = qv__buffer_append(&s->unescaped, plain, (size_t)(p - plain));
        if (p < end) {
            const char *name = memchr(names, p[1], sizeof names - 1);
            char bytes[4];
            size_t n = 1, used = 2;
            if (name)
                bytes[0] = values[name - names];
            else {
                uint32_t code;
                size_t digits = p[1] == 'u' ? unicode_escape(p + 2, end, &code) : 0;
                if (digits == 0) return s->at = p, qv__scan_fail(s, "a valid escape");
                n = encode_utf8(code, bytes);
                used += digits;
            }
            ok = ok && qv__buffer_append(&s->unescaped, bytes, n);
            p += used;
        }
        if (!ok) return qv__fail(s->err, QV_NO_MEMORY, "%s: out of memory", s->what);
    }
    *out = (qv__span){s->unescaped.data ? s->unescaped.data : "", s->unescaped.size};
    return QV_OK;
}

qv_status qv__scan_string(qv__scan *s, qv__span *out) {
    if (qv__scan_peek(s) != '"') return qv__scan_fail(s, "a string");
    bool escapes;
    const char *from = s->at + 1, *end = string_end(s, from, &escapes);
    if (!end) return qv__scan_fail(s, "a string that ends");
    if (escapes) {
        qv_status status = unescape(s, from, end, out);
        if (status) return status;
    } else
        *out = (qv__span){from, (size_t)(end - from)};
    s->at = end + 1;
    return QV_OK;
}

qv_status qv__scan_integer(qv__scan *s, int64_t *out) {
    char c = qv__scan_peek(s);
    if (c < '0' || c > '9') return qv__scan_fail(s, "a whole number, zero or more");
    int64_t value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
        value = value * 10 + (*s->at - '0');
        if (value > INT32_MAX) return qv__scan_fail(s, "a number below 2^31");
    }
    if (s->at < s->end && strchr(".eE", *s->at)) return qv__scan_fail(s, "a whole number");
    *out = value;
    return QV_OK;
}

qv_status qv__scan_skip(qv__scan *s, qv__span *out) {
    qv__scan_peek(s);
    const char *from = s->at;
    int depth = 0;
    do {
        char c = qv__scan_peek(s);
        bool escapes;
        if (s->at >= s->end) return qv__scan_fail(s, "a value");
        if (c == '"') {
            const char *end = string_end(s, s->at + 1, &escapes);
            if (!end) return qv__scan_fail(s, "a string that ends");
            s->at = end + 1;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) return qv__scan_fail(s, "less nesting");
            s->at++;
        } else if (c == '}' || c == ']') {
            if (--depth < 0) return qv__scan_fail(s, "a value");
            s->at++;
        } else if (c == ',' || c == ':') {
            if (depth == 0) return qv__scan_fail(s, "a value");
            s->at++;
        } else {
            while (s->at < s->end && !strchr(" \n\r\t,:]}\"[{", *s->at)) s->at++;
            if (s->at < s->end && *s->at == 0) return qv__scan_fail(s, "a value");
        }
    } while (depth > 0);
    *out = (qv__span){from, (size_t)(s->at - from)};
    return QV_OK;
}

qv_status qv__scan_next(qv__scan *s, char close, bool *first, bool *more) {
    char c = qv__scan_peek(s);
    *more = true;
    if (c == close) {
        s->at++;
        *more = false;
        return QV_OK;
    }
    if (!*first && c != ',') return qv__scan_fail(s, "',' or the end of the list");
    if (!*first) s->at++;
    *first = false;
    return QV_OK;
}

qv_status qv__scan_key(qv__scan *s, qv__span *out) {
    qv_status status = qv__scan_string(s, out);
    return status ? status : qv__scan_expect(s, ':');
}
