#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "http/listen.h"

enum { BACKLOG = 1024 };

static int new_socket(void) {
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Makes way for a new socket: removes one that nobody listens on. */
static qv_status make_way(const struct sockaddr_un *address, qv_error *err) {
    const char *path = address->sun_path;
    struct stat s;
    if (lstat(path, &s))
        return errno == ENOENT ? QV_OK : qv__fail(err, QV_IO, "the socket %s: %s", path, strerror(errno));
    if (!S_ISSOCK(s.st_mode)) return qv__fail(err, QV_IO, "%s is there already and is no socket", path);
    int fd = new_socket();
    if (fd < 0) return qv__fail(err, QV_IO, "cannot make a socket: %s", strerror(errno));
    bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) && errno == ECONNREFUSED;
    close(fd);
    if (!stale) return qv__fail(err, QV_IO, "another server listens on the socket %s", path);
    if (unlink(path) && errno != ENOENT)
        return qv__fail(err, QV_IO, "cannot remove the old socket %s: %s", path, strerror(errno));
    return QV_OK;
}

static qv_status bind_and_listen(int fd, const struct sockaddr_un *address, int mode, struct stat *made,
                                 qv_error *err) {
    const char *path = address->sun_path;
    mode_t before = umask(0777); /* nobody may connect before its mode is set */
    int failed = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int reason = errno;
    umask(before);
    if (failed) return qv__fail(err, QV_IO, "cannot listen on the socket %s: %s", path, strerror(reason));
    if (lstat(path, made) || chmod(path, (mode_t)mode) || listen(fd, BACKLOG)) {
        reason = errno;
        unlink(path);
        return qv__fail(err, QV_IO, "cannot listen on the socket %s: %s", path, strerror(reason));
    }
    return QV_OK;
}

qv_status qv__listen_unix(const char *path, int mode, int *fd, struct stat *made, qv_error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *fd = -1;
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return qv__fail(err, QV_INVALID_ARGUMENT, "the path of a socket has 1 to %zu bytes, not %zu",
                        sizeof address.sun_path - 1, strlen(path));
    strcpy(address.sun_path, path);
    qv_status status = make_way(&address, err);
    if (status) return status;
    if ((*fd = new_socket()) < 0) return qv__fail(err, QV_IO, "cannot make a socket: %s", strerror(errno));
    status = bind_and_listen(*fd, &address, mode, made, err);
    if (!status) return QV_OK;
    close(*fd);
    *fd = -1;
    return status;
}

void qv__listen_unix_remove(const char *path, const struct stat *made) {
    struct stat s;
    if (lstat(path, &s) == 0 && s.st_dev == made->st_dev && s.st_ino == made->st_ino) unlink(path);
}
