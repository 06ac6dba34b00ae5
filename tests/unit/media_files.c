/* Where pictures are read from: paths, file: and data: URLs, and what a root keeps out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "media/media.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static char sandbox[] = "/tmp/qvec-media-XXXXXX";

static void write_file(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", sandbox, name);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
}

static void make_sandbox(void) {
    char path[256], target[256];
    CHECK(mkdtemp(sandbox));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", sandbox, i ? "root/sub" : "root");
        CHECK(!mkdir(path, 0700));
    }
    write_file("secret", "secret");
    write_file("root/in", "in");
    write_file("root/sub/a b", "deep");
    write_file("root/empty", "");
    snprintf(path, sizeof path, "%s/root/link", sandbox);
    CHECK(!symlink("../secret", path));
    snprintf(path, sizeof path, "%s/root/absolute", sandbox);
    snprintf(target, sizeof target, "%s/secret", sandbox);
    CHECK(!symlink(target, path));
    snprintf(path, sizeof path, "%s/root/inner", sandbox);
    CHECK(!symlink("in", path));
    snprintf(path, sizeof path, "%s/root/folder", sandbox);
    CHECK(!symlink("sub", path));
    snprintf(path, sizeof path, "%s/root/fifo", sandbox);
    CHECK(!mkfifo(path, 0600));
}

static void remove_sandbox(void) {
    static const char *const names[] = {"root/fifo",   "root/absolute", "root/link",    "root/inner",
                                        "root/folder", "root/empty",    "root/sub/a b", "root/in",
                                        "secret",      "root/sub",      "root",         ""};
    char path[256];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", sandbox, names[i]);
        remove(path);
    }
    strcpy(sandbox + strlen(sandbox) - 6, "XXXXXX");
}

/* Loads `name` ("@" stands for the sandbox) and gives the content, or the status' name. Static buffer. */
static const char *load(const char *name, const char *relative_to, bool rooted) {
    static char text[64];
    char path[512], root[256];
    void *data;
    size_t size;
    qv_error err = {0};
    snprintf(root, sizeof root, "%s/root", sandbox);
    const char *at = strchr(name, '@');
    if (at)
        snprintf(path, sizeof path, "%.*s%s%s", (int)(at - name), name, sandbox, at + 1);
    else
        snprintf(path, sizeof path, "%s", name);
    qv_status status = qv__media_load(path, relative_to, rooted ? root : NULL, NULL, &data, &size, &err);
    if (status) {
        CHECK(err.message[0] && !data && !size);
        return qv_status_name(status);
    }
    snprintf(text, sizeof text, "%.*s", (int)size, (char *)data);
    qv__free(data);
    return text;
}

TEST(files) {
    make_sandbox();
    CHECK_STR(load("@/root/in", NULL, false), "in");
    CHECK_STR(load("root/in", sandbox, false), "in");
    CHECK_STR(load("@/root/link", NULL, false), "secret");
    CHECK_STR(load("file://@/root/sub/a%20b", NULL, false), "deep");
    CHECK_STR(load("file://localhost@/root/sub/a%20b", NULL, false), "deep");
    CHECK_STR(load("@/root/empty", NULL, false), "");
    static const char *const refused[] = {"@/none",
                                          "@/root",
                                          "@/root/fifo",
                                          "file://host/x",
                                          "file://@/root/%zz",
                                          "",
                                          "file://@/root/in%00",
                                          "http://example.com/a.png",
                                          "HTTPS://example.com/a.png",
                                          "ftp://example.com/a.png"};
    for (size_t i = 0; i < COUNT(refused); i++) CHECK_STR(load(refused[i], NULL, false), "media_source");
    remove_sandbox();
}

static void check_files_below_a_root(void) {
    make_sandbox();
    CHECK_STR(load("in", NULL, true), "in");
    CHECK_STR(load("sub/a b", NULL, true), "deep");
    CHECK_STR(load("sub/../in", NULL, true), "in");
    CHECK_STR(load("@/root/in", NULL, true), "in");
    CHECK_STR(load("file://@/root/sub/a%20b", NULL, true), "deep");
    static const char *const refused[] = {"../secret",
                                          "sub/../../secret",
                                          "@/secret",
                                          "@/root/../secret",
                                          "link",
                                          "@/rootless",
                                          "absolute",
                                          "inner",
                                          "folder/a b",
                                          "fifo",
                                          "sub",
                                          "@/root",
                                          "/etc/passwd",
                                          "none",
                                          "file:///etc/passwd",
                                          "file://@/root/%2e%2e/secret",
                                          "/proc/self/root/etc/passwd"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        const char *got = load(refused[i], NULL, true);
        CHECK_MSG(!strcmp(got, "media_source"), "%s: %s", refused[i], got);
    }
    remove_sandbox();
}

