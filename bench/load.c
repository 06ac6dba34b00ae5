/* An open-loop HTTP client: requests are due at a fixed rate whatever the server does, and a latency counts from when
 * its request was due, so that a server that stalls cannot hide it. For bench/serve.py and the tests of overload.
 *
 *   load --port N --rate R --seconds S [--connections C] BODY.json...
 * Sends the bodies in turn to /v1/embeddings over C keep-alive connections; a request that finds all of them busy waits
 * for the first that is free, and is not sent when the time is over before. Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { HEAD_MAX = 4096, GRACE_S = 30, SLICE_MS = 100, STATUSES = 600 };

typedef struct {
    char *data; /* head and body */
    size_t size;
} message;

typedef struct connection {
    struct connection *next; /* in the list of those that are free */
    int fd;
    bool busy;
    const message *out;
    size_t written;
    int64_t due_ns;
    char head[HEAD_MAX]; /* of the answer */
    size_t have, left;   /* of the head; of the body, once the head is complete */
    bool head_done, close;
    int status;
} connection;

static struct {
    int port, connections, bodies;
    double rate, seconds;
    message *messages;
} o = {.connections = 64};

static int poll_fd;
static connection *all, *free_list;
static int64_t begun_ns, started, answered, lost, by_status[STATUSES];
static float *latencies; /* ms, of all answers */
static int64_t slices, *ok_in_slice;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void connect_to_server(connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o.port)};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
}

static void set_free(connection *c) {
    c->busy = false;
    c->next = free_list;
    free_list = c;
}

static void write_more(connection *c) {
    while (c->busy && c->written < c->out->size) {
        ssize_t n = send(c->fd, c->out->data + c->written, c->out->size - c->written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) return; /* not now; or the end, which reading will tell */
        c->written += (size_t)n;
    }
}

static void begin(connection *c, int64_t due_ns) {
    c->busy = true;
    c->out = &o.messages[started++ % o.bodies];
    c->written = c->have = c->left = 0;
    c->head_done = c->close = false;
    c->due_ns = due_ns;
    write_more(c);
}

static void note_answer(const connection *c) {
    int64_t now = qv__now_ns(), slice = (now - begun_ns) / (SLICE_MS * 1000000LL);
    latencies[answered++] = (float)((double)(now - c->due_ns) * 1e-6);
    by_status[c->status]++;
    if (c->status == 200 && slice < slices) ok_in_slice[slice]++;
}

/* The answer is cut off, or the connection was closed between two answers. */
static void reconnect(connection *c) {
    close(c->fd);
    if (c->busy) lost++;
    connect_to_server(c);
    if (c->busy) set_free(c);
}

/* True when the head is complete; what follows it in `head` is the body's beginning. */
static bool read_head(connection *c) {
    c->head[c->have] = 0;
    char *end = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "\r\nContent-Length:");
    if (!end) return false;
    size_t body = c->have - (size_t)(end + 4 - c->head);
    int status = atoi(c->head + sizeof "HTTP/1.1");
    c->status = status >= 100 && status < STATUSES ? status : 0;
    c->left = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    c->left -= body < c->left ? body : c->left;
    c->close = strcasestr(c->head, "\r\nConnection: close") != NULL;
    return c->head_done = true;
}

/* False when the connection has ended. */
static bool read_more(connection *c) {
    static char sink[1 << 16];
    for (;;) {
        char *to = c->head_done ? sink : c->head + c->have;
        size_t room = c->head_done ? sizeof sink : HEAD_MAX - 1 - c->have;
        ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (n <= 0 || !c->busy) return false;
        if (!c->head_done) {
            c->have += (size_t)n;
            if (!read_head(c) && c->have == HEAD_MAX - 1) return false;
        } else
            c->left -= (size_t)n < c->left ? (size_t)n : c->left;
        if (!c->head_done || c->left) continue;
        note_answer(c);
        set_free(c);
        return !c->close;
    }
}

/* Starts what is due; gives the time of the next one. */
static int64_t start_due(int64_t end_ns) {
    static int64_t count;
    for (;;) {
        int64_t due = begun_ns + (int64_t)((double)count * 1e9 / o.rate);
        int64_t now = qv__now_ns();
        if (due >= end_ns || now >= end_ns) return INT64_MAX;
        if (due > now || !free_list) return due;
        connection *c = free_list;
        free_list = c->next;
        begin(c, due);
        count++;
    }
}

