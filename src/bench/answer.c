#include "bench/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "text/scan.h"

void qv__answer_start(qv__answer *r) {
    qv__buffer body = r->body, line = r->line;
    *r = (qv__answer){.body = body, .line = line, .keep_alive = true};
    r->body.size = r->line.size = 0;
    r->body.max = QV__ANSWER_BODY_MAX;
    r->line.max = QV__ANSWER_LINE_MAX + 1;
}

void qv__answer_clear(qv__answer *r) {
    qv__buffer_clear(&r->body);
    qv__buffer_clear(&r->line);
}

/* ---- the head ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK" */
static qv_status read_status_line(qv__answer *r, const char *line, size_t size, qv_error *err) {
    bool fits = size >= 12 && !memcmp(line, "HTTP/1.", 7) && is_digit(line[7]) && line[8] == ' ' && is_digit(line[9]) &&
                is_digit(line[10]) && is_digit(line[11]) && (size == 12 || line[12] == ' ');
    if (!fits) return qv__fail(err, QV_IO, "the answer does not begin with an HTTP/1 status line");
    r->http_1_0 = line[7] == '0';
    r->keep_alive = !r->http_1_0;
    r->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
    size_t from = size > 13 ? 13 : size, n = size - from < sizeof r->reason - 1 ? size - from : sizeof r->reason - 1;
    for (size_t i = 0; i < n; i++)
        r->reason[i] = line[from + i] >= 0x20 && line[from + i] < 0x7F ? line[from + i] : '?';
    r->reason[n] = 0;
    r->state = QV__ANSWER_HEADER;
    return QV_OK;
}

static qv_status read_length(qv__answer *r, const char *value, size_t size, qv_error *err) {
    uint64_t length = 0;
    if (!size || size > 18) return qv__fail(err, QV_IO, "Content-Length is not a number of bytes");
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(value[i])) return qv__fail(err, QV_IO, "Content-Length is not a number of bytes");
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (r->has_length && length != r->left) return qv__fail(err, QV_IO, "two different Content-Length headers");
    if (length > QV__ANSWER_BODY_MAX)
        return qv__fail(err, QV_IO, "an answer of %llu bytes; at most %d", (unsigned long long)length,
                        QV__ANSWER_BODY_MAX);
    r->has_length = true;
    r->left = length;
    return QV_OK;
}

/* Whether a comma-separated list holds `word`, in any case. */
static bool has_word(const char *value, size_t size, const char *word) {
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++) {
        bool starts = i == 0 || value[i - 1] == ',' || value[i - 1] == ' ';
        bool ends = i + length == size || strchr(", ;", value[i + length]);
        if (starts && ends && !strncasecmp(value + i, word, length)) return true;
    }
    return false;
}

static qv_status read_header(qv__answer *r, const char *line, size_t size, qv_error *err) {
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line) return qv__fail(err, QV_IO, "a line of the answer's head is not a header");
    if (++r->headers > QV__ANSWER_HEADERS_MAX)
        return qv__fail(err, QV_IO, "the answer has more than %d headers", QV__ANSWER_HEADERS_MAX);
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t n = (size_t)(end - value);
    if (name == 14 && !strncasecmp(line, "content-length", 14)) return read_length(r, value, n, err);
    if (name == 17 && !strncasecmp(line, "transfer-encoding", 17)) {
        r->chunked = has_word(value, n, "chunked");
        if (!r->chunked) return qv__fail(err, QV_IO, "a Transfer-Encoding other than chunked");
    } else if (name == 10 && !strncasecmp(line, "connection", 10)) {
        if (has_word(value, n, "close")) r->keep_alive = false;
        if (has_word(value, n, "keep-alive")) r->keep_alive = true;
    } else if (name == 12 && !strncasecmp(line, "content-type", 12))
        r->binary = has_word(value, n, "application/octet-stream");
    return QV_OK;
}

static void end_head(qv__answer *r) {
    if (r->status < 200) { /* an interim answer: the real one follows */
        qv__answer_start(r);
        r->begun = true;
    } else if (r->status == 204 || r->status == 304)
        r->state = QV__ANSWER_DONE;
    else if (r->chunked)
        r->state = QV__ANSWER_CHUNK_SIZE;
    else if (r->has_length)
        r->state = r->left ? QV__ANSWER_LENGTH : QV__ANSWER_DONE;
    else {
        r->keep_alive = false;
        r->state = QV__ANSWER_UNTIL_CLOSE;
    }
}

/* ---- lines and bodies ---- */