TEST(files_below_a_root) {
    check_files_below_a_root();
}

/* The same where the kernel (or a sandbox) has no openat2: a filter makes it fail in a child process. */
TEST(files_below_a_root_by_hand) {
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sock_filter rules[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {COUNT(rules), rules};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(2);
        make_sandbox();
        bool good = !strcmp(load("in", NULL, true), "in") && !strcmp(load("sub/a b", NULL, true), "deep") &&
                    !strcmp(load("@/root/sub//a b", NULL, true), "deep");
        static const char *const refused[] = {"../secret", "sub/../in", "link", "absolute", "inner", "folder/a b",
                                              "fifo",      "sub",       "sub/", "none",     "in/x"};
        for (size_t i = 0; i < COUNT(refused); i++) good &= !strcmp(load(refused[i], NULL, true), "media_source");
        remove_sandbox();
        _exit(!good);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) check_skip("no system call filters here");
    CHECK_INT(WEXITSTATUS(status), 0);
}

/* A folder and a link to a folder outside change places all the time, while a file is read through their name. */
typedef struct {
    char here[256], there[256];
    atomic_bool stop;
} swap;

static void *swap_names(void *context) {
    swap *s = context;
    while (!s->stop) renameat2(AT_FDCWD, s->here, AT_FDCWD, s->there, RENAME_EXCHANGE);
    return NULL;
}

static void make_swap(swap *s) {
    snprintf(s->here, sizeof s->here, "%s/root/way", sandbox);
    snprintf(s->there, sizeof s->there, "%s/root/other", sandbox);
    CHECK(!mkdir(s->here, 0700) && !symlink(sandbox, s->there)); /* other/secret is outside */
    write_file("root/way/secret", "inside");
}

TEST(files_below_a_root_while_names_change) {
    make_sandbox();
    static swap s;
    make_swap(&s);
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, swap_names, &s));
    int inside = 0, refused = 0, escaped = 0;
    for (int i = 0; i < 20000; i++) {
        const char *got = load("way/secret", NULL, true);
        inside += !strcmp(got, "inside");
        refused += !strcmp(got, "media_source");
        escaped += !strcmp(got, "secret");
    }
    s.stop = true;
    pthread_join(thread, NULL);
    char path[300];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/secret", i ? s.there : s.here);
        struct stat st;
        if (!lstat(i ? s.there : s.here, &st) && S_ISDIR(st.st_mode)) remove(path);
        remove(i ? s.there : s.here);
    }
    remove_sandbox();
    CHECK_INT(escaped, 0);
    CHECK_MSG(inside > 0 && refused > 0 && inside + refused == 20000, "%d inside, %d refused", inside, refused);
}

TEST(data_urls) {
    CHECK_STR(load("data:image/png;base64,aGVsbG8=", NULL, false), "hello");
    CHECK_STR(load("data:;base64,aGVsbG8", NULL, true), "hello");
    CHECK_STR(load("DATA:text/plain;charset=x;BASE64,aGVsbG8=", NULL, true), "hello");
    static const char *const refused[] = {"data:image/png,hello", "data:image/png;base64", "data:;base64,a",
                                          "data:base64,aGVsbG8=", "data:;base64,aGV$bG8="};
    for (size_t i = 0; i < COUNT(refused); i++) CHECK_STR(load(refused[i], NULL, false), "media_source");
    qv__media_limits limits = qv__media_default_limits;
    limits.max_bytes = 4;
    void *data;
    size_t size;
    qv_error err = {0};
    CHECK_INT(qv__media_load("data:;base64,aGVsbG8=", NULL, NULL, &limits, &data, &size, &err), QV_MEDIA_LIMIT);
    CHECK_MSG(strstr(err.message, "limit of 4 bytes"), "%s", err.message);
}
