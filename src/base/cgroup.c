#include "base/cgroup.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LINES_MAX = 256, LINE_MAX_BYTES = PATH_MAX + 256, DIGITS_MAX = 18, VALUE_BYTES = 64 };

/* ---- texts ---- */

/* Digits, then white space or the end: what they say, at least 1. 0: anything else. */
static int64_t positive(const char *text) {
    int64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > DIGITS_MAX || (text[digits] && !strchr(" \t\n", text[digits]))) return 0;
    for (size_t i = 0; i < digits; i++) value = value * 10 + (text[i] - '0');
    return value;
}

int qv__cgroup_limit(const char *quota, const char *period) {
    int64_t q = positive(quota), p = positive(period);
    if (!q || !p) return 0;
    int64_t cpus = q / p + (q % p != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/* Whether the list "a,b,c", which ends at `end`, has `name`. */
static bool lists(const char *list, const char *end, const char *name) {
    size_t size = strlen(name);
    for (const char *next; list < end; list = next + 1) {
        next = memchr(list, ',', (size_t)(end - list));
        if (!next) next = end;
        if ((size_t)(next - list) == size && !memcmp(list, name, size)) return true;
    }
    return false;
}

static bool climbs(const char *path) {
    for (const char *at = path; (at = strstr(at, "/..")); at += 3)
        if (!at[3] || at[3] == '/') return true;
    return false;
}

const char *qv__cgroup_path(const char *line, bool *version2) {
    const char *controllers = strchr(line, ':');
    const char *end = controllers ? strchr(++controllers, ':') : NULL;
    if (!end || end[1] != '/' || climbs(end + 1)) return NULL;
    *version2 = end == controllers;
    return *version2 || lists(controllers, end, "cpu") ? end + 1 : NULL;
}

/* ---- files ---- */

/* The first line of folder/name, "" where it cannot be read. */
static void read_value(const char *folder, const char *name, char value[VALUE_BYTES]) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f || !fgets(value, VALUE_BYTES, f)) value[0] = 0;
    if (f) fclose(f);
}

static int folder_limit(const char *folder, bool version2) {
    char quota[VALUE_BYTES], period[VALUE_BYTES];
    if (!version2) {
        read_value(folder, "cpu.cfs_quota_us", quota);
        read_value(folder, "cpu.cfs_period_us", period);
        return qv__cgroup_limit(quota, period);
    }
    read_value(folder, "cpu.max", quota); /* "QUOTA PERIOD" */
    const char *space = strchr(quota, ' ');
    return space ? qv__cgroup_limit(quota, space + 1) : 0;
}

/* 0 stands for no limit. */
static int lesser(int a, int b) {
    return !a || (b && b < a) ? b : a;
}

/* The group and all above it. Inside a container its path may be the host's, of which only the root is there. */
static int walk(const char *mounts, const char *mount, const char *path, bool version2) {
    char folder[PATH_MAX];
    int root = snprintf(folder, sizeof folder, "%s%s", mounts, mount), limit = 0;
    if (root < 0 || (size_t)root >= sizeof folder) return 0;
    int size = snprintf(folder + root, sizeof folder - (size_t)root, "%s", path);
    if (size < 0 || (size_t)size >= sizeof folder - (size_t)root) folder[root] = 0; /* the root alone */
    for (;;) {
        limit = lesser(limit, folder_limit(folder, version2));
        char *last = strrchr(folder + root, '/');
        if (!last) return limit;
        *last = 0;
    }
}

int qv__cgroup_cpus(const char *membership, const char *mounts) {
    static const char *const places[2][2] = {{"/cpu", "/cpu,cpuacct"}, {"", "/unified"}}; /* by version - 1 */
    char line[LINE_MAX_BYTES];
    FILE *f = fopen(membership, "re");
    int limit = 0;
    for (int i = 0; f && i < LINES_MAX && fgets(line, sizeof line, f); i++) {
        bool version2;
        line[strcspn(line, "\n")] = 0;
        const char *path = qv__cgroup_path(line, &version2);
        for (int j = 0; path && j < 2; j++) limit = lesser(limit, walk(mounts, places[version2][j], path, version2));
    }
    if (f) fclose(f);
    return limit;
}
