#include "bench/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"

/* RETRIES: of one call, for messages that are none of ours, such as tickets and warnings. */
enum { RETRIES = 64, REASON_BYTES = 320 };

struct qv__trust {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
    char host[256];
    bool insecure;
    bool is_name; /* the host is no address */
    pthread_mutex_t lock;
    gnutls_datum_t session; /* the newest that can be resumed; under the lock */
};

struct qv__secure {
    qv__trust *trust;
    gnutls_session_t session;
    int fd;
    bool blocked;     /* the socket would have blocked in the last call */
    int failure;      /* errno of the socket; 0: none */
    bool begun;       /* the server has said something */
    bool alien;       /* and it was no TLS */
    bool ended;       /* it has closed the socket */
    bool established; /* the handshake is done */
    bool remembered;  /* for resumption */
    char reason[REASON_BYTES];
};

/* ---- trust ---- */

static qv_status load_roots(qv__trust *trust, const char *ca_file, qv_error *err) {
    if (trust->insecure) return QV_OK;
    int count = ca_file ? gnutls_certificate_set_x509_trust_file(trust->credentials, ca_file, GNUTLS_X509_FMT_PEM)
                        : gnutls_certificate_set_x509_system_trust(trust->credentials);
    if (count > 0) return QV_OK;
    if (!ca_file) return qv__fail(err, QV_UNSUPPORTED, "the system has no list of trusted roots; name a file of them");
    return qv__fail(err, QV_INVALID_ARGUMENT, "%.200s holds no certificate in PEM form: %s", ca_file,
                    count ? gnutls_strerror(count) : "it is empty");
}

static bool is_address(const char *host) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

qv_status qv__trust_open(const char *host, const char *ca_file, bool insecure, qv__trust **out, qv_error *err) {
    *out = NULL;
    qv__trust *trust = qv__calloc(1, sizeof *trust);
    if (!trust) return qv__fail(err, QV_NO_MEMORY, "out of memory for TLS");
    pthread_mutex_init(&trust->lock, NULL);
    snprintf(trust->host, sizeof trust->host, "%s", host);
    trust->is_name = !is_address(host);
    trust->insecure = insecure;
    int code = gnutls_certificate_allocate_credentials(&trust->credentials);
    if (!code) code = gnutls_priority_init(&trust->priorities, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL);
    qv_status status = code ? qv__fail(err, QV_UNSUPPORTED, "TLS cannot be set up: %s", gnutls_strerror(code))
                            : load_roots(trust, ca_file, err);
    if (status) return qv__trust_close(&trust), status;
    *out = trust;
    return QV_OK;
}

void qv__trust_close(qv__trust **trust) {
    if (!*trust) return;
    gnutls_free((*trust)->session.data);
    if ((*trust)->priorities) gnutls_priority_deinit((*trust)->priorities);
    if ((*trust)->credentials) gnutls_certificate_free_credentials((*trust)->credentials);
    pthread_mutex_destroy(&(*trust)->lock);
    qv__free(*trust);
    *trust = NULL;
}

/* ---- resumption ---- */

/* Without a session, or with one that the server has forgotten, the handshake is a whole one. */
static void resume(qv__secure *s) {
    qv__trust *trust = s->trust;
    pthread_mutex_lock(&trust->lock);
    if (trust->session.data) gnutls_session_set_data(s->session, trust->session.data, trust->session.size);
    pthread_mutex_unlock(&trust->lock);
}

/* In TLS 1.3 a session can be resumed once its ticket has come, which is before the first answer; GnuTLS would wait for
 * it. */
static void remember(qv__secure *s) {
    gnutls_datum_t fresh = {0};
    bool ticket = gnutls_session_get_flags(s->session) & GNUTLS_SFLAGS_SESSION_TICKET;
    if (!ticket && gnutls_protocol_get_version(s->session) >= GNUTLS_TLS1_3) return;
    s->remembered = true;
    if (gnutls_session_get_data2(s->session, &fresh)) return;
    pthread_mutex_lock(&s->trust->lock);
    gnutls_datum_t before = s->trust->session;
    s->trust->session = fresh;
    pthread_mutex_unlock(&s->trust->lock);
    gnutls_free(before.data);
}

/* ---- sockets ---- */

static ssize_t note(qv__secure *s, ssize_t n) {
    if (n < 0 && errno == EAGAIN) s->blocked = true;
    if (n < 0 && errno != EAGAIN && errno != EINTR) s->failure = errno;
    return n;
}

/* Whether a record of TLS begins with the byte, its type. */
static bool is_record(unsigned char byte) {
    return byte >= 20 && byte <= 23;
}

static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t size) {
    qv__secure *s = context;
    ssize_t n = note(s, recv(s->fd, data, size, 0));
    if (n == 0 && size) s->ended = true;
    if (n > 0 && !s->begun) s->alien = !is_record(*(const unsigned char *)data);
    if (n > 0) s->begun = true;
    return n;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t size) {
    qv__secure *s = context;
    return note(s, send(s->fd, data, size, MSG_NOSIGNAL));
}

/* ---- failures ---- */

