/* Certificate and key of the server, which can be changed while it runs: connections that are open go on, new ones get
 * the new certificate. TLS 1.2 and 1.3. One server of a process at a time. */
#ifndef QVEC_HTTP_TLS_H
#define QVEC_HTTP_TLS_H

#include "qvec/qvec.h"

typedef struct qv__tls qv__tls;

/* PEM files: the certificate, followed by those between it and its root, and its key; NULL: the certificate's file
 * holds both. client_ca_file: the roots of clients' certificates, without one of which no request is taken; NULL:
 * clients need none. Errors name the file. Paths are kept and must live until close. */
qv_status qv__tls_open(const char *cert_file, const char *key_file, const char *client_ca_file, qv__tls **out,
                       qv_error *err);
void qv__tls_close(qv__tls **tls);
/* Reads certificate and key again; after a failure those of before stay. */
qv_status qv__tls_reload(qv__tls *tls, qv_error *err);

/* ---- for http/ ---- */

/* PEM of the clients' roots; NULL: none. */
const char *qv__tls_client_ca(const qv__tls *tls);
const char *qv__tls_priorities(void);
/* PEM, until the next reload; libmicrohttpd wants them beside its callback, to start. */
const char *qv__tls_chain(void);
const char *qv__tls_key(void);
/* libmicrohttpd's MHD_OPTION_HTTPS_CERT_CALLBACK2, a gnutls_certificate_retrieve_function3. */
void *qv__tls_retrieve(void);
/* Whether the client of a session (a gnutls_session_t) has shown a certificate of one of the roots. */
bool qv__tls_client_fits(void *session);
/* As one record, past libmicrohttpd, on the thread that it calls us on; what the socket does not take is lost. */
void qv__tls_write(void *session, const void *data, size_t size);
#endif
