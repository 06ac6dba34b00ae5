#include "http/framing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct {
    int headers, lengths, encodings, hosts;
    const char *length, *encoding;
    bool odd; /* a name that is no token, or that libmicrohttpd has made of a folded line by joining both */
} found;

static bool is_token(const char *name, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= ' ' || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
    }
    return size > 0;
}

/* "Transfer-Encoding:" and " chunked" on the next line become a header "Transfer-Encodingchunked". */
static bool is_joined(const char *name, size_t size, const char *known) {
    size_t n = strlen(known);
    return size > n && strncasecmp(name, known, n) == 0;
}

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                      const char *value, size_t value_size) {
    found *f = context;
    f->headers++;
    f->odd |= !is_token(name, name_size) || is_joined(name, name_size, MHD_HTTP_HEADER_CONTENT_LENGTH) ||
              is_joined(name, name_size, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        f->lengths++;
        f->length = value;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        f->encodings++;
        f->encoding = value;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0) {
        f->hosts++;
    }
    return MHD_YES;
}

static const char *fault_of(const found *f) {
    if (f->odd) return "The name of a header is not one word.";
    if (f->hosts > 1) return "The head names more than one Host.";
    if (f->lengths > 1 || f->encodings > 1 || (f->lengths && f->encodings))
        return "The head gives the length of the body more than once.";
    if (f->encodings && strcasecmp(f->encoding, "chunked")) return "The only Transfer-Encoding taken is chunked.";
    if (!f->lengths) return NULL;
    size_t digits = f->length ? strspn(f->length, "0123456789") : 0;
    return digits && !f->length[digits] ? NULL : "Content-Length is not a number.";
}

void qv__framing_read(struct MHD_Connection *connection, qv__framing *out) {
    found f = {0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look_at_header, &f);
    *out = (qv__framing){.wrong = fault_of(&f),
                         .length = f.encodings ? -1 : 0,
                         .declared = f.lengths > 0 || f.encodings > 0,
                         .headers = f.headers};
    if (out->wrong || !f.lengths) return;
    out->length = strlen(f.length) > 18 ? INT64_MAX : strtoll(f.length, NULL, 10);
}
