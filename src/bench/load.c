#include "bench/load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "bench/load_worker.h"

enum { EVENTS = 64, BURST = 64, SLICE_MS = 100, WATCH_NS = 50000000, OTHER_FILES = 64, THREADS_MAX = 256 };

int64_t qv__load_now(const qv__load_shared *shared) {
    return qv__now_ns() - shared->start_ns;
}

/* ---- one thread ---- */

/* Takes the next request if it is due. *wait_ns: when the next one is due; -1: there is none. */
static bool claim(qv__load_worker *w, size_t *index, int64_t *wait_ns) {
    qv__load_shared *s = w->shared;
    const double *due = s->load->due;
    size_t i = s->next;
    *wait_ns = -1;
    while (i < s->load->count) {
        int64_t at = due ? (int64_t)(due[i] * 1e9) : 0;
        if (at > qv__load_now(s)) return *wait_ns = at, false;
        if (atomic_compare_exchange_weak(&s->next, &i, i + 1)) return *index = i, true;
    }
    return false;
}

static void arm(qv__load_worker *w, int64_t at_ns) {
    if (at_ns < 0 || w->armed_ns == at_ns) return;
    int64_t at = w->shared->start_ns + at_ns;
    struct itimerspec when = {.it_value = {at / 1000000000, at % 1000000000}};
    timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL);
    w->armed_ns = at_ns;
}

/* Sends what is due, a burst at most. True: there may be more to send at once. */
static bool send_due(qv__load_worker *w) {
    int64_t wait_ns = -1;
    size_t i;
    int sent = 0;
    while (w->open < w->limit && sent < BURST && claim(w, &i, &wait_ns)) {
        qv__connection_start(w, i);
        sent++;
    }
    if (w->open < w->limit) arm(w, wait_ns);
    return sent == BURST;
}

static bool is_over(const qv__load_worker *w) {
    return w->shared->stop || (w->open == 0 && !w->complete && w->shared->next >= w->shared->load->count);
}

static void handle(qv__load_worker *w, const struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t expirations;
        if (events[i].data.ptr)
            qv__connection_event(w, events[i].data.ptr, events[i].events);
        else if (read(w->timer, &expirations, sizeof expirations) < 0)
            continue; /* set anew in the meantime */
    }
}

static void loop(qv__load_worker *w) {
    struct epoll_event events[EVENTS];
    int64_t expired_ns = 0;
    while (!is_over(w)) {
        bool more = send_due(w);
        int count = epoll_wait(w->epoll, events, EVENTS, more ? 0 : SLICE_MS);
        handle(w, events, count < 0 ? 0 : count);
        qv__connection_settle(w);
        int64_t now = qv__load_now(w->shared);
        if (now - expired_ns < SLICE_MS * 1000000LL) continue;
        qv__connection_expire(w);
        expired_ns = now;
    }
}

static int64_t thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *run_worker(void *context) {
    qv__load_worker *w = context;
    int64_t cpu = thread_cpu_ns();
    loop(w);
    w->cpu_ns = thread_cpu_ns() - cpu;
    w->wall_ns = qv__load_now(w->shared);
    qv__connection_close_all(w);
    return NULL;
}

static qv_status open_worker(qv__load_worker *w, qv_error *err) {
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    w->buffer = qv__malloc(QV__LOAD_READ_BYTES);
    w->armed_ns = -1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (!w->buffer) return qv__fail(err, QV_NO_MEMORY, "out of memory for a thread that sends");
    if (w->epoll >= 0 && w->timer >= 0 && !epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->timer, &event)) return QV_OK;
    return qv__fail(err, QV_IO, "a thread that sends cannot be set up: %s", strerror(errno));
}

static void close_worker(qv__load_worker *w) {
    if (w->epoll >= 0) close(w->epoll);
    if (w->timer >= 0) close(w->timer);
    qv__free(w->buffer);
}

