/* Bytes of a picture or video from where a request says they are: a data: URL, a path, a file:// URL.
 *
 * With a root, a request may name only what lies below it, and no symbolic link is followed on the way. The kernel
 * enforces that (openat2); where openat2 is missing each component is opened in turn. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/memory.h"
#include "media/media.h"

enum { SHOWN = 200, OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static qv_status over_limit(const char *name, uint64_t size, const qv__media_limits *limits, qv_error *err) {
    return qv__fail(err, QV_MEDIA_LIMIT, "%.*s holds %llu bytes, over the limit of %lld bytes", SHOWN, name,
                    (unsigned long long)size, (long long)limits->max_bytes);
}

/* ---- data: URLs ---- */

/* data:[type][;parameter]...;base64,TEXT. The type is not believed: content decides. */
static qv_status load_data_url(const char *url, const qv__media_limits *limits, void **bytes, size_t *size,
                               qv_error *err) {
    const char *comma = strchr(url, ',');
    if (!comma) return qv__fail(err, QV_MEDIA_SOURCE, "the data: URL has no comma before its data");
    static const char mark[] = ";base64";
    size_t mark_size = sizeof mark - 1;
    if ((size_t)(comma - url) < mark_size || strncasecmp(comma - mark_size, mark, mark_size))
        return qv__fail(err, QV_MEDIA_SOURCE, "the data: URL is not base64 (it needs \";base64\" before the comma)");
    const char *text = comma + 1;
    size_t length = strlen(text), most = qv__base64_decoded_max(length), bad = 0;
    if (most > (uint64_t)limits->max_bytes + 3) return over_limit("the data: URL", most, limits, err);
    uint8_t *data = qv__malloc(most);
    if (!data) return qv__fail(err, QV_NO_MEMORY, "out of memory for a data: URL (%zu bytes)", most);
    qv_status status = QV_OK;
    if (!qv__base64_decode(text, length, data, size, &bad))
        status =
            qv__fail(err, QV_MEDIA_SOURCE, "the data: URL's base64 goes wrong at character %zu of %zu", bad, length);
    else if (*size > (uint64_t)limits->max_bytes)
        status = over_limit("the data: URL", *size, limits, err);
    if (status)
        qv__free(data);
    else
        *bytes = data;
    return status;
}

/* ---- paths ---- */

static int open_beneath_kernel(int root, const char *path) {
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* One component at a time, no links, no "..". path is relative. */
static int open_beneath_by_hand(int root, const char *path) {
    char name[NAME_MAX + 1];
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (at >= 0) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        const char *next = path + length + strspn(path + length, "/");
        int fd = -1;
        if (length == 0 || length > NAME_MAX)
            errno = length ? ENAMETOOLONG : ENOENT;
        else {
            memcpy(name, path, length);
            name[length] = 0;
            if (!strcmp(name, ".."))
                errno = EXDEV;
            else
                fd = openat(at, name, *next ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : OPEN_FLAGS | O_NOFOLLOW);
        }
        int reason = errno;
        close(at);
        errno = reason;
        if (fd < 0 || !*next) return fd;
        path = next;
        at = fd;
    }
    return -1;
}

static qv_status open_below_root(const char *root, const char *path, int *fd, qv_error *err) {
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return qv__fail(err, QV_MEDIA_SOURCE, "the media root %s cannot be opened: %s", root, strerror(errno));
    *fd = open_beneath_kernel(folder, path);
    if (*fd < 0 && (errno == ENOSYS || errno == EPERM)) *fd = open_beneath_by_hand(folder, path);
    int reason = errno;
    close(folder);
    if (*fd >= 0) return QV_OK;
    if (reason == ELOOP)
        return qv__fail(err, QV_MEDIA_SOURCE,
                        "%.*s is or passes a symbolic link; none is followed below the media root", SHOWN, path);
    if (reason == EXDEV) return qv__fail(err, QV_MEDIA_SOURCE, "%.*s lies outside the media root", SHOWN, path);
    return qv__fail(err, QV_MEDIA_SOURCE, "cannot open %.*s below the media root: %s", SHOWN, path, strerror(reason));
}

