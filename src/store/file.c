#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/checkpoint.h"

qv_status qv__file_open(const char *path, int *fd, uint64_t *size, qv_error *err) {
    /* O_NONBLOCK: a FIFO must not hold us up before fstat can refuse it. */
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR;
        struct stat link;
        if (absent && lstat(path, &link) == 0)
            return qv__fail(err, QV_NOT_FOUND, "%s is a symbolic link that leads nowhere", path);
        return qv__fail(err, absent ? QV_NOT_FOUND : QV_IO, "cannot open %s: %s", path, strerror(errno));
    }
    struct stat s;
    qv_status status = QV_OK;
    if (fstat(f, &s))
        status = qv__fail(err, QV_IO, "cannot inspect %s: %s", path, strerror(errno));
    else if (!S_ISREG(s.st_mode))
        status = qv__fail(err, QV_IO, "%s is not a regular file", path);
    if (status) {
        close(f);
        return status;
    }
    *fd = f;
    *size = (uint64_t)s.st_size;
    return QV_OK;
}

qv_status qv__file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t size, qv_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return qv__fail(err, QV_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return qv__fail(err, QV_IO, "%s ends at byte %llu, in the middle of what it announced", path,
                            (unsigned long long)(offset + done));
        done += (size_t)n;
    }
    return QV_OK;
}

qv_status qv__file_map(int fd, const char *path, uint64_t size, qv__mapping *out, qv_error *err) {
    if (size == 0 || size > SIZE_MAX / 2)
        return qv__fail(err, QV_IO, "cannot map %s: %llu bytes", path, (unsigned long long)size);
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return qv__fail(err, QV_IO, "cannot map %s: %s", path, strerror(errno));
    *out = (qv__mapping){data, (size_t)size};
    struct stat s;
    if (fstat(fd, &s) || (uint64_t)s.st_size < size) {
        qv__mapping_close(out);
        return qv__fail(err, QV_IO, "%s was cut while it was being opened", path);
    }
    return QV_OK;
}

void qv__mapping_close(qv__mapping *mapping) {
    if (mapping->data) munmap(mapping->data, mapping->size);
    *mapping = (qv__mapping){0};
}

qv_status qv__file_read(const char *path, size_t max, char **data, size_t *size, qv_error *err) {
    int fd;
    uint64_t length;
    qv_status status = qv__file_open(path, &fd, &length, err);
    if (status) return status;
    char *block = NULL;
    if (length > max || length == SIZE_MAX) {
        status = qv__fail(err, QV_TOO_LARGE, "%s has %llu bytes, at most %zu are read", path,
                          (unsigned long long)length, max);
        goto done;
    }
    if (!(block = qv__malloc((size_t)length + 1))) {
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for %s (%llu bytes)", path, (unsigned long long)length);
        goto done;
    }
    if ((status = qv__file_read_at(fd, path, 0, block, (size_t)length, err))) goto done;
    block[length] = 0;
    *data = block;
    *size = (size_t)length;
    block = NULL;
done:
    qv__free(block);
    close(fd);
    return status;
}

char *qv__path_join(const char *folder, const char *name) {
    size_t a = strlen(folder), b = strlen(name);
    while (a > 1 && folder[a - 1] == '/') a--;
    char *path = qv__malloc(a + b + 2);
    if (path) snprintf(path, a + b + 2, "%.*s/%s", (int)a, folder, name);
    return path;
}

bool qv__is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}
