#include "cli/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* "/path" or "@abstract"; the length of the address, 0: there is none. */
static socklen_t find_socket(struct sockaddr_un *address) {
    const char *name = getenv("NOTIFY_SOCKET");
    size_t size = name ? strlen(name) : 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (size < 2 || size >= sizeof address->sun_path || (name[0] != '/' && name[0] != '@')) return 0;
    memcpy(address->sun_path, name, size);
    if (name[0] == '@') address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

bool qv__notify_asked(void) {
    struct sockaddr_un address;
    return find_socket(&address) > 0;
}

void qv__notify(const char *format, ...) {
    struct sockaddr_un address;
    socklen_t size = find_socket(&address);
    if (!size) return;
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n <= 0) return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    size_t length = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    while (sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0 && errno == EINTR) {
    }
    close(fd);
}

int64_t qv__notify_interval_ns(void) {
    const char *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!every || (pid && strtoll(pid, NULL, 10) != (long long)getpid())) return 0;
    long long microseconds = strtoll(every, NULL, 10);
    return microseconds > 0 && microseconds < INT64_MAX / 1000 ? microseconds * 500 : 0;
}
