#ifndef QVEC_HTTP_LISTEN_H
#define QVEC_HTTP_LISTEN_H

#include <sys/stat.h>

#include "qvec/qvec.h"

/* A listening TCP socket on host (NULL: all addresses, IPv6 and IPv4) and port (0: a free one). */
qv_status qv__listen(const char *host, int port, int *fd, qv_error *err);
int qv__listen_port(int fd);

/* The same on a socket of the file system. What a server that died has left at `path` is replaced; a socket on which
 * somebody listens, and every other kind of file, is not. `mode`: who may connect. *made: tells the file again. */
qv_status qv__listen_unix(const char *path, int mode, int *fd, struct stat *made, qv_error *err);
/* Removes the file, if it is still the one that was made. */
void qv__listen_unix_remove(const char *path, const struct stat *made);
#endif
