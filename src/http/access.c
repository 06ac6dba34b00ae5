#include "http/access.h"

#include <string.h>

#include "base/log.h"
#include "http/client.h"

/* Other methods are the client's words. */
static const char *known_method(const char *method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], method) == 0) return known[i];
    return "(unknown)";
}

#define MS(field, ns)                                                                                                  \
    { .name = field, .number = (double)(ns)*1e-6, .decimals = 3 }

void qv__access_log(const qv__access *a) {
    if (!qv__log_wants(QV__LOG_INFO)) return;
    char client[INET6_ADDRSTRLEN];
    qv__client_name(a->client, client);
    const qv__log_field fields[] = {
        {.name = "id", .text = a->id},
        {.name = "client", .text = client},
        {.name = "method", .text = known_method(a->method), .bare = true},
        {.name = "path", .text = a->path ? a->path : "(unknown)", .bare = true},
        {.name = "status", .number = a->status, .bare = true},
        {.name = "items", .number = (double)a->items},
        {.name = "tokens", .number = (double)a->tokens},
        MS("read_ms", a->read_ns),
        MS("wait_ms", a->stage_ns[QV__STAGE_WAIT]),
        MS("decode_ms", a->stage_ns[QV__STAGE_DECODE]),
        MS("compute_ms", a->stage_ns[QV__STAGE_COMPUTE]),
        MS("write_ms", a->stage_ns[QV__STAGE_WRITE]),
        MS("total_ms", a->total_ns),
        {.name = "end", .text = a->sent ? "sent" : "aborted"},
    };
    qv__log_fields(QV__LOG_INFO, "request", fields, sizeof fields / sizeof *fields);
}