static qv_status open_anywhere(const char *folder, const char *path, int *fd, qv_error *err) {
    int at = AT_FDCWD;
    if (folder && path[0] != '/' && (at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return qv__fail(err, QV_MEDIA_SOURCE, "the folder %.*s cannot be opened: %s", SHOWN, folder, strerror(errno));
    *fd = openat(at, path, OPEN_FLAGS);
    int reason = errno;
    if (at >= 0) close(at);
    if (*fd >= 0) return QV_OK;
    return qv__fail(err, QV_MEDIA_SOURCE, "cannot open %.*s: %s", SHOWN, path, strerror(reason));
}

/* The part of an absolute path that lies below root, or NULL. Textual: "/data/../etc" is left to the kernel. */
static const char *strip_root(const char *path, const char *root) {
    size_t n = strlen(root);
    while (n > 1 && root[n - 1] == '/') n--;
    if (strncmp(path, root, n) || (n > 1 && path[n] != '/')) return NULL;
    return path + n + strspn(path + n, "/");
}

/* Reads exactly what fstat said, so a file that grows or shrinks meanwhile is caught. */
static qv_status read_all(int fd, const char *path, size_t size, uint8_t *data, qv_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, data + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return qv__fail(err, QV_MEDIA_SOURCE, "cannot read %.*s: %s", SHOWN, path,
                            n < 0 ? strerror(errno) : "it became shorter while it was read");
        done += (size_t)n;
    }
    return QV_OK;
}

static qv_status read_file(int fd, const char *path, const qv__media_limits *limits, void **bytes, size_t *size,
                           qv_error *err) {
    struct stat s;
    if (fstat(fd, &s)) return qv__fail(err, QV_MEDIA_SOURCE, "cannot inspect %.*s: %s", SHOWN, path, strerror(errno));
    if (!S_ISREG(s.st_mode)) return qv__fail(err, QV_MEDIA_SOURCE, "%.*s is not a regular file", SHOWN, path);
    if (s.st_size > limits->max_bytes) return over_limit(path, (uint64_t)s.st_size, limits, err);
    *size = (size_t)s.st_size;
    uint8_t *data = qv__malloc(*size);
    if (!data) return qv__fail(err, QV_NO_MEMORY, "out of memory for %.*s (%zu bytes)", SHOWN, path, *size);
    qv_status status = read_all(fd, path, *size, data, err);
    if (status)
        qv__free(data);
    else
        *bytes = data;
    return status;
}

static qv_status load_path(const char *path, const char *relative_to, const char *root, const qv__media_limits *limits,
                           void **bytes, size_t *size, qv_error *err) {
    int fd = -1;
    if (!*path) return qv__fail(err, QV_MEDIA_SOURCE, "the path of a picture or video is empty");
    if (root && path[0] == '/') {
        const char *below = strip_root(path, root);
        if (!below) return qv__fail(err, QV_MEDIA_SOURCE, "%.*s lies outside the media root", SHOWN, path);
        path = *below ? below : ".";
    }
    qv_status status = root ? open_below_root(root, path, &fd, err) : open_anywhere(relative_to, path, &fd, err);
    if (status) return status;
    status = read_file(fd, path, limits, bytes, size, err);
    close(fd);
    return status;
}

/* ---- file:// URLs ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* file:///path or file://localhost/path; %XX decoded, but never to a NUL. */
static qv_status path_of_url(const char *url, char **path, qv_error *err) {
    const char *from = url + strlen("file://");
    if (!strncasecmp(from, "localhost/", 10)) from += 9;
    if (*from != '/') return qv__fail(err, QV_MEDIA_SOURCE, "%.*s names a host; only file:///path is read", SHOWN, url);
    char *to = *path = qv__malloc(strlen(from) + 1);
    if (!to) return qv__fail(err, QV_NO_MEMORY, "out of memory for a file: URL");
    for (; *from; from++) {
        int high, low;
        if (*from != '%')
            *to++ = *from;
        else if ((high = hex_digit(from[1])) >= 0 && (low = hex_digit(from[2])) >= 0 && (high | low)) {
            *to++ = (char)(high << 4 | low);
            from += 2;
        } else {
            qv__free(*path);
            return qv__fail(err, QV_MEDIA_SOURCE, "%.*s has a wrong percent escape", SHOWN, url);
        }
    }
    *to = 0;
    return QV_OK;
}

/* Length of a URL scheme ("https" in "https://..."), 0: a path. */
static size_t scheme_length(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return n > 1 && !strncmp(text + n, "://", 3) ? n : 0;
}

qv_status qv__media_load(const char *path_or_data_url, const char *relative_to, const char *root,
                         const qv__media_limits *limits, void **bytes, size_t *size, qv_error *err) {
    *bytes = NULL;
    *size = 0;
    if (!limits) limits = &qv__media_default_limits;
    if (!strncasecmp(path_or_data_url, "data:", 5)) return load_data_url(path_or_data_url, limits, bytes, size, err);
    size_t scheme = scheme_length(path_or_data_url);
    if (scheme == 0) return load_path(path_or_data_url, relative_to, root, limits, bytes, size, err);
    if (scheme != 4 || strncasecmp(path_or_data_url, "file", 4))
        return qv__fail(err, QV_MEDIA_SOURCE,
                        "%.*s:// URLs are not fetched; send the file itself as a data: URL, or its path", (int)scheme,
                        path_or_data_url);
    char *path = NULL;
    qv_status status = path_of_url(path_or_data_url, &path, err);
    if (status) return status;
    status = load_path(path, relative_to, root, limits, bytes, size, err);
    qv__free(path);
    return status;
}
