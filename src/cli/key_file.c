#include "cli/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

enum { FILE_MAX = 1 << 20, KEY_MAX = 4096 };

static qv_status read_all(int fd, const char *path, char **text, size_t *size, qv_error *err) {
    struct stat s;
    if (fstat(fd, &s)) return qv__fail(err, QV_IO, "%.200s: %s", path, strerror(errno));
    if (S_ISDIR(s.st_mode)) return qv__fail(err, QV_IO, "%.200s is a folder, not a file of API keys", path);
    if (S_ISREG(s.st_mode) && s.st_mode & (S_IRWXG | S_IRWXO))
        qv__log(QV__LOG_WARN, "%.200s holds API keys and has mode %03o: others may read it; chmod 600 would stop that",
                path, s.st_mode & 0777);
    if (!(*text = qv__malloc(FILE_MAX + 1))) return qv__fail(err, QV_NO_MEMORY, "no memory for the API keys");
    for (*size = 0; *size <= FILE_MAX;) { /* a pipe or a socket of a secret store gives it in pieces */
        ssize_t n = read(fd, *text + *size, FILE_MAX + 1 - *size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return qv__fail(err, QV_IO, "%.200s: %s", path, strerror(errno));
        if (n == 0) return QV_OK;
        *size += (size_t)n;
    }
    return qv__fail(err, QV_TOO_LARGE, "%.200s has more than %d bytes, the most for a file of API keys", path,
                    FILE_MAX);
}

/* A line without the white space around it; NULL for one that holds no key. */
static const char *key_of(char *line, size_t size) {
    while (size && strchr(" \t\r", line[size - 1])) size--;
    line[size] = 0;
    while (*line == ' ' || *line == '\t') line++;
    return *line && *line != '#' ? line : NULL;
}

static qv_status check_key(const char *key, const char *path, int line, qv_error *err) {
    size_t size = strlen(key);
    if (size > KEY_MAX)
        return qv__fail(err, QV_INVALID_ARGUMENT, "%.200s, line %d: a key has at most %d characters", path, line,
                        KEY_MAX);
    for (size_t i = 0; i < size; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return qv__fail(err, QV_INVALID_ARGUMENT,
                            "%.200s, line %d: a key is made of visible ASCII characters, without spaces", path, line);
    return QV_OK;
}

static qv_status cut(const char *path, size_t size, qv__key_file *out, qv_error *err) {
    int number = 1;
    if (memchr(out->text, 0, size)) return qv__fail(err, QV_INVALID_ARGUMENT, "%.200s is not a text file", path);
    for (char *line = out->text, *end = line + size; line < end; number++) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        const char *key = key_of(line, (size_t)(next - line));
        qv_status status = key ? check_key(key, path, number, err) : QV_OK;
        if (status) return status;
        if (key && !qv__words_add(&out->keys, key, 0)) return qv__fail(err, QV_NO_MEMORY, "no memory for the API keys");
        line = next + 1;
    }
    if (out->keys.count) return QV_OK;
    return qv__fail(err, QV_INVALID_ARGUMENT, "%.200s holds no API key: one a line, # begins a comment", path);
}

qv_status qv__key_file_read(const char *path, qv__key_file *out, qv_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return qv__fail(err, QV_IO, "%.200s: %s", path, strerror(errno));
    size_t size = 0;
    qv_status status = read_all(fd, path, &out->text, &size, err);
    close(fd);
    return status ? status : cut(path, size, out, err);
}

void qv__key_file_clear(qv__key_file *file) {
    if (file->text) explicit_bzero(file->text, FILE_MAX + 1);
    qv__free(file->text);
    qv__words_clear(&file->keys);
    *file = (qv__key_file){0};
}
