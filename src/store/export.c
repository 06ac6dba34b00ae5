#include "store/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/file.h"
#include "store/json.h"
#include "store/quantized.h"

enum { DEPTH_MAX = 2, COPY_MAX = 256 << 20, CONFIG_MAX = 1 << 20, HEADER_ALIGN = 64, FOLDER_MODE = 0755 };

struct qv__export {
    char *folder, *growing; /* where it will be, and is until then; growing NULL: finished */
    int fd;                 /* model.safetensors */
    size_t count;
    uint64_t *offsets, *bytes; /* [count] */
};

static qv_status no_memory(qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for the new folder");
}

static qv_status failed(const char *doing, const char *path, qv_error *err) {
    return qv__fail(err, QV_IO, "cannot %s %s: %s", doing, path, strerror(errno));
}

/* ---- writing -------------------------------------------------------------------------------------- */

static qv_status write_at(int fd, const char *path, const void *data, size_t size, uint64_t offset, qv_error *err) {
    const char *at = data;
    while (size > 0) {
        ssize_t n = pwrite(fd, at, size < 1 << 30 ? size : 1 << 30, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed("write", path, err);
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return QV_OK;
}

static qv_status write_file(const char *folder, const char *name, const void *data, size_t size, qv_error *err) {
    char *path = qv__path_join(folder, name);
    if (!path) return no_memory(err);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    qv_status status = fd < 0 ? failed("create", path, err) : write_at(fd, path, data, size, 0, err);
    if (fd >= 0 && (fsync(fd) | close(fd)) && !status) status = failed("write", path, err);
    qv__free(path);
    return status;
}

/* ---- the other files ------------------------------------------------------------------------------ */

/* Weights in any form, hidden files, and config.json, which is written anew. */
static bool is_left_out(const char *name, int depth) {
    static const char *const ends[] = {
        ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".onnx", ".h5",
        ".msgpack"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0) return true;
    return name[0] == '.' || (depth == 0 && strcmp(name, "config.json") == 0);
}

static qv_status copy_folder(const char *from, const char *to, int depth, qv_error *err);

static qv_status copy_entry(const char *from, const char *to, const char *name, int depth, qv_error *err) {
    char *source = qv__path_join(from, name), *target = qv__path_join(to, name), *data = NULL;
    size_t size = 0;
    struct stat s;
    qv_status status = source && target ? QV_OK : no_memory(err);
    if (!status && stat(source, &s)) status = failed("read", source, err);
    if (!status && S_ISREG(s.st_mode)) {
        status = qv__file_read(source, COPY_MAX, &data, &size, err);
        if (!status) status = write_file(to, name, data, size, err);
    } else if (!status && S_ISDIR(s.st_mode) && depth + 1 < DEPTH_MAX) {
        status =
            mkdir(target, FOLDER_MODE) ? failed("create", target, err) : copy_folder(source, target, depth + 1, err);
    }
    qv__free(data);
    qv__free(source);
    qv__free(target);
    return status;
}

static qv_status copy_folder(const char *from, const char *to, int depth, qv_error *err) {
    DIR *directory = opendir(from);
    if (!directory) return failed("read", from, err);
    qv_status status = QV_OK;
    for (struct dirent *e; !status && (e = readdir(directory));)
        if (!is_left_out(e->d_name, depth)) status = copy_entry(from, to, e->d_name, depth, err);
    closedir(directory);
    return status;
}

static qv_status write_config(const char *from, const char *to, qv_error *err) {
    char *path = qv__path_join(from, "config.json"), *text = NULL;
    json_t *root = NULL, *quantization = NULL;
    qv_status status = path ? qv__json_read(path, CONFIG_MAX, &root, err) : no_memory(err);
    if (!status) {
        quantization = json_pack("{s:s, s:s, s:i, s:i}", "quant_method", "qvec", "format", "int8", "version",
                                 QV__QUANTIZED_VERSION, "group_size", QV__INT8_GROUP);
        if (quantization && !json_object_set(root, "quantization_config", quantization))
            text = json_dumps(root, JSON_INDENT(2));
        status = text ? write_file(to, "config.json", text, strlen(text), err) : no_memory(err);
    }
    free(text); /* jansson's */
    json_decref(quantization);
    json_decref(root);
    qv__free(path);
    return status;
}

/* ---- the tensors ---------------------------------------------------------------------------------- */

static json_t *shape_json(const qv__tensor *t) {
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->shape[i]));
    return shape;
}

