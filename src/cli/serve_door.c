#include "cli/serve_door.h"

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/console.h"

enum { CERT_OPTIONAL = 1, CERT_REQUIRED = 2 };

#define AT(field) offsetof(qv__door, field)

const qv__door qv__door_default = {.port = 8000, .unix_mode_text = "660", .cert_reqs = -1};

const qv__option qv__door_rows[QV__DOOR_ROWS] = {
    QV__ROW("host", TEXT, AT(host), "ADDRESS", "Address to listen on. Default: all."),
    QV__ROW("port", INT, AT(port), "N", "Port to listen on; 0: any free one. Default: 8000.", .min = 0, .max = 65535),
    QV__ROW("unix-socket", TEXT, AT(unix_path), "PATH",
            "Listen on a socket in the file system instead, and remove it at the end. One that a dead server left is "
            "replaced. Default: none."),
    QV__ROW("uds", TEXT, AT(unix_path), "PATH", "The same, as vLLM spells it."),
    QV__ROW("unix-socket-mode", TEXT, AT(unix_mode_text), "MODE", "Who may connect to it, in octal. Default: 660."),
    QV__ROW(
        "ssl-certfile", TEXT, AT(cert_file), "FILE",
        "Certificate in PEM form, with those between it and its root behind it: the server speaks HTTPS, TLS 1.2 and "
        "1.3. SIGHUP reads it again; open connections go on. Default: none, plain HTTP."),
    QV__ROW("ssl-keyfile", TEXT, AT(key_file), "FILE",
            "Its key in PEM form, without a password. Default: in the certificate's file."),
    QV__ROW(
        "ssl-ca-certs", TEXT, AT(client_ca_file), "FILE",
        "Roots, in PEM form, of one of which clients must show a certificate, else 403. Default: clients need none."),
    QV__ROW(
        "ssl-cert-reqs", INT, AT(cert_reqs), "N",
        "vLLM's name for the same: 0: clients need no certificate; 2: they do. Default: 2 with --ssl-ca-certs, else "
        "0.",
        .min = 0, .max = 2),
    QV__ROW("api-key", LIST, AT(keys), "KEY",
            "Keys, one of which requests must bring. Default: $QVEC_API_KEY or $VLLM_API_KEY, else none needed."),
    QV__ROW("api-key-file", TEXT, AT(api_key_file), "FILE",
            "More keys, one a line; # begins a comment. SIGHUP reads it again. Default: none."),
};

const qv__option qv__cors_rows[QV__CORS_ROWS] = {
    QV__ROW("allowed-origins", LIST, AT(origins), "ORIGIN",
            "Pages of these origins (https://example.org) may call the server from a browser; *: all; a JSON list is "
            "taken too. Default: none may."),
    QV__ROW("allowed-methods", LIST, AT(methods), "METHOD",
            "Methods that they may use; *: all. Default: those of the path."),
    QV__ROW("allowed-headers", LIST, AT(headers), "HEADER", "Headers that they may send; *: all. Default: all."),
    QV__ROW("allow-credentials", SWITCH, AT(credentials), NULL,
            "Their browsers may send cookies and client certificates along."),
};

/* ---- words, or JSON lists of them ---- */

static bool add_copy(qv__words *out, const char *text) {
    char *copy = qv__strdup(text);
    if (copy && qv__words_add(out, copy, 0)) return true;
    qv__free(copy);
    qv__complain("out of memory");
    return false;
}

static bool add_json(qv__words *out, const char *flag, const char *text) {
    json_t *list = json_loads(text, 0, NULL);
    bool fine = json_is_array(list);
    for (size_t i = 0; i < json_array_size(list) && fine; i++) fine = json_is_string(json_array_get(list, i));
    if (!fine) qv__complain("--%s takes words, or a JSON list of strings, not %.120s", flag, text);
    for (size_t i = 0; i < json_array_size(list) && fine; i++)
        fine = add_copy(out, json_string_value(json_array_get(list, i)));
    json_decref(list);
    return fine;
}

