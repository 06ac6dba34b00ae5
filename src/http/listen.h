#ifndef QVEC_HTTP_LISTEN_H
#define QVEC_HTTP_LISTEN_H

#include "qvec/qvec.h"

/* A listening TCP socket on host (NULL: all addresses, IPv6 and IPv4) and port (0: a free one). */
qv_status qv__listen(const char *host, int port, int *fd, qv_error *err);
int qv__listen_port(int fd);
#endif
