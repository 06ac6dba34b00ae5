#include "api/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/write.h"

/* Types as vLLM spells them where it has them; the HTTP phrase where only we answer so. */
static const char *type_of(int http) {
    switch (http) {
    case 400: return "BadRequestError";
    case 401: return "AuthenticationError";
    case 403: return "PermissionDeniedError";
    case 404: return "NotFoundError";
    case 405: return "Method Not Allowed";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 422: return "UnprocessableEntityError";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 501: return "NotImplementedError";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "InternalServerError";
    }
}

static void set(qv__refusal *r, int http, const char *param, const char *format, va_list args) {
    r->http = http;
    r->cause = QV__CAUSE_OTHER;
    r->type = type_of(http);
    snprintf(r->param, sizeof r->param, "%s", param ? param : "");
    vsnprintf(r->message, sizeof r->message, format, args);
}

qv_status qv__refuse_field(qv__refusal *r, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set(r, 400, NULL, format, args);
    va_end(args);
    r->type = "Bad Request";
    snprintf(r->param, sizeof r->param, name ? "body.%s" : "body", name);
    return QV_INVALID_ARGUMENT;
}

qv_status qv__refuse(qv__refusal *r, qv_status code, const char *param, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set(r, qv_status_http(code), param, format, args);
    va_end(args);
    return code;
}

qv_status qv__refuse_error(qv__refusal *r, const qv_error *err, const char *param, const char *prefix) {
    qv_status code = err->code ? err->code : QV_INTERNAL;
    return qv__refuse(r, code, param, "%s%s", prefix, err->message[0] ? err->message : qv_status_text(code));
}

void qv__refusal_set_http(qv__refusal *r, int http) {
    r->http = http;
    r->type = type_of(http);
}

static void write_vllm(const qv__refusal *r, qv__buffer *b) {
    qv__buffer_puts(b, "{\"error\":{\"message\":");
    qv__write_string(b, r->message, strlen(r->message));
    qv__buffer_printf(b, ",\"type\":\"%s\",\"param\":", r->type);
    if (r->param[0])
        qv__write_string(b, r->param, strlen(r->param));
    else
        qv__buffer_puts(b, "null");
    qv__buffer_printf(b, ",\"code\":%d}}", r->http);
}

static int tei_status(const qv__refusal *r) {
    if (r->cause == QV__CAUSE_EMPTY) return 400;
    return r->http == 400 ? 422 : r->http == 501 ? 424 : r->http;
}

static const char *tei_type(const qv__refusal *r) {
    if (r->cause) return r->cause == QV__CAUSE_EMPTY ? "Empty" : "Tokenizer";
    switch (tei_status(r)) {
    case 413:
    case 422: return "Validation";
    case 424: return "Backend";
    case 429: return "Overloaded";
    case 503: return "Unhealthy";
    default: return r->http >= 500 ? "Backend" : "Validation";
    }
}

static void write_tei(const qv__refusal *r, qv__buffer *b) {
    qv__buffer_puts(b, "{\"error\":");
    qv__write_string(b, r->message, strlen(r->message));
    qv__buffer_printf(b, ",\"error_type\":\"%s\"}", tei_type(r));
}

static void write_field(const qv__refusal *r, const char *name, qv__buffer *b) {
    qv__buffer_printf(b, "{\"%s\":", name);
    qv__write_string(b, r->message, strlen(r->message));
    qv__buffer_puts(b, "}");
}

void qv__refusal_respond(const qv__refusal *r, qv__errors errors, int retry_after, qv__response *response) {
    qv__buffer b = {0};
    switch (errors) {
    case QV__ERRORS_COHERE: write_field(r, "message", &b); break;
    case QV__ERRORS_DETAIL: write_field(r, "detail", &b); break;
    case QV__ERRORS_TEI: write_tei(r, &b); break;
    default: write_vllm(r, &b);
    }
    if (b.failed) qv__buffer_clear(&b); /* out of memory: the status alone must do */
    qv__buffer_clear(&response->body);
    int status = errors == QV__ERRORS_TEI ? tei_status(r) : r->http;
    *response = (qv__response){.status = status, .content_type = "application/json", .body = b};
    int n = 0;
    if (retry_after > 0) {
        snprintf(response->retry_after, sizeof response->retry_after, "%d", retry_after);
        response->header_name[n] = "Retry-After";
        response->header_value[n++] = response->retry_after;
    }
    if (r->http == 401) {
        response->header_name[n] = "WWW-Authenticate";
        response->header_value[n] = "Bearer";
    }
}