/* They end up in headers. */
static bool check_word(const char *flag, const char *word) {
    bool fine = *word;
    for (const char *p = word; *p && fine; p++) fine = *p > ' ' && *p <= '~' && *p != ',' && *p != '"';
    if (!fine) qv__complain("--%s: \"%.80s\" cannot stand in a header", flag, word);
    return fine;
}

static bool expand(const qv__words *given, const char *flag, qv__words *out) {
    bool fine = true;
    for (size_t i = 0; i < given->count && fine; i++) {
        const char *text = given->items[i].text;
        fine = text[0] == '[' ? add_json(out, flag, text) : add_copy(out, text);
    }
    for (size_t i = 0; i < out->count && fine; i++) fine = check_word(flag, out->items[i].text);
    return fine;
}

/* An origin is scheme, host and perhaps a port, as browsers send it; or "null", or "*". */
static bool check_origin(const char *origin) {
    if (!strcmp(origin, "*") || !strcmp(origin, "null")) return true;
    const char *host = strstr(origin, "://");
    if (host && host > origin && host[3] && !strchr(host + 3, '/')) return true;
    qv__complain("--allowed-origins: \"%.120s\" is no origin; one looks like https://example.org, without a path",
                 origin);
    return false;
}

/* "GET, POST"; NULL when the list is empty or has "*" in it, and nothing is to be narrowed. */
static bool join(const qv__words *words, char **out) {
    qv__buffer b = {0};
    *out = NULL;
    for (size_t i = 0; i < words->count; i++) {
        if (!strcmp(words->items[i].text, "*")) return qv__buffer_clear(&b), true;
        qv__buffer_printf(&b, "%s%s", i ? ", " : "", words->items[i].text);
    }
    if (!words->count) return true;
    if (!qv__buffer_append(&b, "", 1)) return qv__complain("out of memory"), false;
    *out = b.data;
    return true;
}

static bool check_cors(qv__door *d) {
    if (!expand(&d->origins, "allowed-origins", &d->origin_list) ||
        !expand(&d->methods, "allowed-methods", &d->method_list) ||
        !expand(&d->headers, "allowed-headers", &d->header_list) || !join(&d->method_list, &d->method_text) ||
        !join(&d->header_list, &d->header_text))
        return false;
    for (size_t i = 0; i < d->origin_list.count; i++)
        if (!check_origin(d->origin_list.items[i].text)) return false;
    if (d->origin_list.count || !(d->methods.count || d->headers.count || d->credentials)) return true;
    qv__complain("--allowed-methods, --allowed-headers and --allow-credentials mean nothing without --allowed-origins");
    return false;
}

/* ---- the rest ---- */

static bool check_socket(qv__door *d) {
    char *end;
    long mode = strtol(d->unix_mode_text, &end, 8);
    d->unix_mode = (int)mode;
    if (*d->unix_mode_text && !*end && mode >= 0 && mode <= 0777) return true;
    qv__complain("--unix-socket-mode is %.40s; it goes from 000 to 777, in octal", d->unix_mode_text);
    return false;
}

static bool check_tls(const qv__door *d) {
    if (!d->cert_file && (d->key_file || d->client_ca_file || d->cert_reqs > 0)) {
        qv__complain("--ssl-certfile is missing: the other --ssl flags go with it");
        return false;
    }
    if (d->cert_reqs == CERT_OPTIONAL) {
        qv__complain("--ssl-cert-reqs 1: a certificate that is not needed changes nothing here; give 0 or 2");
        return false;
    }
    if (d->cert_reqs == CERT_REQUIRED && !d->client_ca_file) {
        qv__complain("--ssl-cert-reqs 2 needs --ssl-ca-certs: whose certificates are trusted");
        return false;
    }
    return true;
}

bool qv__door_check(qv__door *door) {
    return check_socket(door) && check_tls(door) && check_cors(door);
}

