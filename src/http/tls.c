#include "http/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

enum { FILE_MAX = 1 << 20, CHAIN_MAX = 16, KEY_ID_BYTES = 32 };

typedef struct {
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned count;
    gnutls_x509_privkey_t key;
    qv__buffer chain_pem, key_pem; /* each with a NUL */
} credential;

struct qv__tls {
    const char *cert_file, *key_file;
    char *client_ca; /* PEM */
};

/* libmicrohttpd gives its callback nothing to tell servers apart by. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static credential current;

/* ---- files ---- */

static qv_status read_file(const char *path, qv__buffer *out, qv_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return qv__fail(err, QV_IO, "%.200s: %s", path, strerror(errno));
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0 && out->size <= FILE_MAX) qv__buffer_append(out, piece, (size_t)n);
    int reason = errno;
    close(fd);
    explicit_bzero(piece, sizeof piece);
    if (n < 0) return qv__fail(err, QV_IO, "%.200s: %s", path, strerror(reason));
    if (!qv__buffer_append(out, "", 1)) return qv__fail(err, QV_NO_MEMORY, "no memory for %.200s", path);
    if (out->size > FILE_MAX) return qv__fail(err, QV_TOO_LARGE, "%.200s has more than %d bytes", path, FILE_MAX);
    return QV_OK;
}

static void wipe(qv__buffer *b) {
    if (b->data) explicit_bzero(b->data, b->size);
    qv__buffer_clear(b);
}

static gnutls_datum_t datum_of(const qv__buffer *b) {
    return (gnutls_datum_t){.data = (unsigned char *)b->data, .size = b->size ? (unsigned)b->size - 1 : 0};
}

/* ---- credentials ---- */

static void clear(credential *c) {
    for (unsigned i = 0; i < c->count; i++) gnutls_x509_crt_deinit(c->chain[i]);
    if (c->key) gnutls_x509_privkey_deinit(c->key);
    qv__buffer_clear(&c->chain_pem);
    wipe(&c->key_pem);
    *c = (credential){0};
}

