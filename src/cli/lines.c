#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { READ_SIZE = 256 << 10 };

qv_status qv__lines_open(qv__lines *lines, const char *path, qv_error *err) {
    bool standard = !strcmp(path, "-");
    lines->name = standard ? "stdin" : path;
    lines->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0) return qv__fail(err, QV_NOT_FOUND, "%s: %s", path, strerror(errno));
    lines->owned = !standard;
    struct stat facts;
    if (fstat(lines->fd, &facts)) return qv__fail(err, QV_IO, "%s: %s", lines->name, strerror(errno));
    if (S_ISDIR(facts.st_mode)) return qv__fail(err, QV_INVALID_ARGUMENT, "%s is a folder, not a file of lines", path);
    if (S_ISREG(facts.st_mode)) lines->bytes_total = facts.st_size;
    return QV_OK;
}

qv_status qv__lines_give(qv__lines *lines, const char *text, size_t size, qv_error *err) {
    qv__buffer_append(&lines->given, text, size);
    if (!qv__buffer_puts(&lines->given, "\n") || lines->given.failed)
        return qv__fail(err, QV_NO_MEMORY, "out of memory");
    return QV_OK;
}

void qv__lines_close(qv__lines *lines) {
    if (lines->owned) close(lines->fd);
    lines->owned = false;
    qv__buffer_clear(&lines->buffer);
    qv__buffer_clear(&lines->given);
}

/* Moves the unread bytes to the front and reads more behind them. */
static qv_status fill(qv__lines *lines, qv_error *err) {
    qv__buffer *b = &lines->buffer;
    if (lines->start) {
        memmove(b->data, b->data + lines->start, b->size - lines->start);
        b->size -= lines->start;
        lines->scanned -= lines->start;
        lines->start = 0;
    }
    if (lines->fd < 0) { /* what the flags gave is one block */
        lines->bytes_read = lines->bytes_total = (int64_t)lines->given.size;
        qv__buffer_clear(b);
        *b = lines->given;
        lines->given = (qv__buffer){0};
        lines->ended = true;
        return QV_OK;
    }
    if (!qv__buffer_reserve(b, READ_SIZE))
        return qv__fail(err, QV_NO_MEMORY, "out of memory for a line of %s", lines->name);
    ssize_t n;
    do n = read(lines->fd, b->data + b->size, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        lines->ended = true;
        return qv__fail(err, QV_IO, "reading %s: %s", lines->name, strerror(errno));
    }
    lines->ended = n == 0;
    b->size += (size_t)n;
    lines->bytes_read += n;
    return QV_OK;
}

/* The next line without its end, in the buffer; *found false at the end of the input. */
static qv_status next_raw(qv__lines *lines, const char **text, size_t *size, bool *found, qv_error *err) {
    qv__buffer *b = &lines->buffer;
    for (;;) {
        size_t unseen = b->size - lines->scanned;
        const char *end = unseen ? memchr(b->data + lines->scanned, '\n', unseen) : NULL;
        size_t stop = end ? (size_t)(end - b->data) : b->size;
        bool whole = end || (lines->ended && stop > lines->start), skipped = lines->skipping;
        if (whole) {
            *text = b->data + lines->start;
            *size = stop - lines->start;
            lines->start = lines->scanned = end ? stop + 1 : stop;
            lines->skipping = false;
            if (skipped) continue;
            lines->line++;
            return *found = true, QV_OK;
        }
        if (lines->ended) return *found = false, QV_OK;
        lines->scanned = b->size;
        bool too_long = b->size - lines->start > QV__LINE_MAX;
        if (too_long || skipped) lines->start = b->size;
        if (too_long && !skipped) {
            lines->skipping = true;
            lines->line++;
            return qv__fail(err, QV_TOO_LARGE, "line %lld of %s is longer than %d bytes", (long long)lines->line,
                            lines->name, QV__LINE_MAX);
        }
        qv_status status = fill(lines, err);
        if (status) return status;
    }
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", text[i]) || !text[i]) return false;
    return true;
}

static bool is_ours(const qv__lines *lines, int64_t number) {
    return lines->shard.n == 0 || number % lines->shard.n == lines->shard.i;
}

qv_status qv__lines_next(qv__lines *lines, qv__line *line, qv_error *err) {
    for (;;) {
        const char *text = NULL;
        size_t size = 0;
        bool found = false;
        *line = (qv__line){0};
        qv_status status = next_raw(lines, &text, &size, &found, err);
        bool too_long = status == QV_TOO_LARGE;
        if (status && !too_long) return status;
        if (!found && !too_long) return QV_OK;
        if (lines->line == 1 && size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))
            text += 3, size -= 3; /* byte order mark */
        if (!too_long && is_blank(text, size)) continue;
        line->number = lines->number++;
        line->line = lines->line;
        line->ended = lines->start && lines->buffer.data[lines->start - 1] == '\n';
        line->end = lines->bytes_read - (int64_t)(lines->buffer.size - lines->start);
        if (!is_ours(lines, line->number)) continue;
        if (too_long) return status;
        line->text = qv__strndup(text, size);
        line->size = size;
        return line->text ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for a line of %s", lines->name);
    }
}
