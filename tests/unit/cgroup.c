#include "base/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "check.h"

/* Writes root/path with its folders. */
static void put(const char *root, const char *path, const char *text) {
    char folder[512];
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        snprintf(folder, sizeof folder, "%s/%.*s", root, (int)(slash - path), path);
        mkdir(folder, 0755);
    }
    check_write(root, path, text, strlen(text));
}

/* What a process that says `membership` may use below `root`. */
static int cpus(const char *root, const char *membership) {
    return qv__cgroup_cpus(check_write(root, "membership", membership, strlen(membership)), root);
}

TEST(limits_are_rounded_up) {
    static const struct {
        const char *quota, *period;
        int cpus;
    } rows[] = {
        {"100000", "100000", 1},
        {"100001 100000\n", "100000\n", 2},
        {"50000\n", "100000\n", 1},
        {"1", "999999999999999999", 1},
        {"6400000", "100000", 64},
        {"999999999999999999", "1", INT_MAX},
        {"max 100000\n", "100000\n", 0},
        {"-1\n", "100000\n", 0},
        {"0", "100000", 0},
        {"100000", "0", 0},
        {"", "", 0},
        {"1e5", "100000", 0},
        {"+1", "1", 0},
        {"1000000000000000000", "1", 0}, /* 19 digits */
        {"12x", "4", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_MSG(qv__cgroup_limit(rows[i].quota, rows[i].period) == rows[i].cpus, "row %zu", i);
}

TEST(only_groups_that_limit_cpu_time) {
    static const struct {
        const char *line, *path;
        bool version2;
    } rows[] = {
        {"0::/", "/", true},
        {"0::/user.slice/a:b", "/user.slice/a:b", true},
        {"4:cpu,cpuacct:/docker/x", "/docker/x", false},
        {"4:cpuacct,cpu:/x", "/x", false},
        {"1:cpu:/..x/...", "/..x/...", false},
        {"3:cpuset:/x", NULL, false},
        {"2:cpuacct:/x", NULL, false},
        {"1:name=systemd:/x", NULL, false},
        {"0::/../above", NULL, false},
        {"0::/a/..", NULL, false},
        {"0::relative", NULL, false},
        {"0::", NULL, false},
        {"0:", NULL, false},
        {"", NULL, false},
        {"no colons", NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *line = check_guarded(strlen(rows[i].line) + 1, false);
        strcpy(line, rows[i].line);
        bool version2 = false;
        const char *path = qv__cgroup_path(line, &version2);
        CHECK_MSG(!path == !rows[i].path, "row %zu", i);
        if (path) CHECK_STR(path, rows[i].path);
        CHECK_INT(version2, rows[i].version2);
    }
}

TEST(least_of_a_group_and_all_above_version_2) {
    const char *root = check_folder();
    put(root, "a.slice/cpu.max", "350000 100000\n");
    put(root, "a.slice/b.service/cpu.max", "max 100000\n");
    put(root, "a.slice/b.service/inner/cpu.max", "800000 100000\n");
    CHECK_INT(cpus(root, "0::/a.slice/b.service/inner\n"), 4);
    CHECK_INT(cpus(root, "0::/a.slice/b.service\n"), 4);
    CHECK_INT(cpus(root, "0::/a.slice\n"), 4);
    CHECK_INT(cpus(root, "0::/\n"), 0);
    CHECK_INT(cpus(root, "0::/other\n"), 0);
    put(root, "a.slice/b.service/inner/cpu.max", "200000 100000\n");
    CHECK_INT(cpus(root, "0::/a.slice/b.service/inner\n"), 2);
    CHECK_INT(cpus(root, "0::/a.slice/b.service\n"), 4);
    put(root, "cpu.max", "50000 100000\n"); /* a container's own root, and a host's path that is not there */
    CHECK_INT(cpus(root, "0::/a.slice/b.service/inner\n"), 1);
    CHECK_INT(cpus(root, "0::/docker/0123456789abcdef\n"), 1);
}

TEST(both_versions_at_once) {
    const char *root = check_folder();
    put(root, "cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
    put(root, "cpu,cpuacct/docker/x/cpu.cfs_period_us", "50000\n");
    put(root, "cpu,cpuacct/docker/cpu.cfs_quota_us", "-1\n");
    put(root, "cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    put(root, "unified/s/cpu.max", "600000 100000\n");
    CHECK_INT(cpus(root, "11:memory:/none\n4:cpu,cpuacct:/docker/x\n0::/\n"), 5);
    CHECK_INT(cpus(root, "4:cpu,cpuacct:/docker\n0::/s\n"), 6);
    CHECK_INT(cpus(root, "4:cpu,cpuacct:/docker/x\n0::/s"), 5);
    CHECK_INT(cpus(root, "4:cpuacct:/docker/x\n"), 0);
    put(root, "cpu/lone/cpu.cfs_quota_us", "300000\n");
    CHECK_INT(cpus(root, "4:cpu:/lone\n"), 0); /* no period */
    put(root, "cpu/lone/cpu.cfs_period_us", "100000\n");
    CHECK_INT(cpus(root, "4:cpu:/lone\n"), 3);
}

TEST(hostile_groups) {
    const char *root = check_folder();
    static char text[1 << 16];
    put(root, "inside/cpu.max", "100000 100000\n");
    put(root, "cpu.max", "200000 100000\n");
    CHECK_INT(cpus(root, "0::/inside/../inside\n"), 0); /* not believed at all */
    CHECK_INT(cpus(root, ""), 0);
    CHECK_INT(qv__cgroup_cpus("/nonexistent/cgroup", root), 0);
    CHECK_INT(qv__cgroup_cpus("/", "/"), 0); /* a folder where a file should be */
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "0::/", 4);
    for (size_t i = 300; i < sizeof text - 1; i += 200) text[i] = '/';
    CHECK_INT(cpus(root, text), 2); /* longer than any path: the root alone counts */
    memset(text, '\n', sizeof text - 1);
    CHECK_INT(cpus(root, text), 0);
}