qv_status qv__door_open(qv__door *d, qv__server_options *out, qv_error *err) {
    const char *roots = d->cert_reqs == 0 ? NULL : d->client_ca_file;
    qv_status status = d->cert_file ? qv__tls_open(d->cert_file, d->key_file, roots, &d->tls, err) : QV_OK;
    if (status) return status;
    d->origin_texts = qv__alloc_array(d->origin_list.count + 1, sizeof *d->origin_texts);
    if (!d->origin_texts) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < d->origin_list.count; i++) d->origin_texts[i] = d->origin_list.items[i].text;
    out->host = d->host;
    out->port = (int)d->port;
    out->unix_path = d->unix_path;
    out->unix_mode = d->unix_mode;
    out->tls = d->tls;
    out->cors = (qv__cors){.origins = d->origin_texts,
                           .origin_count = d->origin_list.count,
                           .methods = d->method_text,
                           .headers = d->header_text,
                           .credentials = d->credentials};
    return QV_OK;
}

void qv__door_print_url(const qv__door *d, int port, char *out, size_t size) {
    const char *scheme = d->tls ? "https" : "http", *host = d->host ? d->host : "0.0.0.0";
    bool v6 = strchr(host, ':') != NULL;
    if (d->unix_path)
        qv__text_print(out, size, "%s+unix:%s", scheme, d->unix_path);
    else
        qv__text_print(out, size, "%s://%s%s%s:%d", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* ---- keys ---- */

static const char *key_from_environment(void) {
    const char *key = getenv("QVEC_API_KEY");
    if (!key || !*key) key = getenv("VLLM_API_KEY");
    return key && *key ? key : NULL;
}

qv_status qv__door_keys(const qv__door *d, qv__key_file *file, const char ***list, int *count, qv_error *err) {
    qv_status status = d->api_key_file ? qv__key_file_read(d->api_key_file, file, err) : QV_OK;
    if (status) return status;
    const char **keys = *list = qv__alloc_array(d->keys.count + file->keys.count + 1, sizeof *keys);
    if (!keys) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    size_t n = 0;
    for (size_t i = 0; i < d->keys.count; i++) keys[n++] = d->keys.items[i].text;
    for (size_t i = 0; i < file->keys.count; i++) keys[n++] = file->keys.items[i].text;
    const char *key = n ? NULL : key_from_environment();
    if (key) keys[n++] = key;
    *count = (int)n;
    return QV_OK;
}

/* ---- reading again ---- */

bool qv__door_reloads(const qv__door *door) {
    return door->cert_file || door->api_key_file;
}

static qv_status reload_keys(const qv__door *door, qv__api *api, qv_error *err) {
    qv__key_file file = {0};
    const char **list = NULL;
    int count = 0;
    qv_status status = qv__door_keys(door, &file, &list, &count, err);
    if (!status) status = qv__api_set_keys(api, list, count, err);
    if (!status) qv__log(QV__LOG_INFO, "%.200s was read again: %d API keys", door->api_key_file, count);
    qv__free(list);
    qv__key_file_clear(&file);
    return status;
}

void qv__door_reload(qv__door *door, qv__api *api) {
    qv_error err = {0};
    if (!qv__door_reloads(door)) qv__log(QV__LOG_INFO, "reload: neither --ssl-certfile nor --api-key-file was given");
    if (door->api_key_file && reload_keys(door, api, &err))
        qv__log(QV__LOG_ERROR, "the API keys stay as they were: %s", err.message);
    if (!door->tls) return;
    if (qv__tls_reload(door->tls, &err))
        qv__log(QV__LOG_ERROR, "the certificate stays as it was: %s", err.message);
    else
        qv__log(QV__LOG_INFO, "%.200s was read again", door->cert_file);
}

static void clear_owned(qv__words *words) {
    for (size_t i = 0; i < words->count; i++) qv__free((char *)(uintptr_t)words->items[i].text);
    qv__words_clear(words);
}

void qv__door_close(qv__door *d) {
    qv__tls_close(&d->tls);
    clear_owned(&d->origin_list);
    clear_owned(&d->method_list);
    clear_owned(&d->header_list);
    qv__words_clear(&d->origins);
    qv__words_clear(&d->methods);
    qv__words_clear(&d->headers);
    qv__words_clear(&d->keys);
    qv__free(d->origin_texts);
    qv__free(d->method_text);
    qv__free(d->header_text);
}