static void tell_certificate(qv__secure *s) {
    gnutls_datum_t text = {0};
    gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(s->session), GNUTLS_CRT_X509,
                                                 &text, 0);
    size_t n = text.size;
    while (n && (text.data[n - 1] == ' ' || text.data[n - 1] == '.' || !text.data[n - 1])) n--;
    snprintf(s->reason, sizeof s->reason, "the certificate of %.80s is refused: %.*s", s->trust->host,
             n < 200 ? (int)n : 200, text.data ? (const char *)text.data : "");
    gnutls_free(text.data);
}

static void tell(qv__secure *s, int code) {
    const char *phase = s->established ? "TLS" : "TLS handshake", *text = gnutls_strerror(code);
    if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        tell_certificate(s);
        return;
    }
    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *name = gnutls_alert_get_name(gnutls_alert_get(s->session));
        snprintf(s->reason, sizeof s->reason, "%s: the server refuses: %s", phase, name ? name : "an unknown alert");
        return;
    }
    if (s->failure)
        text = strerror(s->failure);
    else if (s->alien)
        text = "the server does not speak it; is it http://?";
    else if (s->ended)
        text = "the server closed the connection in the middle";
    snprintf(s->reason, sizeof s->reason, "%s: %s", phase, text);
}

/* What a call that gave `code` means to its caller; the first failure is kept. */
static int give_up(qv__secure *s, int code) {
    if (code == GNUTLS_E_AGAIN && s->blocked) {
        errno = EAGAIN;
        return -1;
    }
    if (!s->reason[0]) {
        tell(s, code);
        if (!s->failure) gnutls_alert_send_appropriate(s->session, code);
    }
    errno = EPROTO;
    return -1;
}

/* Whether a call can be made again at once: it met a message that is not ours, or a signal. */
static bool may_go_on(const qv__secure *s, int code) {
    if (code == GNUTLS_E_AGAIN) return !s->blocked;
    return code < 0 && !gnutls_error_is_fatal(code);
}

/* ---- sessions ---- */

static int set_up(qv__secure *s) {
    static const gnutls_datum_t http = {(unsigned char *)"http/1.1", 8};
    const qv__trust *trust = s->trust;
    int code = gnutls_init(&s->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    if (!code) code = gnutls_priority_set(s->session, trust->priorities);
    if (!code) code = gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, trust->credentials);
    if (!code) code = gnutls_alpn_set_protocols(s->session, &http, 1, 0);
    if (!code && trust->is_name)
        code = gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, trust->host, strlen(trust->host));
    if (code) return code;
    if (!trust->insecure) gnutls_session_set_verify_cert(s->session, trust->host, 0);
    gnutls_transport_set_ptr(s->session, s);
    gnutls_transport_set_pull_function(s->session, pull);
    gnutls_transport_set_push_function(s->session, push);
    resume(s);
    return 0;
}

qv_status qv__secure_open(qv__trust *trust, int fd, qv__secure **out, qv_error *err) {
    *out = NULL;
    qv__secure *s = qv__calloc(1, sizeof *s);
    if (!s) return qv__fail(err, QV_NO_MEMORY, "out of memory for a connection");
    s->trust = trust;
    s->fd = fd;
    int code = set_up(s);
    if (code) {
        qv__secure_close(&s);
        return qv__fail(err, QV_IO, "TLS cannot be set up: %s", gnutls_strerror(code));
    }
    *out = s;
    return QV_OK;
}

int qv__secure_handshake(qv__secure *s) {
    int code, tries = 0;
    do {
        s->blocked = false;
        code = gnutls_handshake(s->session);
    } while (may_go_on(s, code) && ++tries < RETRIES);
    if (code) return give_up(s, code);
    s->established = true;
    return 0;
}

bool qv__secure_wants_to_write(const qv__secure *s) {
    return gnutls_record_get_direction(s->session) == 1;
}

ssize_t qv__secure_send(qv__secure *s, const void *data, size_t size) {
    ssize_t n;
    int tries = 0;
    do {
        s->blocked = false;
        n = gnutls_record_send(s->session, data, size);
    } while (may_go_on(s, (int)n) && ++tries < RETRIES);
    return n < 0 ? give_up(s, (int)n) : n;
}

ssize_t qv__secure_recv(qv__secure *s, void *data, size_t size) {
    ssize_t n;
    int tries = 0;
    do {
        s->blocked = false;
        n = gnutls_record_recv(s->session, data, size);
    } while (may_go_on(s, (int)n) && ++tries < RETRIES);
    if (n < 0) return give_up(s, (int)n);
    if (n > 0 && !s->remembered) remember(s);
    return n;
}

const char *qv__secure_reason(const qv__secure *s) {
    return s->reason;
}

void qv__secure_close(qv__secure **s) {
    if (!*s) return;
    if ((*s)->established && !(*s)->reason[0]) gnutls_bye((*s)->session, GNUTLS_SHUT_WR);
    if ((*s)->session) gnutls_deinit((*s)->session);
    qv__free(*s);
    *s = NULL;
}

/* ---- wires ---- */

const char *qv__wire_reason(const qv__wire *w, int failure) {
    return w->secure && failure == EPROTO ? qv__secure_reason(w->secure) : strerror(failure);
}

void qv__wire_close(qv__wire *w) {
    qv__secure_close(&w->secure);
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
}
