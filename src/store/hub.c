/* From what users call MODEL to a folder. A folder wins over everything; else "org/name" is looked for in the
 * download folder and in the hub caches, whose layout is
 *   CACHE/models--org--name/refs/main           the commit's hash, as text
 *   CACHE/models--org--name/snapshots/HASH/...  the files, links into CACHE/models--org--name/blobs
 * Both halves of the name and the hash become parts of paths, so both are held to a short alphabet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/file.h"

enum { PART_MAX = 96, HASH_MAX = 64 };

/* One half of "org/name": letters, digits and inner . _ -, and neither ".." nor "--", as on the hub. */
static bool valid_part(const char *text, size_t size) {
    if (size == 0 || size > PART_MAX) return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool inner = i > 0 && i + 1 < size && (c == '-' || c == '.') && text[i - 1] != c;
        if (!alphanumeric && !inner && c != '_') return false;
    }
    return true;
}

static bool has_config(const char *folder) {
    char *path = qv__path_join(folder, "config.json");
    bool there = path && access(path, F_OK) == 0;
    qv__free(path);
    return there;
}

/* The commit named by refs/main; false when there is none or it is not a hash. */
static bool read_hash(const char *repository, char hash[HASH_MAX + 1]) {
    char *path = qv__path_join(repository, "refs/main"), *text = NULL;
    size_t size = 0;
    bool ok = path && !qv__file_read(path, 256, &text, &size, NULL);
    while (ok && size > 0 && strchr(" \r\n\t", text[size - 1])) size--;
    ok = ok && size > 0 && size <= HASH_MAX && strspn(text, "0123456789abcdef") >= size;
    if (ok) memcpy(hash, text, size), hash[size] = 0;
    qv__free(text);
    qv__free(path);
    return ok;
}

/* CACHE/models--org--name/snapshots/HASH, malloc'd; NULL when the model is not there (or memory is out). */
static char *in_cache(const char *cache, const char *org, int org_size, const char *name) {
    char directory[2 * PART_MAX + 32], hash[HASH_MAX + 1], tail[HASH_MAX + 32];
    snprintf(directory, sizeof directory, "models--%.*s--%s", org_size, org, name);
    char *repository = qv__path_join(cache, directory), *folder = NULL;
    if (repository && read_hash(repository, hash)) {
        snprintf(tail, sizeof tail, "snapshots/%s", hash);
        folder = qv__path_join(repository, tail);
    }
    qv__free(repository);
    if (folder && qv__is_folder(folder)) return folder;
    qv__free(folder);
    return NULL;
}

/* $VARIABLE/suffix as a cache; unset and empty variables are skipped. */
static char *in_variable(const char *variable, const char *suffix, const char *org, int org_size, const char *name) {
    const char *value = getenv(variable);
    if (!value || !*value) return NULL;
    char *cache = qv__path_join(value, suffix);
    char *folder = cache ? in_cache(cache, org, org_size, name) : NULL;
    qv__free(cache);
    return folder;
}

/* DIR/org/name, as a plain download leaves it, or DIR as a hub cache. */
static char *in_downloads(const char *directory, const char *model, const char *org, int org_size, const char *name) {
    char *folder = qv__path_join(directory, model);
    if (folder && qv__is_folder(folder) && has_config(folder)) return folder;
    qv__free(folder);
    return in_cache(directory, org, org_size, name);
}

qv_status qv__model_folder(const char *model, const char *download_dir, char **out, qv_error *err) {
    *out = NULL;
    if (!*model) return qv__fail(err, QV_INVALID_ARGUMENT, "the model's name is empty");
    if (qv__is_folder(model)) {
        *out = qv__strdup(model);
        return *out ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory");
    }
    if (access(model, F_OK) == 0)
        return qv__fail(err, QV_INVALID_ARGUMENT,
                        "%s is a file; a model is the folder with config.json and the weights", model);
    const char *slash = strchr(model, '/');
    if (!slash || !valid_part(model, (size_t)(slash - model)) || !valid_part(slash + 1, strlen(slash + 1)))
        return qv__fail(err, QV_NOT_FOUND, "\"%.300s\" is neither a folder nor of the form org/name", model);
    const char *name = slash + 1;
    int org_size = (int)(slash - model);
    char *folder = NULL;
    if (download_dir) folder = in_downloads(download_dir, model, model, org_size, name);
    if (!folder) folder = in_variable("HF_HUB_CACHE", "", model, org_size, name);
    if (!folder) folder = in_variable("HF_HOME", "hub", model, org_size, name);
    if (!folder) folder = in_variable("HOME", ".cache/huggingface/hub", model, org_size, name);
    if (!folder)
        return qv__fail(err, QV_NOT_FOUND,
                        "%s is in neither %s%s$HF_HUB_CACHE, $HF_HOME/hub nor ~/.cache/huggingface/hub", model,
                        download_dir ? download_dir : "", download_dir ? ", " : "");
    *out = folder;
    return QV_OK;
}
