#include "base/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/memory.h"

/* A job is announced by raising `generation`; helpers take task numbers from `next` until none is left and
 * count themselves out in `finished`. The caller may not touch the job's fields again until every helper
 * that could still read them has left, hence the wait for all of them. */
struct qv__threads {
    int count; /* helpers + the caller */
    pthread_t *helpers;
    _Atomic unsigned generation; /* futex word */
    _Atomic int finished;        /* helpers done with this generation; futex word */
    _Atomic bool closing;
    _Atomic size_t next;
    size_t tasks;
    void (*task)(void *, size_t, int);
    void *context;
    struct helper {
        qv__threads *threads;
        int worker;
    } * info;
};

enum { AFFINITY_MAX = 1 << 20 };
enum { SPIN_NS = 50000 }; /* longer than a layer's gaps, short enough to leave an idle machine idle */

static void futex_wait(void *word, int expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}
static void futex_wake(void *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(qv__threads *t, int worker) {
    for (size_t i; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < t->tasks;)
        t->task(t->context, i, worker);
}

static void *helper_main(void *argument) {
    struct helper *h = argument;
    qv__threads *t = h->threads;
    unsigned seen = 0;
    for (;;) {
        int64_t give_up = qv__now_ns() + SPIN_NS;
        unsigned g;
        int turns = 0;
        while ((g = atomic_load_explicit(&t->generation, memory_order_acquire)) == seen) {
            relax();
            if (++turns % 64 == 0 && qv__now_ns() > give_up) futex_wait(&t->generation, (int)seen);
        }
        seen = g;
        if (t->closing) return NULL;
        work(t, h->worker);
        if (atomic_fetch_add_explicit(&t->finished, 1, memory_order_acq_rel) + 2 == t->count) futex_wake(&t->finished);
    }
}

qv__threads *qv__threads_open(int count) {
    if (count < 1) count = 1;
    qv__threads *t = qv__calloc(1, sizeof *t);
    if (!t) return NULL;
    t->count = 1;
    t->helpers = qv__calloc((size_t)count, sizeof *t->helpers);
    t->info = qv__calloc((size_t)count, sizeof *t->info);
    if (!t->helpers || !t->info) return qv__threads_close(&t), NULL;
    for (int i = 0; i < count - 1; i++) {
        t->info[i] = (struct helper){t, i + 1};
        if (pthread_create(&t->helpers[i], NULL, helper_main, &t->info[i])) return qv__threads_close(&t), NULL;
        t->count++;
    }
    return t;
}

void qv__threads_close(qv__threads **threads) {
    qv__threads *t = *threads;
    if (!t) return;
    t->closing = true;
    atomic_fetch_add(&t->generation, 1);
    futex_wake(&t->generation);
    for (int i = 0; i < t->count - 1; i++) pthread_join(t->helpers[i], NULL);
    qv__free(t->helpers);
    qv__free(t->info);
    qv__free(t);
    *threads = NULL;
}

int qv__threads_count(const qv__threads *threads) {
    return threads->count;
}

void qv__threads_run(qv__threads *t, size_t tasks, void (*task)(void *, size_t, int), void *context) {
    if (t->count == 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
    t->task = task;
    t->context = context;
    t->tasks = tasks;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_store_explicit(&t->finished, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->generation, 1, memory_order_acq_rel);
    futex_wake(&t->generation);
    work(t, 0);
    int64_t give_up = qv__now_ns() + SPIN_NS;
    int done, turns = 0;
    while ((done = atomic_load_explicit(&t->finished, memory_order_acquire)) < t->count - 1) {
        relax();
        if (++turns % 64 == 0 && qv__now_ns() > give_up) futex_wait(&t->finished, done);
    }
}

/* CPUs of the affinity mask. The kernel refuses a set that is smaller than its own, so it grows. 0: unknown. */
static int affinity_cpus(void) {
    for (size_t cpus = 64; cpus <= AFFINITY_MAX; cpus *= 2) {
        size_t size = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = qv__calloc(1, size);
        if (!set) return 0;
        bool fits = sched_getaffinity(0, size, set) == 0;
        int count = fits ? CPU_COUNT_S(size, set) : 0;
        bool larger = !fits && errno == EINVAL;
        qv__free(set);
        if (!larger) return count;
    }
    return 0;
}

int qv__cpu_count(void) {
    int n = affinity_cpus();
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int limit = qv__cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit > 0 && limit < n) n = limit;
    return n < 1 ? 1 : n;
}
