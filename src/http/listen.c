#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

enum { BACKLOG = 1024 };

static int try_address(const struct addrinfo *a) {
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    int yes = 1, no = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

qv_status qv__listen(const char *host, int port, int *fd, qv_error *err) {
    if (port < 0 || port > 65535)
        return qv__fail(err, QV_INVALID_ARGUMENT, "port %d: it must be from 0 to 65535", port);
    if (host && !*host) host = NULL;
    const char *shown = host ? host : "all addresses";
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(host, service, &hints, &list);
    if (code) return qv__fail(err, QV_IO, "host %s: %s", shown, gai_strerror(code));
    int reason = 0;
    *fd = -1;
    /* Without a host the IPv6 socket takes both families, where the machine has IPv6. */
    for (int pass = host ? 1 : 0; pass < 2 && *fd < 0; pass++)
        for (struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) {
            if (pass == 0 && a->ai_family != AF_INET6) continue;
            if ((*fd = try_address(a)) < 0) reason = errno;
        }
    freeaddrinfo(list);
    if (*fd < 0) return qv__fail(err, QV_IO, "cannot listen on %s port %d: %s", shown, port, strerror(reason));
    return QV_OK;
}

int qv__listen_port(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size)) return -1;
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}
