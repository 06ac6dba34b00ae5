#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { FLUSH_SIZE = 64 << 10, NPY_HEADER = 128 };

qv__format qv__format_parse(const char *name) {
    if (!strcmp(name, "json")) return QV__FORMAT_JSON;
    if (!strcmp(name, "npy")) return QV__FORMAT_NPY;
    return strcmp(name, "bin") ? QV__FORMAT_JSONL : QV__FORMAT_BIN;
}

static qv_status io_error(const qv__output *o, const char *doing, qv_error *err) {
    return qv__fail(err, QV_IO, "%s %s: %s", doing, o->name, strerror(errno));
}

static qv_status write_all(const qv__output *o, const char *data, size_t size, qv_error *err) {
    while (size) {
        ssize_t n = write(o->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(o, "writing", err);
        data += n;
        size -= (size_t)n;
    }
    return QV_OK;
}

/* ---- npy ---- */

/* Format 1.0, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; always NPY_HEADER bytes. */
static void npy_header(const qv__output *o, char out[NPY_HEADER]) {
    memset(out, ' ', NPY_HEADER);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = NPY_HEADER - 10;
    out[9] = 0;
    int n = snprintf(out + 10, NPY_HEADER - 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }",
                     (long long)o->answers, (long long)o->columns);
    out[10 + n] = ' ';
    out[NPY_HEADER - 1] = '\n';
}

static qv_status begin_npy(qv__output *o, qv_error *err) {
    char header[NPY_HEADER];
    if (lseek(o->fd, 0, SEEK_CUR) < 0) {
        o->spool = tmpfile();
        return o->spool ? QV_OK : qv__fail(err, QV_IO, "a temporary file for --format npy: %s", strerror(errno));
    }
    npy_header(o, header);
    return write_all(o, header, sizeof header, err);
}

static qv_status copy_spool(qv__output *o, qv_error *err) {
    char block[FLUSH_SIZE];
    size_t n;
    rewind(o->spool);
    while ((n = fread(block, 1, sizeof block, o->spool)) > 0) {
        qv_status status = write_all(o, block, n, err);
        if (status) return status;
    }
    return ferror(o->spool) ? io_error(o, "reading the temporary file for", err) : QV_OK;
}

static qv_status end_npy(qv__output *o, qv_error *err) {
    char header[NPY_HEADER];
    npy_header(o, header);
    if (o->spool) {
        qv_status status = write_all(o, header, sizeof header, err);
        return status ? status : copy_spool(o, err);
    }
    off_t length = (off_t)o->answers * o->columns * 4 + NPY_HEADER, here = lseek(o->fd, 0, SEEK_CUR);
    if (here < length || pwrite(o->fd, header, sizeof header, here - length) != NPY_HEADER)
        return io_error(o, "writing the header of", err);
    return QV_OK;
}

/* ---- all forms ---- */

/* Cuts what is behind the last newline, and stands there. */
static qv_status cut_torn_line(qv__output *o, qv_error *err) {
    char block[4096];
    off_t end = lseek(o->fd, 0, SEEK_END), at = end;
    while (at > 0) {
        size_t n = at < (off_t)sizeof block ? (size_t)at : sizeof block;
        if (pread(o->fd, block, n, at - (off_t)n) != (ssize_t)n) return io_error(o, "reading", err);
        const char *newline = memrchr(block, '\n', n);
        if (newline) {
            at = at - (off_t)n + (newline - block) + 1;
            break;
        }
        at -= (off_t)n;
    }
    if (end < 0 || (at < end && ftruncate(o->fd, at)) || lseek(o->fd, at, SEEK_SET) < 0)
        return io_error(o, "resuming", err);
    return QV_OK;
}

qv_status qv__output_open(qv__output *o, const char *path, qv__format format, int64_t columns, bool resume,
                          qv_error *err) {
    *o = (qv__output){.fd = STDOUT_FILENO, .name = path ? path : "stdout", .format = format, .columns = columns};
    if (path) o->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (resume ? 0 : O_TRUNC), 0666);
    if (path && o->fd < 0 && errno == EACCES && !resume)
        o->fd = open(path, O_WRONLY | O_CLOEXEC); /* a device, a pipe */
    if (o->fd < 0) return io_error(o, "opening", err);
    o->owned = path != NULL;
    if (resume) return cut_torn_line(o, err);
    return format == QV__FORMAT_NPY ? begin_npy(o, err) : QV_OK;
}

qv_status qv__output_flush(qv__output *o, qv_error *err) {
    if (o->pending.failed) return qv__fail(err, QV_NO_MEMORY, "out of memory for the answers");
    if (!o->pending.size) return QV_OK;
    qv_status status = QV_OK;
    if (o->spool && fwrite(o->pending.data, 1, o->pending.size, o->spool) != o->pending.size)
        status = io_error(o, "writing the temporary file for", err);
    if (!o->spool) status = write_all(o, o->pending.data, o->pending.size, err);
    o->pending.size = 0;
    return status;
}

static qv_status flush_when_full(qv__output *o, qv_error *err) {
    o->answers++;
    return o->pending.size < FLUSH_SIZE && !o->pending.failed ? QV_OK : qv__output_flush(o, err);
}

qv_status qv__output_json(qv__output *o, const char *text, size_t size, qv_error *err) {
    bool list = o->format == QV__FORMAT_JSON;
    if (list) qv__buffer_puts(&o->pending, o->answers ? ",\n" : "[\n");
    qv__buffer_append(&o->pending, text, size);
    if (!list) qv__buffer_puts(&o->pending, "\n");
    return flush_when_full(o, err);
}

qv_status qv__output_row(qv__output *o, const float *values, qv_error *err) {
    for (int64_t i = 0; i < o->columns; i++) {
        uint32_t bits;
        float value = values ? values[i] : NAN;
        memcpy(&bits, &value, 4);
        char bytes[4] = {(char)bits, (char)(bits >> 8), (char)(bits >> 16), (char)(bits >> 24)};
        qv__buffer_append(&o->pending, bytes, 4);
    }
    return flush_when_full(o, err);
}

qv_status qv__output_close(qv__output *o, qv_error *err) {
    if (o->format == QV__FORMAT_JSON) qv__buffer_puts(&o->pending, o->answers ? "\n]\n" : "[]\n");
    qv_status status = o->fd < 0 ? QV_OK : qv__output_flush(o, err);
    if (!status && o->fd >= 0 && o->format == QV__FORMAT_NPY) status = end_npy(o, err);
    if (o->spool) fclose(o->spool);
    if (o->owned && o->fd >= 0 && close(o->fd) && !status) status = io_error(o, "closing", err);
    qv__buffer_clear(&o->pending);
    o->fd = -1;
    o->owned = false;
    o->spool = NULL;
    return status;
}
