#include "http/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { LINGER_MAX = 128, LINGER_SECONDS = 5, TICK_MS = 500 };
static const int64_t linger_bytes = 256 << 20; /* read out at most */

typedef struct {
    void *user;          /* NULL: not watched */
    uint32_t generation; /* tells an old event of the same descriptor from a new one */
    bool known, hung_up;
    int64_t due_ns; /* 0: never, or told */
} watched;

typedef struct {
    int fd;
    int64_t deadline_ns, left;
} lingering;

struct qv__watch {
    pthread_t thread;
    bool started;
    int epoll, wake;
    void (*hung_up)(void *user), (*late)(void *user);
    /* Held while they run; the job's and the engine's locks come after it. */
    pthread_mutex_t lock;
    watched *entries; /* by descriptor */
    int entry_count;
    bool closing;
    /* Separate, so that deadlines do not wait for a cancel. Innermost. */
    pthread_mutex_t peer_lock;
    qv__peer *peers;
    lingering linger[LINGER_MAX];
    int linger_count;
};

static const uint64_t wake_mark = UINT64_MAX, linger_mark = UINT64_MAX - 1;

static void report(qv__watch *w, uint64_t data) {
    int fd = (int)(data & 0xFFFFFFFF);
    pthread_mutex_lock(&w->lock);
    watched *e = fd < w->entry_count ? &w->entries[fd] : NULL;
    if (e && e->known && e->generation == (uint32_t)(data >> 32)) {
        e->hung_up = true;
        if (e->user) w->hung_up(e->user);
    }
    pthread_mutex_unlock(&w->lock);
}

/* True when the socket is done with. */
static bool read_out(lingering *l, int64_t now) {
    static char sink[65536]; /* only the watch thread is here */
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(l->fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return true;
        if (n < 0) break;
        if ((l->left -= n) <= 0) return true;
    }
    return now > l->deadline_ns;
}

static void tend_lingering(qv__watch *w) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&w->peer_lock);
    for (int i = 0; i < w->linger_count;) {
        if (!read_out(&w->linger[i], now)) {
            i++;
            continue;
        }
        close(w->linger[i].fd); /* leaves the epoll set with its last reference */
        w->linger[i] = w->linger[--w->linger_count];
    }
    pthread_mutex_unlock(&w->peer_lock);
}

static void end_late_peers(qv__watch *w) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&w->peer_lock);
    for (qv__peer *p = w->peers; p; p = p->next) {
        int64_t deadline = p->deadline_ns;
        /* its thread may set another one just now, and that one counts */
        if (deadline && now > deadline && atomic_compare_exchange_strong(&p->deadline_ns, &deadline, 0))
            shutdown(p->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&w->peer_lock);
}

static void tell_late(qv__watch *w) {
    int64_t now = qv__now_ns();
    pthread_mutex_lock(&w->lock);
    for (int fd = 0; fd < w->entry_count; fd++) {
        watched *e = &w->entries[fd];
        if (!e->user || !e->due_ns || now < e->due_ns) continue;
        e->due_ns = 0;
        w->late(e->user);
    }
    pthread_mutex_unlock(&w->lock);
}

static void *watch_main(void *context) {
    qv__watch *w = context;
    int64_t last_sweep = 0;
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(w->epoll, events, 64, TICK_MS);
        pthread_mutex_lock(&w->lock);
        bool closing = w->closing;
        pthread_mutex_unlock(&w->lock);
        if (closing) break;
        for (int i = 0; i < n; i++)
            if (events[i].data.u64 != wake_mark && events[i].data.u64 != linger_mark) report(w, events[i].data.u64);
        tend_lingering(w);
        if (qv__now_ns() - last_sweep > (int64_t)TICK_MS * 1000000) {
            end_late_peers(w);
            tell_late(w);
            last_sweep = qv__now_ns();
        }
    }
    return NULL;
}

qv__watch *qv__watch_open(void (*hung_up)(void *user), void (*late)(void *user)) {
    qv__watch *w = qv__calloc(1, sizeof *w);
    if (!w) return NULL;
    w->hung_up = hung_up;
    w->late = late;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->peer_lock, NULL);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = wake_mark};
    w->started = w->epoll >= 0 && w->wake >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &event) == 0 &&
                 pthread_create(&w->thread, NULL, watch_main, w) == 0;
    if (!w->started) qv__watch_close(&w);
    return w;
}

