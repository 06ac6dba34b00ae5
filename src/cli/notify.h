/* What systemd is told (sd_notify): one datagram to the socket that NOTIFY_SOCKET names. The protocol is that small, and
 * stable by promise, so libsystemd is not linked for it. Without NOTIFY_SOCKET nothing happens. */
#ifndef QVEC_CLI_NOTIFY_H
#define QVEC_CLI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a supervisor wants to be told. */
bool qv__notify_asked(void);

/* "READY=1\nSTATUS=serving ...", lines of NAME=VALUE. */
__attribute__((format(printf, 1, 2))) void qv__notify(const char *format, ...);

/* How often "WATCHDOG=1" must be told for this process not to be restarted: half of WATCHDOG_USEC; 0: never. */
int64_t qv__notify_interval_ns(void);
#endif
