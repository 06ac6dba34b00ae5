#include "cli/fetch_flags.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define AT(field) offsetof(qv__fetch_flags, field)

const qv__option qv__fetch_rows[QV__FETCH_ROWS] = {
    QV__ROW(
        "allowed-media-domains", LIST, AT(hosts), "HOST",
        "Hosts from which http and https URLs are fetched, each by its exact name, as HOST or HOST:PORT (alone: port "
        "80 or 443), where it leads to public addresses. No proxy is used, of the environment or any other: it would "
        "connect in our place, to addresses that nobody has judged. Default: no URL is fetched."),
    QV__ROW("allow-private-media-hosts", LIST, AT(private_hosts), "HOST",
            "The same for hosts of your own network: their addresses may be private, loopback or shared ones too. "
            "Default: none."),
    QV__ROW("media-fetch-threads", INT, AT(threads), "N",
            "Requests whose URLs are fetched at a time, 8 URLs of each. Default: 4.", .min = 1, .max = 64),
};

/* The words' texts behind `list`. */
static size_t copy(const qv__words *words, const char **list) {
    for (size_t i = 0; i < words->count; i++) list[i] = words->items[i].text;
    return words->count;
}

void qv__fetch_limits_from_environment(qv__limits *limits) {
    const char *allow = getenv("VLLM_MEDIA_URL_ALLOW_REDIRECTS");
    if (allow && !strcmp(allow, "0")) limits->fetch_redirects = 0;
}

qv_status qv__fetch_flags_open(const qv__fetch_flags *flags, const qv__limits *limits, qv__fetcher **out,
                               qv_error *err) {
    *out = NULL;
    size_t count = flags->hosts.count + flags->private_hosts.count;
    if (!count) return QV_OK;
    const char **list = qv__alloc_array(count, sizeof *list);
    if (!list) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    qv__fetch_options options = {.hosts = list,
                                 .host_count = copy(&flags->hosts, list),
                                 .private_hosts = list + flags->hosts.count,
                                 .private_host_count = copy(&flags->private_hosts, list + flags->hosts.count),
                                 .max_urls = (int)limits->media_urls,
                                 .max_bytes = limits->media_bytes,
                                 .max_request_bytes = limits->fetched_bytes,
                                 .timeout_s = (double)limits->fetch_seconds,
                                 .max_redirects = (int)limits->fetch_redirects,
                                 .max_url_bytes = (int)limits->media_url_bytes,
                                 .max_header_bytes = (int)limits->fetch_header_bytes,
                                 .connect_s = (double)limits->connect_seconds,
                                 .min_rate = (int)limits->fetch_rate};
    qv_status status = qv__fetch_open(&options, out, err);
    qv__free(list);
    return status;
}

void qv__fetch_flags_clear(qv__fetch_flags *flags) {
    qv__words_clear(&flags->hosts);
    qv__words_clear(&flags->private_hosts);
}
