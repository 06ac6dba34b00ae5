/* Flags about http(s) URLs of pictures and videos; their limits are in api/limits.h. */
#ifndef QVEC_CLI_FETCH_FLAGS_H
#define QVEC_CLI_FETCH_FLAGS_H

#include "api/limits.h"
#include "cli/options.h"
#include "fetch/fetch.h"

typedef struct {
    qv__words hosts, private_hosts;
    int64_t threads; /* 0: default */
} qv__fetch_flags;

/* Rows for a set whose `values` is a qv__fetch_flags. */
extern const qv__option qv__fetch_rows[];
enum { QV__FETCH_ROWS = 3 };

/* What $VLLM_MEDIA_URL_ALLOW_REDIRECTS says; before the flags are parsed. */
void qv__fetch_limits_from_environment(qv__limits *limits);
/* *out stays NULL when no host is named. */
qv_status qv__fetch_flags_open(const qv__fetch_flags *flags, const qv__limits *limits, qv__fetcher **out,
                               qv_error *err);
void qv__fetch_flags_clear(qv__fetch_flags *flags);
#endif
