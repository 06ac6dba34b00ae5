/* The CPU time that control groups leave a process, as containers and systemd's CPUQuota= set it. The limit of a group
 * holds for everything below it, so the least of a process' own group and all above it counts. Nothing here believes
 * what the files say: what is no limit in the kernel's own form is none. */
#ifndef QVEC_BASE_CGROUP_H
#define QVEC_BASE_CGROUP_H

#include <stdbool.h>

/* CPUs of a quota and a period of microseconds, "150000" and "100000", rounded up; white space may follow each. 0: no
 * limit ("max", "-1", or anything that is not two numbers above 0). */
int qv__cgroup_limit(const char *quota, const char *period);

/* A line of /proc/PID/cgroup, "ID:CONTROLLERS:PATH". PATH, within `line`, when that group can limit CPU time: of
 * version 2 (no controllers), or of version 1 with the controller "cpu". NULL: another one, or a path that is not
 * absolute or climbs out of the hierarchy. */
const char *qv__cgroup_path(const char *line, bool *version2);

/* The least limit of a process. membership: "/proc/self/cgroup"; mounts: "/sys/fs/cgroup", below which version 2 is
 * mounted as it is or as "unified", version 1 as "cpu" or "cpu,cpuacct". 0: no limit found. */
int qv__cgroup_cpus(const char *membership, const char *mounts);
#endif
