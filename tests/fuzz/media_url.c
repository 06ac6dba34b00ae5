/* A URL that is taken leads to a listed host and, read again from its parts, to the same one; any other has a reason.
 */
#include <stdlib.h>
#include <string.h>

#include "fetch/address.h"
#include "fetch/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"a.example", "a.example:8080", "127.0.0.1", "[::1]", "b.example"};
enum { NAMES = sizeof names / sizeof *names };

static bool listed(const char *host) {
    for (size_t i = 0; i < NAMES; i++)
        if (!strncmp(names[i], host, strlen(host)) && strchr(":", names[i][strlen(host)])) return true;
    return false;
}

static void check_again(const qv__url_hosts *hosts, const qv__url *url) {
    char *text = NULL;
    qv__url again;
    if (!listed(url->host) || url->private_too != !strcmp(url->host, "b.example")) abort();
    if (curl_url_get(url->parsed, CURLUPART_URL, &text, 0)) abort();
    if (strlen(text) <= 8192 && (qv__url_check(hosts, text, &again, NULL) || strcmp(again.host, url->host))) abort();
    if (strlen(text) <= 8192) qv__url_clear(&again);
    curl_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static qv__url_hosts hosts;
    qv_error err = {0};
    for (size_t i = hosts.count; i < NAMES; i++)
        if (qv__url_hosts_add(&hosts, names[i], i == NAMES - 1, &err)) abort();
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    qv__url url;
    qv_status status = qv__url_check(&hosts, text, &url, &err);
    if (!status != !!url.parsed || (status && (status != err.code || !err.message[0]))) abort();
    if (!status) check_again(&hosts, &url);
    qv__url_clear(&url);
    qv__url_hosts more = {0}; /* the same text as an entry of the list */
    status = qv__url_hosts_add(&more, text, false, &err);
    if (!status != (more.count == 1)) abort();
    qv__url_hosts_clear(&more);
    free(text);
    return 0;
}