static int64_t count_busy(void) {
    int64_t n = 0;
    for (int i = 0; i < o.connections; i++) n += all[i].busy;
    return n;
}

static void run(void) {
    begun_ns = qv__now_ns();
    int64_t end = begun_ns + (int64_t)(o.seconds * 1e9), stop = end + GRACE_S * 1000000000LL;
    for (;;) {
        int64_t next = start_due(end), now = qv__now_ns(), wait = next == INT64_MAX ? 50000000 : next - now;
        if ((next == INT64_MAX && !count_busy()) || now > stop) break;
        if (wait < 0 || !free_list) wait = free_list ? 0 : 50000000;
        struct epoll_event events[256];
        struct timespec timeout = {wait / 1000000000, wait % 1000000000};
        int n = epoll_pwait2(poll_fd, events, 256, &timeout, NULL);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) write_more(c);
            if (!read_more(c)) reconnect(c);
        }
    }
    lost += count_busy();
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(double p) {
    return answered ? (double)latencies[(int64_t)(p / 100 * (double)(answered - 1))] : 0;
}

static void report(void) {
    double seconds = (double)(qv__now_ns() - begun_ns) * 1e-9;
    qsort(latencies, (size_t)answered, sizeof *latencies, by_size);
    printf("{\"due\":%.0f,\"sent\":%lld,\"answered\":%lld,\"lost\":%lld,\"seconds\":%.3f,\"status\":{",
           o.rate * o.seconds, (long long)started, (long long)answered, (long long)lost, seconds);
    const char *comma = "";
    for (int i = 0; i < STATUSES; i++)
        if (by_status[i]) printf("%s\"%d\":%lld", comma, i, (long long)by_status[i]), comma = ",";
    printf("},\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"ok_per_100ms\":[", percentile(50),
           percentile(90), percentile(99), percentile(100));
    for (int64_t i = 0; i < slices; i++) printf("%s%lld", i ? "," : "", (long long)ok_in_slice[i]);
    printf("]}\n");
}

static message read_body(const char *path) {
    static char body[16 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) fail(path);
    size_t size = fread(body, 1, sizeof body, f);
    fclose(f);
    message m = {.data = malloc(size + 256)};
    if (!m.data) fail("memory");
    int head = sprintf(m.data,
                       "POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       size);
    memcpy(m.data + head, body, size);
    m.size = (size_t)head + size;
    return m;
}

static void read_flags(int argc, char **argv) {
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--port") == 0) o.port = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--rate") == 0) o.rate = atof(argv[i + 1]);
        if (strcmp(argv[i], "--seconds") == 0) o.seconds = atof(argv[i + 1]);
        if (strcmp(argv[i], "--connections") == 0) o.connections = atoi(argv[i + 1]);
    }
    o.bodies = argc - i;
    if (o.bodies < 1 || o.port < 1 || o.rate <= 0 || o.seconds <= 0 || o.connections < 1) {
        fprintf(stderr, "load --port N --rate R --seconds S [--connections C] BODY.json...\n");
        exit(2);
    }
    o.messages = malloc((size_t)o.bodies * sizeof *o.messages);
    for (int k = 0; o.messages && k < o.bodies; k++) o.messages[k] = read_body(argv[i + k]);
}

int main(int argc, char **argv) {
    read_flags(argc, argv);
    slices = (int64_t)(o.seconds * 1000 / SLICE_MS) + GRACE_S * 1000 / SLICE_MS;
    latencies = malloc((size_t)(o.rate * o.seconds + 1000) * sizeof *latencies);
    ok_in_slice = calloc((size_t)slices, sizeof *ok_in_slice);
    all = calloc((size_t)o.connections, sizeof *all);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!o.messages || !latencies || !ok_in_slice || !all || poll_fd < 0) fail("memory");
    for (int i = 0; i < o.connections; i++) {
        connect_to_server(&all[i]);
        set_free(&all[i]);
    }
    run();
    report();
    return 0;
}