void qv__watch_close(qv__watch **watch) {
    qv__watch *w = *watch;
    if (!w) return;
    if (w->started) {
        pthread_mutex_lock(&w->lock);
        w->closing = true;
        pthread_mutex_unlock(&w->lock);
        (void)!write(w->wake, &(uint64_t){1}, 8);
        pthread_join(w->thread, NULL);
    }
    for (int i = 0; i < w->linger_count; i++) close(w->linger[i].fd);
    if (w->epoll >= 0) close(w->epoll);
    if (w->wake >= 0) close(w->wake);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->peer_lock);
    qv__free(w->entries);
    qv__free(w);
    *watch = NULL;
}

static bool make_room(qv__watch *w, int fd) {
    if (fd < w->entry_count) return true;
    int count = w->entry_count ? w->entry_count : 64;
    while (count <= fd) count *= 2;
    watched *entries = qv__realloc(w->entries, (size_t)count * sizeof *entries);
    if (!entries) return false;
    for (int i = w->entry_count; i < count; i++) entries[i] = (watched){0};
    w->entries = entries;
    w->entry_count = count;
    return true;
}

static struct epoll_event event_of(int fd, const watched *e) {
    return (struct epoll_event){.events = EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)e->generation << 32 | (uint32_t)fd};
}

bool qv__watch_add(qv__watch *w, int fd, void *user, int64_t due_ns) {
    pthread_mutex_lock(&w->lock);
    watched *e = fd >= 0 && fd < w->entry_count ? &w->entries[fd] : NULL;
    bool ok = e && e->known;
    if (ok) {
        e->user = user;
        e->due_ns = due_ns;
    }
    if (ok && e->hung_up) { /* before anybody asked: the event is asked for again */
        struct epoll_event event = event_of(fd, e);
        epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &event);
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

void qv__watch_remove(qv__watch *w, int fd) {
    pthread_mutex_lock(&w->lock);
    w->entries[fd].user = NULL;
    pthread_mutex_unlock(&w->lock);
}

void qv__watch_hang_up_all(qv__watch *w) {
    pthread_mutex_lock(&w->lock);
    for (int fd = 0; fd < w->entry_count; fd++)
        if (w->entries[fd].user) w->hung_up(w->entries[fd].user);
    pthread_mutex_unlock(&w->lock);
}

void qv__watch_linger(qv__watch *w, int fd) {
    pthread_mutex_lock(&w->peer_lock);
    int copy = w->linger_count < LINGER_MAX ? dup(fd) : -1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = linger_mark};
    if (copy >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, copy, &event) == 0)
        w->linger[w->linger_count++] =
            (lingering){copy, qv__now_ns() + LINGER_SECONDS * (int64_t)1000000000, linger_bytes};
    else if (copy >= 0)
        close(copy);
    pthread_mutex_unlock(&w->peer_lock);
}

/* The socket is in the epoll set as long as it is open: two calls for a connection, none for a request. */
static void begin_watching(qv__watch *w, int fd) {
    pthread_mutex_lock(&w->lock);
    if (fd >= 0 && make_room(w, fd)) {
        watched *e = &w->entries[fd];
        /* generations stay below the two marks */
        *e = (watched){.generation = (e->generation + 1) & 0x7FFFFFFF};
        struct epoll_event event = event_of(fd, e);
        e->known = epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    }
    pthread_mutex_unlock(&w->lock);
}

static void end_watching(qv__watch *w, int fd) {
    pthread_mutex_lock(&w->lock);
    if (fd >= 0 && fd < w->entry_count && w->entries[fd].known) {
        w->entries[fd].known = false;
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL);
    }
    pthread_mutex_unlock(&w->lock);
}

void qv__watch_peer_add(qv__watch *w, qv__peer *peer) {
    begin_watching(w, peer->fd);
    pthread_mutex_lock(&w->peer_lock);
    peer->previous = NULL;
    peer->next = w->peers;
    if (w->peers) w->peers->previous = peer;
    w->peers = peer;
    pthread_mutex_unlock(&w->peer_lock);
}

void qv__watch_peer_remove(qv__watch *w, qv__peer *peer) {
    end_watching(w, peer->fd);
    pthread_mutex_lock(&w->peer_lock);
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        w->peers = peer->next;
    if (peer->next) peer->next->previous = peer->previous;
    pthread_mutex_unlock(&w->peer_lock);
}
