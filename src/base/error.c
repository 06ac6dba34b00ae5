#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    qv_status code;
    const char *name, *text;
    int http;
} statuses[] = {
#define ROW(name, value, json, text, http) {QV_##name, json, text, http},
    QV_STATUS_MAP(ROW)
#undef ROW
};

static size_t row_of(qv_status code) {
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].code == code) return i;
    return 1; /* QV_INTERNAL */
}

const char *qv_status_name(qv_status code) {
    return statuses[row_of(code)].name;
}
const char *qv_status_text(qv_status code) {
    return statuses[row_of(code)].text;
}
int qv_status_http(qv_status code) {
    return statuses[row_of(code)].http;
}

/* A cut must not leave half of a UTF-8 character behind: the text goes into JSON. */
static void trim_partial_character(char *text) {
    size_t n = strlen(text), i = n;
    while (i > 0 && n - i < 4 && ((unsigned char)text[i - 1] & 0xC0) == 0x80) i--;
    if (i == 0) return;
    unsigned char lead = (unsigned char)text[i - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - (i - 1) < need) text[i - 1] = 0;
}

qv_status qv__fail(qv_error *err, qv_status code, const char *format, ...) {
    if (!err) return code;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n >= (int)sizeof err->message) trim_partial_character(err->message);
    err->code = code;
    return code;
}

qv_status qv__fail_in(qv_error *err, qv_status code, const char *format, ...) {
    if (!err) return code;
    char inner[sizeof err->message], outer[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    vsnprintf(outer, sizeof outer, format, args);
    va_end(args);
    qv_status kept = err->code ? err->code : code;
    return qv__fail(err, kept, "%s: %s", outer, inner);
}
