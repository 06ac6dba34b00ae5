/* The flags of `qvec serve` about who gets in, and how: address or socket, TLS, API keys, pages of other origins. */
#ifndef QVEC_CLI_SERVE_DOOR_H
#define QVEC_CLI_SERVE_DOOR_H

#include "cli/key_file.h"
#include "cli/options.h"
#include "http/server.h"

typedef struct {
    const char *host; /* NULL: all addresses */
    int64_t port;
    const char *unix_path, *unix_mode_text;
    const char *cert_file, *key_file, *client_ca_file;
    int64_t cert_reqs; /* as in Python's ssl: 0, 1, 2; -1: not given */
    qv__words keys;
    const char *api_key_file;
    qv__words origins, methods, headers; /* vLLM's: words, or JSON lists */
    bool credentials;
    /* made of them */
    int unix_mode;
    qv__tls *tls;
    qv__words origin_list, method_list, header_list; /* their texts are owned */
    const char **origin_texts;
    char *method_text, *header_text;
} qv__door;

extern const qv__door qv__door_default;
enum { QV__DOOR_ROWS = 11, QV__CORS_ROWS = 4 };
extern const qv__option qv__door_rows[QV__DOOR_ROWS], qv__cors_rows[QV__CORS_ROWS];

/* What is wrong by itself has been printed when this is false. */
bool qv__door_check(qv__door *door);
/* Opens certificate and key, and fills in what concerns the door. */
qv_status qv__door_open(qv__door *door, qv__server_options *out, qv_error *err);
/* Where the server is reached: "http://0.0.0.0:8000", "https://[::1]:8000", "http+unix:/run/qvec.sock". */
void qv__door_print_url(const qv__door *door, int port, char *out, size_t size);
/* The keys of flags and file, of the environment when neither is there. *list: for qv__free; the texts live as long as
 * the door and `file`. */
qv_status qv__door_keys(const qv__door *door, qv__key_file *file, const char ***list, int *count, qv_error *err);
/* Whether there are files to read again at SIGHUP, and doing it; what fails is logged, and the old stays. */
bool qv__door_reloads(const qv__door *door);
void qv__door_reload(qv__door *door, qv__api *api);
/* After the server. */
void qv__door_close(qv__door *door);
#endif