static qv_status read_chain(const char *path, credential *c, qv_error *err) {
    qv_status status = read_file(path, &c->chain_pem, err);
    unsigned count = CHAIN_MAX;
    gnutls_datum_t data = datum_of(&c->chain_pem);
    int n = status ? 0
                   : gnutls_x509_crt_list_import(c->chain, &count, &data, GNUTLS_X509_FMT_PEM,
                                                 GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (!status && n == GNUTLS_E_SHORT_MEMORY_BUFFER)
        status = qv__fail(err, QV_TOO_LARGE, "%.200s has more than %d certificates", path, CHAIN_MAX);
    else if (!status && n <= 0)
        status = qv__fail(err, QV_INVALID_ARGUMENT, "%.200s holds no certificate in PEM form: %s", path,
                          n ? gnutls_strerror(n) : "it is empty");
    if (!status) c->count = (unsigned)n;
    return status;
}

static qv_status read_key(const char *path, credential *c, qv_error *err) {
    qv_status status = read_file(path, &c->key_pem, err);
    gnutls_datum_t data = datum_of(&c->key_pem);
    if (!status && gnutls_x509_privkey_init(&c->key))
        status = qv__fail(err, QV_NO_MEMORY, "no memory for %.200s", path);
    int code = status ? 0 : gnutls_x509_privkey_import2(c->key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code == GNUTLS_E_DECRYPTION_FAILED)
        status = qv__fail(err, QV_INVALID_ARGUMENT, "%.200s is locked with a password; give a key without one", path);
    else if (code)
        status = qv__fail(err, QV_INVALID_ARGUMENT, "%.200s holds no private key in PEM form: %s", path,
                          gnutls_strerror(code));
    return status;
}

static qv_status check_pair(const qv__tls *tls, const credential *c, qv_error *err) {
    unsigned char a[KEY_ID_BYTES], b[KEY_ID_BYTES];
    size_t a_size = sizeof a, b_size = sizeof b;
    if (gnutls_x509_crt_get_key_id(c->chain[0], GNUTLS_KEYID_USE_SHA256, a, &a_size) ||
        gnutls_x509_privkey_get_key_id(c->key, GNUTLS_KEYID_USE_SHA256, b, &b_size) || a_size != b_size ||
        memcmp(a, b, a_size))
        return qv__fail(err, QV_INVALID_ARGUMENT, "the key in %.200s is not that of the certificate in %.200s",
                        tls->key_file, tls->cert_file);
    if (gnutls_x509_crt_get_expiration_time(c->chain[0]) < time(NULL))
        qv__log(QV__LOG_WARN, "the certificate in %.200s has expired", tls->cert_file);
    return QV_OK;
}

qv_status qv__tls_reload(qv__tls *tls, qv_error *err) {
    credential fresh = {0};
    qv_status status = read_chain(tls->cert_file, &fresh, err);
    if (!status) status = read_key(tls->key_file, &fresh, err);
    if (!status) status = check_pair(tls, &fresh, err);
    if (status) return clear(&fresh), status;
    pthread_mutex_lock(&lock);
    credential before = current;
    current = fresh;
    pthread_mutex_unlock(&lock);
    clear(&before);
    return QV_OK;
}

/* ---- open and close ---- */

static qv_status read_roots(qv__tls *tls, const char *path, qv_error *err) {
    qv__buffer pem = {0};
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    qv_status status = read_file(path, &pem, err);
    gnutls_datum_t data = datum_of(&pem);
    int code = status ? 0 : gnutls_x509_crt_list_import2(&list, &count, &data, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0 || (!status && !count))
        status = qv__fail(err, QV_INVALID_ARGUMENT, "%.200s holds no certificate in PEM form: %s", path,
                          code < 0 ? gnutls_strerror(code) : "it is empty");
    for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    if (!status)
        tls->client_ca = pem.data;
    else
        qv__buffer_clear(&pem);
    return status;
}

qv_status qv__tls_open(const char *cert_file, const char *key_file, const char *client_ca_file, qv__tls **out,
                       qv_error *err) {
    *out = NULL;
    qv__tls *tls = qv__calloc(1, sizeof *tls);
    if (!tls) return qv__fail(err, QV_NO_MEMORY, "no memory for the certificate");
    tls->cert_file = cert_file;
    tls->key_file = key_file ? key_file : cert_file;
    qv_status status = client_ca_file ? read_roots(tls, client_ca_file, err) : QV_OK;
    if (!status) status = qv__tls_reload(tls, err);
    if (status) return qv__tls_close(&tls), status;
    *out = tls;
    return QV_OK;
}

void qv__tls_close(qv__tls **tls) {
    if (!*tls) return;
    pthread_mutex_lock(&lock);
    clear(&current);
    pthread_mutex_unlock(&lock);
    qv__free((*tls)->client_ca);
    qv__free(*tls);
    *tls = NULL;
}

/* ---- handshakes ---- */

const char *qv__tls_client_ca(const qv__tls *tls) {
    return tls->client_ca;
}

const char *qv__tls_chain(void) {
    return current.chain_pem.data;
}

const char *qv__tls_key(void) {
    return current.key_pem.data;
}

const char *qv__tls_priorities(void) {
    return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
}

/* Copies for one handshake, which frees them. */
static int copy_current(gnutls_pcert_st **certs, unsigned *count, gnutls_privkey_t *key) {
    gnutls_pcert_st *list = gnutls_calloc(current.count, sizeof *list);
    gnutls_privkey_t copy = NULL;
    int code = list ? gnutls_privkey_init(&copy) : GNUTLS_E_MEMORY_ERROR;
    if (!code) code = gnutls_privkey_import_x509(copy, current.key, GNUTLS_PRIVKEY_IMPORT_COPY);
    unsigned n = 0;
    while (!code && n < current.count && !(code = gnutls_pcert_import_x509(&list[n], current.chain[n], 0))) n++;
    if (!code) {
        *certs = list;
        *count = n;
        *key = copy;
        return 0;
    }
    while (n) gnutls_pcert_deinit(&list[--n]);
    if (copy) gnutls_privkey_deinit(copy);
    gnutls_free(list);
    return code;
}

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs,
                    unsigned *count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                    unsigned *flags) {
    pthread_mutex_lock(&lock);
    int code = copy_current(certs, count, key);
    pthread_mutex_unlock(&lock);
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return code ? -1 : 0;
}

void *qv__tls_retrieve(void) {
    gnutls_certificate_retrieve_function3 *function = retrieve;
    void *result;
    memcpy(&result, &function, sizeof result);
    return result;
}

bool qv__tls_client_fits(void *session) {
    unsigned problems = 0;
    return gnutls_certificate_verify_peers2(session, &problems) == 0 && problems == 0;
}

void qv__tls_write(void *session, const void *data, size_t size) {
    gnutls_record_send(session, data, size);
}
