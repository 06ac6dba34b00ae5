/* The C tests' harness. A test file is a list of TEST(name) { ... } blocks, linked with check.c, which runs
 * them all (or those whose name contains argv[1]) and prints TAP. A failed CHECK ends its test only. */
#ifndef QVEC_TESTS_CHECK_H
#define QVEC_TESTS_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef void (*check_function)(void);
void check_register(const char *name, check_function function);
/* Each of these ends the running test. */
_Noreturn __attribute__((format(printf, 3, 4))) void check_fail(const char *file, int line, const char *format, ...);
_Noreturn __attribute__((format(printf, 1, 2))) void check_skip(const char *format, ...);

/* A seed that is printed, and can be set again with QVEC_TEST_SEED. check_random: xorshift over it. */
uint64_t check_seed(void);
uint64_t check_random(uint64_t *state); /* 64 random bits */
double check_uniform(uint64_t *state);  /* [-1, 1) */

/* `size` bytes that end (or begin, with at_start) at a page that faults: reads past the end are caught.
 * Freed at exit. */
void *check_guarded(size_t size, bool at_start);
/* A new empty folder; it and what is in it are removed at exit. */
const char *check_folder(void);
/* Writes folder/name (name may have one level of folders, which are made) and returns its path; static buffer. */
const char *check_write(const char *folder, const char *name, const void *data, size_t size);
/* Path below the build's or source's test data; static buffer. */
const char *check_source_path(const char *relative); /* below tests/ in the source tree */
const char *check_build_path(const char *relative);  /* below the build folder's tests/ */

#define TEST(name)                                                                                                     \
    static void test_##name(void);                                                                                     \
    __attribute__((constructor)) static void register_##name(void) {                                                   \
        check_register(#name, test_##name);                                                                            \
    }                                                                                                                  \
    static void test_##name(void)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) check_fail(__FILE__, __LINE__, "%s", #condition);                                            \
    } while (0)
#define CHECK_MSG(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) check_fail(__FILE__, __LINE__, __VA_ARGS__);                                                 \
    } while (0)
#define CHECK_INT(actual, expected)                                                                                    \
    do {                                                                                                               \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                                                \
        if (a_ != e_) check_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #actual, a_, e_);                    \
    } while (0)
#define CHECK_STR(actual, expected)                                                                                    \
    do {                                                                                                               \
        const char *a_ = (actual), *e_ = (expected);                                                                   \
        if (!a_ || strcmp(a_, e_))                                                                                     \
            check_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual, a_ ? a_ : "(null)", e_);          \
    } while (0)
/* For functions that return qv_status and fill `err`: success, or this status with `words` in the message. */
#define CHECK_OK(call, err)                                                                                            \
    do {                                                                                                               \
        int s_ = (call);                                                                                               \
        if (s_) check_fail(__FILE__, __LINE__, "%s: status %d: %s", #call, s_, (err).message);                         \
    } while (0)
#define CHECK_FAILS(call, code, words, err)                                                                            \
    do {                                                                                                               \
        int s_ = (call);                                                                                               \
        if (s_ != (code) || !strstr((err).message, (words)))                                                           \
            check_fail(__FILE__, __LINE__, "%s: status %d: \"%s\", expected %d with \"%s\"", #call, s_, (err).message, \
                       (int)(code), (words));                                                                          \
    } while (0)
#endif