static int hex(char c) {
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1a2b" or "1a2b;extension" */
static qv_status read_chunk_size(qv__answer *r, const char *line, size_t size, qv_error *err) {
    uint64_t length = 0;
    size_t i = 0;
    for (; i < size && hex(line[i]) >= 0; i++) {
        length = length << 4 | (uint64_t)hex(line[i]);
        if (length > QV__ANSWER_BODY_MAX)
            return qv__fail(err, QV_IO, "a chunk of more than %d bytes", QV__ANSWER_BODY_MAX);
    }
    if (!i || (i < size && line[i] != ';' && line[i] != ' ')) return qv__fail(err, QV_IO, "a chunk without its size");
    r->left = length;
    r->state = length ? QV__ANSWER_CHUNK : QV__ANSWER_TRAILER;
    return QV_OK;
}

static qv_status take_line(qv__answer *r, qv_error *err) {
    const char *line = r->line.data;
    size_t size = r->line.size;
    if (size && line[size - 1] == '\r') size--;
    r->line.size = 0;
    switch (r->state) {
    case QV__ANSWER_STATUS_LINE: return read_status_line(r, line, size, err);
    case QV__ANSWER_HEADER:
        if (size) return read_header(r, line, size, err);
        end_head(r);
        return QV_OK;
    case QV__ANSWER_CHUNK_SIZE: return read_chunk_size(r, line, size, err);
    case QV__ANSWER_CHUNK_END:
        if (size) return qv__fail(err, QV_IO, "a chunk is longer than it says");
        r->state = QV__ANSWER_CHUNK_SIZE;
        return QV_OK;
    default: /* a trailer */
        if (!size) r->state = QV__ANSWER_DONE;
        if (size && ++r->headers > QV__ANSWER_HEADERS_MAX)
            return qv__fail(err, QV_IO, "the answer has more than %d headers", QV__ANSWER_HEADERS_MAX);
        return QV_OK;
    }
}

/* Bytes of a line; gives how many were taken. The line end itself is not kept. */
static qv_status feed_line(qv__answer *r, const char *data, size_t size, size_t *used, qv_error *err) {
    const char *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size;
    *used = end ? n + 1 : n;
    if (r->line.size + n > QV__ANSWER_LINE_MAX)
        return qv__fail(err, QV_IO, "a line of the answer's head is longer than %d bytes", QV__ANSWER_LINE_MAX);
    if (!qv__buffer_reserve(&r->line, n + 1) || !qv__buffer_append(&r->line, data, n))
        return qv__fail(err, QV_NO_MEMORY, "out of memory for an answer");
    return end ? take_line(r, err) : QV_OK;
}

static qv_status feed_body(qv__answer *r, const char *data, size_t size, size_t *used, qv_error *err) {
    bool counted = r->state != QV__ANSWER_UNTIL_CLOSE;
    *used = counted && r->left < size ? (size_t)r->left : size;
    if (r->body.size + *used > QV__ANSWER_BODY_MAX)
        return qv__fail(err, QV_IO, "an answer of more than %d bytes", QV__ANSWER_BODY_MAX);
    if (!qv__buffer_append(&r->body, data, *used)) return qv__fail(err, QV_NO_MEMORY, "out of memory for an answer");
    if (!counted) return QV_OK;
    r->left -= *used;
    if (!r->left) r->state = r->state == QV__ANSWER_LENGTH ? QV__ANSWER_DONE : QV__ANSWER_CHUNK_END;
    return QV_OK;
}

qv_status qv__answer_feed(qv__answer *r, const char *data, size_t size, size_t *used, qv_error *err) {
    qv_status status = QV_OK;
    *used = 0;
    r->begun = r->begun || size > 0;
    while (*used < size && r->state != QV__ANSWER_DONE && !status) {
        bool in_body =
            r->state == QV__ANSWER_LENGTH || r->state == QV__ANSWER_CHUNK || r->state == QV__ANSWER_UNTIL_CLOSE;
        size_t n;
        status = in_body ? feed_body(r, data + *used, size - *used, &n, err)
                         : feed_line(r, data + *used, size - *used, &n, err);
        *used += n;
    }
    return status;
}

qv_status qv__answer_end(qv__answer *r, qv_error *err) {
    r->keep_alive = false;
    if (r->state == QV__ANSWER_UNTIL_CLOSE) r->state = QV__ANSWER_DONE;
    if (r->state == QV__ANSWER_DONE) return QV_OK;
    return qv__fail(err, QV_IO,
                    r->begun ? "the connection was closed in the middle of the answer"
                             : "the connection was closed without an answer");
}

/* ---- what the answer says ---- */

static qv_status read_usage(qv__scan *s, int64_t *tokens) {
    bool first = true, more;
    int64_t total = -1, prompt = -1;
    qv_status status = qv__scan_expect(s, '{');
    while (!status && !(status = qv__scan_next(s, '}', &first, &more)) && more) {
        qv__span key, value;
        status = qv__scan_key(s, &key);
        if (status) break;
        bool is_prompt = qv__span_is(key, "prompt_tokens"), is_total = qv__span_is(key, "total_tokens");
        char c = qv__scan_peek(s);
        if ((is_prompt || is_total) && c >= '0' && c <= '9')
            status = qv__scan_integer(s, is_prompt ? &prompt : &total);
        else
            status = qv__scan_skip(s, &value);
    }
    *tokens = prompt >= 0 ? prompt : total;
    return status;
}

static qv_status read_fields(qv__scan *s, int64_t *tokens) {
    bool first = true, more;
    qv_status status = qv__scan_expect(s, '{');
    while (!status && !(status = qv__scan_next(s, '}', &first, &more)) && more) {
        qv__span key, value;
        status = qv__scan_key(s, &key);
        if (status) break;
        if (qv__span_is(key, "usage") && qv__scan_peek(s) == '{')
            status = read_usage(s, tokens);
        else
            status = qv__scan_skip(s, &value);
    }
    return status;
}

qv_status qv__answer_tokens(const char *body, size_t size, int64_t *tokens, qv_error *err) {
    qv_error reason = {0};
    if (!size) body = ""; /* an empty buffer has no memory */
    qv__scan s = {.start = body, .at = body, .end = body + size, .what = "the answer", .err = &reason};
    qv__span list;
    *tokens = -1;
    char c = size ? qv__scan_peek(&s) : 0;
    qv_status status = c == '{' ? read_fields(&s, tokens) : c == '[' ? qv__scan_skip(&s, &list) : QV_INVALID_JSON;
    bool whole = !status && (qv__scan_peek(&s), s.at == s.end);
    qv__buffer_clear(&s.unescaped);
    if (status == QV_NO_MEMORY) return qv__fail(err, status, "out of memory for an answer");
    if (whole) return QV_OK;
    *tokens = -1;
    return qv__fail(err, QV_INVALID_JSON, "the answer is not JSON%s%s", reason.message[0] ? ": " : "", reason.message);
}
