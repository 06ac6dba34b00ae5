/* Bytes as a line of /proc/self/cgroup and as a quota with its period: a path that comes back is absolute, lies in the
 * line and climbs nowhere; more time is never fewer CPUs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    bool version2;
    memcpy(text, data, size);
    text[size] = 0;
    const char *path = qv__cgroup_path(text, &version2);
    if (path && (path < text || path > text + size || *path != '/' || strstr(path, "/../"))) abort();
    char *space = strchr(text, ' ');
    if (space) {
        *space = 0;
        int cpus = qv__cgroup_limit(text, space + 1);
        if (cpus < 0) abort();
        char *wider = malloc(strlen(text) + 2);
        strcat(strcpy(wider, text), "0");
        if (cpus && strlen(text) < 18 && qv__cgroup_limit(wider, space + 1) < cpus) abort();
        free(wider);
    }
    free(text);
    return 0;
}
