#include "check.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TESTS = 512 };
static struct {
    const char *name;
    check_function function;
} tests[MAX_TESTS];
static int test_count;
static jmp_buf escape;
static enum { PASSED, FAILED, SKIPPED } outcome;
static char reason[2048];

void check_register(const char *name, check_function function) {
    if (test_count == MAX_TESTS) abort();
    tests[test_count].name = name;
    tests[test_count++].function = function;
}

void check_fail(const char *file, int line, const char *format, ...) {
    char text[1536];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(reason, sizeof reason, "%s:%d: %s", file, line, text);
    outcome = FAILED;
    longjmp(escape, 1);
}

void check_skip(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    outcome = SKIPPED;
    longjmp(escape, 1);
}

uint64_t check_seed(void) {
    static uint64_t seed;
    if (!seed) {
        const char *given = getenv("QVEC_TEST_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
        if (!seed) seed = 1;
        printf("# QVEC_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

uint64_t check_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x2545F4914F6CDD1Du;
}

double check_uniform(uint64_t *state) {
    return (double)(check_random(state) >> 11) * 0x1p-52 - 1.0;
}

void *check_guarded(size_t size, bool at_start) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (size + page - 1) / page * page + (size == 0 ? page : 0);
    char *base = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + page, body, PROT_READ | PROT_WRITE)) abort();
    return at_start ? base + page : base + page + body - size;
}

static const char *join(const char *variable, const char *fallback, const char *relative) {
    static char path[4][4096];
    static int turn;
    const char *root = getenv(variable);
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root ? root : fallback, relative);
    return path[turn];
}
const char *check_source_path(const char *relative) {
    return join("QVEC_TEST_SOURCE", "tests", relative);
}
const char *check_build_path(const char *relative) {
    return join("QVEC_TEST_BUILD", "build/tests", relative);
}

enum { MAX_FOLDERS = 256 };
static char folders[MAX_FOLDERS][32];
static int folder_count;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    (void)status, (void)kind, (void)at;
    return remove(path);
}

static void remove_folders(void) {
    for (int i = 0; i < folder_count; i++) nftw(folders[i], remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *check_folder(void) {
    if (folder_count == MAX_FOLDERS) abort();
    if (folder_count == 0) atexit(remove_folders);
    char *folder = folders[folder_count];
    snprintf(folder, sizeof folders[0], "/tmp/qvec-test-XXXXXX");
    if (!mkdtemp(folder)) check_fail(__FILE__, __LINE__, "cannot make a folder in /tmp");
    folder_count++;
    return folder;
}

const char *check_write(const char *folder, const char *name, const void *data, size_t size) {
    static char path[4096];
    const char *slash = strchr(name, '/');
    if (slash) {
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)(slash - name), name);
        mkdir(path, 0755);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) check_fail(__FILE__, __LINE__, "cannot write %s", path);
    return path;
}

/* In a function of its own, so that no local of main's loop lives across setjmp. */
static void run_one(check_function function) {
    outcome = PASSED;
    if (setjmp(escape) == 0) function();
}

int main(int argc, char **argv) {
    int failures = 0, number = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < test_count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1])) continue;
        run_one(tests[i].function);
        number++;
        for (char *c = reason; outcome != PASSED && *c; c++)
            if (*c == '\n' || *c == '#') *c = ' ';
        if (outcome == PASSED)
            printf("ok %d - %s\n", number, tests[i].name);
        else if (outcome == SKIPPED)
            printf("ok %d - %s # SKIP %s\n", number, tests[i].name, reason);
        else
            printf("not ok %d - %s\n# %s\n", number, tests[i].name, reason), failures++;
    }
    printf("1..%d\n", number);
    return failures ? 1 : 0;
}
