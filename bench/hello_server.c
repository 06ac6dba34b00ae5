/* What libmicrohttpd by itself can do: a fixed short answer to every request, with the server's own choice of threads
 * and polling, and nothing behind it. bench/serve.py measures qvec's HTTP side against it.
 *
 *   hello_server [--threads N]
 * Prints its port, serves until SIGTERM. */
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "http/listen.h"

static struct MHD_Response *hello;

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state) {
    static int seen;
    if (!*state) return *state = &seen, MHD_YES;
    if (*upload_size) return *upload_size = 0, MHD_YES;
    return MHD_queue_response(connection, MHD_HTTP_OK, hello);
}

int main(int argc, char **argv) {
    int threads = argc == 3 && strcmp(argv[1], "--threads") == 0 ? atoi(argv[2]) : 2, fd, number;
    static char text[] = "hello";
    qv_error err = {0};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    if (qv__listen("127.0.0.1", 0, &fd, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, threads, NULL}, {MHD_OPTION_END, 0, NULL}};
    hello = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, NULL,
                                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, 20000u,
                                                 MHD_OPTION_ARRAY, threads > 1 ? pool : pool + 1, MHD_OPTION_END);
    if (!hello || !daemon) return fprintf(stderr, "cannot start\n"), 1;
    printf("%d\n", qv__listen_port(fd));
    fflush(stdout);
    sigwait(&stop, &number);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(hello);
    return 0;
}