/* Length, JSON and spaces up to a cache line: what a safetensors file begins with. *data: malloc'd. */
static qv_status make_header(qv__export *e, const qv__tensor *tensors, char **data, size_t *size, qv_error *err) {
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t at = 0;
    bool whole = root != NULL;
    for (size_t i = 0; whole && i < e->count; i++) {
        const qv__tensor *t = &tensors[i];
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", qv__dtype_name(t->dtype), "shape", shape_json(t),
                                  "data_offsets", (json_int_t)at, (json_int_t)(at + t->bytes));
        whole = entry && !json_object_set_new(root, t->name, entry);
        e->offsets[i] = at;
        e->bytes[i] = t->bytes;
        at += t->bytes;
    }
    char *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    size_t length = text ? strlen(text) : 0;
    *size = (8 + length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    *data = text ? qv__malloc(*size) : NULL;
    if (*data) {
        memset(*data, ' ', *size);
        memcpy(*data + 8, text, length);
        for (int i = 0; i < 8; i++) (*data)[i] = (char)((uint64_t)(*size - 8) >> 8 * i);
        for (size_t i = 0; i < e->count; i++) e->offsets[i] += *size;
    }
    free(text); /* jansson's */
    return *data ? QV_OK : no_memory(err);
}

static qv_status start_tensors(qv__export *e, const qv__tensor *tensors, qv_error *err) {
    char *path = qv__path_join(e->growing, "model.safetensors"), *header = NULL;
    size_t size = 0;
    e->offsets = qv__calloc(e->count, sizeof *e->offsets);
    e->bytes = qv__calloc(e->count, sizeof *e->bytes);
    qv_status status = path && e->offsets && e->bytes ? make_header(e, tensors, &header, &size, err) : no_memory(err);
    if (!status && (e->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
        status = failed("create", path, err);
    if (!status) status = write_at(e->fd, path, header, size, 0, err);
    qv__free(header);
    qv__free(path);
    return status;
}

qv_status qv__export_write(qv__export *e, size_t i, const void *data, qv_error *err) {
    return write_at(e->fd, e->folder, data, e->bytes[i], e->offsets[i], err);
}

/* ---- open, finish, close -------------------------------------------------------------------------- */

/* "FOLDER" -> "FOLDER.XXXXXX", made. */
static qv_status make_growing(qv__export *e, qv_error *err) {
    size_t n = strlen(e->folder);
    while (n > 1 && e->folder[n - 1] == '/') e->folder[--n] = 0;
    char *name = qv__malloc(n + 8);
    if (!name) return no_memory(err);
    snprintf(name, n + 8, "%s.XXXXXX", e->folder);
    if (!mkdtemp(name)) {
        qv_status status = failed("create", name, err);
        qv__free(name);
        return status;
    }
    e->growing = name;
    return chmod(name, FOLDER_MODE) ? failed("change the mode of", name, err) : QV_OK;
}

qv_status qv__export_open(const qv__checkpoint *from, const char *folder, const qv__tensor *tensors, size_t count,
                          qv__export **out, qv_error *err) {
    struct stat s;
    *out = NULL;
    if (lstat(folder, &s) == 0) return qv__fail(err, QV_INVALID_ARGUMENT, "%s exists; it is left as it is", folder);
    qv__export *e = qv__calloc(1, sizeof *e);
    if (!e) return no_memory(err);
    e->fd = -1;
    e->count = count;
    e->folder = qv__strdup(folder);
    qv_status status = e->folder ? make_growing(e, err) : no_memory(err);
    if (!status) status = copy_folder(qv__checkpoint_folder(from), e->growing, 0, err);
    if (!status) status = write_config(qv__checkpoint_folder(from), e->growing, err);
    if (!status) status = start_tensors(e, tensors, err);
    if (status)
        qv__export_close(&e);
    else
        *out = e;
    return status;
}

qv_status qv__export_finish(qv__export *e, qv_error *err) {
    int unwritten = fsync(e->fd) | close(e->fd);
    e->fd = -1;
    if (unwritten) return failed("write", e->growing, err);
    if (renameat2(AT_FDCWD, e->growing, AT_FDCWD, e->folder, RENAME_NOREPLACE)) {
        struct stat s;
        bool unknown = errno == EINVAL || errno == ENOSYS; /* a file system without it */
        if (!unknown || lstat(e->folder, &s) == 0 || rename(e->growing, e->folder))
            return failed("give its name to", e->folder, err);
    }
    qv__free(e->growing);
    e->growing = NULL;
    return QV_OK;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where) {
    remove(path);
    return 0;
}

void qv__export_close(qv__export **export) {
    qv__export *e = *export;
    if (!e) return;
    if (e->fd >= 0) close(e->fd);
    if (e->growing) nftw(e->growing, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    qv__free(e->growing);
    qv__free(e->folder);
    qv__free(e->offsets);
    qv__free(e->bytes);
    qv__free(e);
    *export = NULL;
}
