#include "cli/builtin.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file.h"

/* From the program's own folder: build/qvec beside build/models, PREFIX/bin/qvec, build/qvec inside the sources. */
static const char *const places[] = {"models", "../share/qvec/models", "../models"};

static bool has(const char *folder, const char *name) {
    char *path = qv__path_join(folder, name);
    bool there = path && !access(path, R_OK);
    qv__free(path);
    return there;
}

static char *candidate(const char *home, const char *place, const char *model) {
    char *models_folder = qv__path_join(home, place);
    char *folder = models_folder ? qv__path_join(models_folder, model) : NULL;
    qv__free(models_folder);
    if (folder && has(folder, "config.json") && has(folder, "tokenizer.json")) return folder;
    qv__free(folder);
    return NULL;
}

char *qv__builtin_folder(qv_task task) {
    char home[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", home, sizeof home - 1);
    if (n <= 0) return NULL;
    home[n] = 0;
    char *slash = strrchr(home, '/');
    if (slash) *slash = 0;
    char *folder = NULL;
    for (size_t p = 0; p < sizeof places / sizeof *places && !folder; p++)
        folder = candidate(home, places[p], task == QV_TASK_RERANK ? "mini-reranker" : "mini");
    return folder;
}