/* ---- all threads ---- */

/* As many open files as the system lets us have; gives how many requests that is. */
static int64_t raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return 256;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= 2 * OTHER_FILES) return OTHER_FILES;
    return limit.rlim_cur == RLIM_INFINITY ? INT32_MAX : (int64_t)limit.rlim_cur - OTHER_FILES;
}

/* Requests that may be under way at a time. */
static int64_t find_limit(const qv__load *load, qv__load_totals *totals) {
    int64_t files = raise_file_limit(), limit = (int64_t)load->count;
    if (load->max_concurrency && load->max_concurrency < limit) limit = load->max_concurrency;
    if (limit <= files) return limit;
    totals->file_limit = files;
    return files;
}

static void watch(const qv__load *load, qv__load_shared *s) {
    while (s->done < (int64_t)load->count && !s->stop) {
        nanosleep(&(struct timespec){.tv_nsec = WATCH_NS}, NULL);
        if (load->watch && load->watch(load->user, s->done, s->failed, s->tokens)) s->stop = true;
    }
}

static void add_up(const qv__load_shared *s, const qv__load_worker *workers, int count, qv__load_totals *totals) {
    int64_t last = 0;
    for (size_t i = 0; i < s->load->count; i++)
        if (s->results[i].done_ns > last) last = s->results[i].done_ns;
    totals->seconds = (double)last / 1e9;
    totals->peak_open = s->peak;
    totals->stopped = s->done < (int64_t)s->load->count;
    for (int t = 0; t < count; t++) {
        double share = workers[t].wall_ns ? (double)workers[t].cpu_ns / (double)workers[t].wall_ns : 0;
        if (share > totals->busiest) totals->busiest = share;
        totals->cpu_seconds += (double)workers[t].cpu_ns / 1e9;
        totals->connections += workers[t].connections;
        totals->sent_again += workers[t].sent_again;
    }
}

/* Threads that could not be started leave their share to nobody, so that is a failure. */
static qv_status run_all(qv__load_shared *s, qv__load_worker *workers, int count, qv_error *err) {
    int started = 0;
    qv_status status = QV_OK;
    s->start_ns = qv__now_ns();
    for (; started < count && !status; started++)
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started])) {
            status = qv__fail(err, QV_IO, "thread %d of %d cannot be started", started + 1, count);
            break;
        }
    if (status)
        s->stop = true;
    else
        watch(s->load, s);
    for (int t = 0; t < started; t++) pthread_join(workers[t].thread, NULL);
    return status;
}

qv_status qv__load_run(const qv__load *load, qv__load_result *results, qv__load_totals *totals, qv_error *err) {
    qv__load_shared shared = {.load = load, .results = results};
    *totals = (qv__load_totals){0};
    memset(results, 0, load->count * sizeof *results);
    if (!load->count) return QV_OK;
    int64_t limit = find_limit(load, totals);
    int count = load->threads < 1 ? 1 : load->threads > THREADS_MAX ? THREADS_MAX : load->threads;
    if (count > limit) count = (int)limit;
    qv__load_worker *workers = qv__calloc((size_t)count, sizeof *workers);
    if (!workers) return qv__fail(err, QV_NO_MEMORY, "out of memory for %d threads", count);
    qv_status status = QV_OK;
    for (int t = 0; t < count; t++) {
        workers[t] = (qv__load_worker){.shared = &shared, .epoll = -1, .timer = -1};
        workers[t].limit = limit / count + (t < limit % count);
        if (!status) status = open_worker(&workers[t], err);
    }
    if (!status) status = run_all(&shared, workers, count, err);
    if (!status) add_up(&shared, workers, count, totals);
    for (int t = 0; t < count; t++) close_worker(&workers[t]);
    qv__free(workers);
    return status;
}

void qv__load_clear(qv__load_result *results, size_t count) {
    for (size_t i = 0; i < count; i++) qv__free(results[i].error);
}
