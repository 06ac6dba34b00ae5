/* Members of an object as they are written: enough of JSON's grammar to find where each ends. */
#include <string.h>

#include "cli/record.h"

typedef struct {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end && *c->at && strchr(" \t\r\n", *c->at)) c->at++;
}

static bool skip_string(cursor *c) {
    if (c->at == c->end || *c->at != '"') return false;
    for (c->at++; c->at < c->end; c->at++) {
        if (*c->at == '"') return c->at++, true;
        if (*c->at == '\\') c->at++;
    }
    return false;
}

/* To the comma or brace behind a value. */
static bool skip_value(cursor *c) {
    size_t depth = 0;
    const char *start = c->at;
    while (c->at < c->end) {
        char ch = *c->at;
        if (ch == '"') {
            if (!skip_string(c)) return false;
            continue;
        }
        if (depth == 0 && (ch == ',' || ch == '}' || ch == ']')) break;
        if (ch == '{' || ch == '[') depth++;
        if (ch == '}' || ch == ']') depth--;
        c->at++;
    }
    return c->at < c->end && c->at > start;
}

static qv__slice trimmed(const char *start, const char *end) {
    while (end > start && end[-1] && strchr(" \t\r\n", end[-1])) end--;
    return (qv__slice){start, (size_t)(end - start)};
}

bool qv__scan_members(const char *text, size_t size, bool (*each)(void *, const qv__member *), void *context) {
    cursor c = {text, text + size};
    skip_space(&c);
    if (c.at == c.end || *c.at++ != '{') return false;
    skip_space(&c);
    if (c.at < c.end && *c.at == '}') return true;
    while (c.at < c.end) {
        qv__member m;
        const char *start = c.at;
        if (!skip_string(&c)) return false;
        m.key = (qv__slice){start, (size_t)(c.at - start)};
        skip_space(&c);
        if (c.at == c.end || *c.at++ != ':') return false;
        skip_space(&c);
        start = c.at;
        if (!skip_value(&c)) return false;
        m.value = trimmed(start, c.at);
        if (!each(context, &m)) return false;
        if (*c.at++ == '}') return true;
        skip_space(&c);
    }
    return false;
}
