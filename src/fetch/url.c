#include "fetch/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/memory.h"

enum { DEFAULT_URL_BYTES = 8192, HOST_BYTES_MAX = 255 };

/* ---- parts of a URL ---- */

/* One part, malloc'd by libcurl (curl_free), or NULL when the URL has none. */
static char *part_of(CURLU *url, CURLUPart part, unsigned flags) {
    char *text = NULL;
    return curl_url_get(url, part, &text, flags) ? NULL : text;
}

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = part_of(url, part, 0);
    curl_free(text);
    return text != NULL;
}

/* Letters, digits, "-", "_" and "." of a name; digits, letters and ":" of an IPv6 address in brackets. */
static bool plain_host(const char *host) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(host);
    if (!n || n > HOST_BYTES_MAX) return false;
    if (host[0] != '[') return strspn(host, letters) == n;
    return n > 2 && host[n - 1] == ']' && strspn(host + 1, "0123456789abcdefABCDEF:.") == n - 2;
}

static bool copy_host(CURLU *url, char out[HOST_BYTES_MAX + 1]) {
    char *host = part_of(url, CURLUPART_HOST, 0);
    bool fine = host && plain_host(host);
    for (size_t i = 0; fine; i++) {
        char c = host[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        if (!c) break;
    }
    curl_free(host);
    return fine;
}

static int port_of(CURLU *url, unsigned flags) {
    char *text = part_of(url, CURLUPART_PORT, flags);
    int port = text ? atoi(text) : 0; /* libcurl has checked it */
    curl_free(text);
    return port;
}

/* ---- the list ---- */

static qv_status bad_entry(const char *entry, qv_error *err) {
    return qv__fail(err, QV_INVALID_ARGUMENT,
                    "%.200s is not the name of a host, or HOST:PORT: no scheme, no path, no pattern, ASCII only "
                    "(xn--... for other letters)",
                    entry);
}

static qv_status parse_entry(const char *entry, struct qv__url_host *host, qv_error *err) {
    char text[HOST_BYTES_MAX + 32], name[HOST_BYTES_MAX + 1];
    if (strpbrk(entry, "/\\?#@% ") || strlen(entry) > HOST_BYTES_MAX) return bad_entry(entry, err);
    snprintf(text, sizeof text, "http://%s/", entry);
    CURLU *url = curl_url();
    if (!url) return qv__fail(err, QV_NO_MEMORY, "out of memory for the host %.200s", entry);
    bool fine = !curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) && copy_host(url, name) &&
                !has_part(url, CURLUPART_ZONEID);
    host->port = port_of(url, 0);
    curl_url_cleanup(url);
    if (!fine) return bad_entry(entry, err);
    host->name = qv__strdup(name);
    return host->name ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory for the host %.200s", entry);
}

qv_status qv__url_hosts_add(qv__url_hosts *hosts, const char *entry, bool private_too, qv_error *err) {
    struct qv__url_host *list = qv__realloc(hosts->hosts, (hosts->count + 1) * sizeof *list);
    if (!list) return qv__fail(err, QV_NO_MEMORY, "out of memory for the host %.200s", entry);
    hosts->hosts = list;
    list[hosts->count] = (struct qv__url_host){.private_too = private_too};
    qv_status status = parse_entry(entry, &list[hosts->count], err);
    hosts->count += !status;
    return status;
}

void qv__url_hosts_clear(qv__url_hosts *hosts) {
    for (size_t i = 0; i < hosts->count; i++) qv__free(hosts->hosts[i].name);
    qv__free(hosts->hosts);
    *hosts = (qv__url_hosts){0};
}

/* ---- the check ---- */

static qv_status refuse(qv_error *err, const char *reason) {
    return qv__fail(err, QV_MEDIA_SOURCE, "%s", reason);
}

/* Before libcurl sees it. A backslash is a slash to some parsers and none to others. */
static qv_status check_text(const char *text, int most, qv_error *err) {
    size_t n = strnlen(text, (size_t)most + 1);
    if (n > (size_t)most)
        return qv__fail(err, QV_MEDIA_SOURCE, "the URL is longer than %d bytes (--max-media-url)", most);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || text[i] == '\\')
            return refuse(err, "the URL holds a space, a backslash or a control character; percent-encode it");
    size_t head = !strncasecmp(text, "http://", 7) ? 7 : !strncasecmp(text, "https://", 8) ? 8 : 0;
    if (!head || text[head] == '/')
        return refuse(err, "the URL must begin with http:// or https:// and the name of a host");
    return QV_OK;
}

static qv_status check_host(const qv__url_hosts *hosts, qv__url *url, qv_error *err) {
    int port = port_of(url->parsed, CURLU_DEFAULT_PORT), usual = url->https ? 443 : 80;
    bool known = false;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct qv__url_host *h = &hosts->hosts[i];
        if (strcmp(h->name, url->host)) continue;
        known = true;
        if (port != (h->port ? h->port : usual)) continue;
        url->private_too = h->private_too;
        return QV_OK;
    }
    if (known)
        return qv__fail(err, QV_MEDIA_SOURCE, "the server fetches nothing from port %d of the host %s", port,
                        url->host);
    return qv__fail(err, QV_MEDIA_SOURCE, "the server fetches nothing from the host %s", url->host);
}

static qv_status check_parsed(const qv__url_hosts *hosts, qv__url *url, qv_error *err) {
    if (has_part(url->parsed, CURLUPART_USER) || has_part(url->parsed, CURLUPART_PASSWORD) ||
        has_part(url->parsed, CURLUPART_OPTIONS))
        return refuse(err, "the URL holds a user name or password");
    if (has_part(url->parsed, CURLUPART_ZONEID)) return refuse(err, "the URL's host has a zone");
    if (!copy_host(url->parsed, url->host))
        return refuse(err, "the URL's host is not a plain name or address (xn--... for other letters)");
    return check_host(hosts, url, err);
}

qv_status qv__url_check(const qv__url_hosts *hosts, const char *text, qv__url *out, qv_error *err) {
    *out = (qv__url){.https = !strncasecmp(text, "https:", 6)};
    qv_status status = check_text(text, hosts->max_url_bytes ? hosts->max_url_bytes : DEFAULT_URL_BYTES, err);
    if (status) return status;
    out->parsed = curl_url();
    if (!out->parsed) return qv__fail(err, QV_NO_MEMORY, "out of memory for a URL");
    CURLUcode code = curl_url_set(out->parsed, CURLUPART_URL, text, CURLU_URLENCODE);
    if (code == CURLUE_OUT_OF_MEMORY)
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for a URL");
    else if (code)
        status = qv__fail(err, QV_MEDIA_SOURCE, "the URL is malformed: %s", curl_url_strerror(code));
    else
        status = check_parsed(hosts, out, err);
    if (status) qv__url_clear(out);
    return status;
}

void qv__url_clear(qv__url *url) {
    curl_url_cleanup(url->parsed);
    url->parsed = NULL;
}
