#include <string.h>

#include "base/error.h"
#include "text/split.h"

/* Letters and numbers that were assigned after Unicode 14 (PCRE2 10.42), up to Unicode 16 (the reference). Naming
 * again what a newer PCRE2 knows does no harm. */
#define NEW_LETTERS                                                                                                    \
    "\\x{1C89}-\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}\\x{10D4A}-\\x{10D65}"              \
    "\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}-\\x{11240}\\x{11380}-\\x{11389}\\x{1138B}\\x{1138E}"         \
    "\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}\\x{113D3}\\x{11BC0}-\\x{11BE0}\\x{11F02}\\x{11F04}-\\x{11F10}"          \
    "\\x{11F12}-\\x{11F33}\\x{1342F}\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}\\x{16100}-\\x{1611D}"                   \
    "\\x{16D40}-\\x{16D6C}\\x{18CFF}\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}\\x{1E030}-\\x{1E06D}"                    \
    "\\x{1E4D0}-\\x{1E4EB}\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"
#define NEW_NUMBERS                                                                                                    \
    "\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}\\x{16130}-\\x{16139}"        \
    "\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}"
#define SPACES "\\t-\\r\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

typedef struct {
    const char *start, *at, *end;
    bool in_class;
    int depth;
    qv__buffer *out;
    qv_error *err;
} rewriter;

static qv_status refuse(rewriter *r, const char *what) {
    return qv__fail(r->err, QV_UNSUPPORTED, "pattern: %s at byte %zu is not supported", what,
                    (size_t)(r->at - r->start));
}

static bool more(const rewriter *r, size_t n) {
    return (size_t)(r->end - r->at) >= n;
}

/* Writes a set of characters: bare inside [], in brackets of its own outside. */
static qv_status put_set(rewriter *r, bool negated, const char *set) {
    if (r->in_class && negated) return refuse(r, "a negated class inside []");
    if (!r->in_class) qv__buffer_puts(r->out, negated ? "[^" : "[");
    qv__buffer_puts(r->out, set);
    if (!r->in_class) qv__buffer_puts(r->out, "]");
    return QV_OK;
}

static qv_status property(rewriter *r, bool negated) {
    static const char names[][3] = {"Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "Nd", "Nl", "No", "P", "Pc",
                                    "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs"};
    const char *close = more(r, 4) && r->at[2] == '{' ? memchr(r->at, '}', (size_t)(r->end - r->at)) : NULL;
    if (!close) return refuse(r, "a property without {}");
    const char *name = r->at + 3;
    size_t size = (size_t)(close - name);
    if (size && *name == '^') negated = !negated, name++, size--;
    qv_status status = QV_OK;
    if (size == 1 && *name == 'L')
        status = put_set(r, negated, "\\p{L}" NEW_LETTERS);
    else if (size == 1 && *name == 'N')
        status = put_set(r, negated, "\\p{N}" NEW_NUMBERS);
    else {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known |= size == strlen(names[i]) && memcmp(name, names[i], size) == 0;
        if (!known) return refuse(r, "this property");
        qv__buffer_printf(r->out, "\\%c{%.*s}", negated ? 'P' : 'p', (int)size, name);
    }
    r->at = close + 1;
    return status;
}

static qv_status escape(rewriter *r) {
    if (!more(r, 2)) return refuse(r, "a lone backslash");
    char c = r->at[1];
    qv_status status = QV_OK;
    if (c == 'p' || c == 'P') return property(r, c == 'P');
    if (c == 's' || c == 'S')
        status = put_set(r, c == 'S', SPACES);
    else if (c && strchr("rntfdD", c))
        qv__buffer_append(r->out, r->at, 2);
    else if (c && strchr(".*+?()[]{}|^$\\/-'\"&#~ <>=!,:;@%_`", c))
        qv__buffer_append(r->out, r->at, 2);
    else
        return refuse(r, "this escape");
    r->at += 2;
    return status;
}

/* "(": plain, non-capturing, caseless, or a look-around. */
static qv_status group(rewriter *r) {
    static const char *const heads[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    if (++r->depth > 50) return refuse(r, "nesting over 50");
    if (more(r, 2) && r->at[1] == '*') return refuse(r, "(*");
    if (!more(r, 2) || r->at[1] != '?') {
        qv__buffer_puts(r->out, "(?:");
        r->at++;
        return QV_OK;
    }
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = strlen(heads[i]);
        if (!more(r, n) || memcmp(r->at, heads[i], n)) continue;
        qv__buffer_append(r->out, r->at, n);
        r->at += n;
        return QV_OK;
    }
    return refuse(r, "this kind of group");
}

/* {n}, {n,}, {n,m}; a following + would be possessive in one engine and a repeat in the other. */
static qv_status counted(rewriter *r) {
    size_t n = 1;
    int commas = 0;
    while (more(r, n + 1) && ((r->at[n] >= '0' && r->at[n] <= '9') || r->at[n] == ',')) commas += r->at[n++] == ',';
    if (!more(r, n + 1) || r->at[n] != '}' || n == 1 || n > 12 || commas > 1 || r->at[1] == ',')
        return refuse(r, "this use of {");
    qv__buffer_append(r->out, r->at, n + 1);
    r->at += n + 1;
    return more(r, 1) && *r->at == '+' ? refuse(r, "'+' behind {}") : QV_OK;
}

static qv_status in_class(rewriter *r) {
    char c = *r->at;
    if (c == '\\') return escape(r);
    if (c == '[') return refuse(r, "'[' inside []");
    if (c == '&' && more(r, 2) && r->at[1] == '&') return refuse(r, "'&&' inside []");
    if (c == ']') r->in_class = false;
    qv__buffer_append(r->out, r->at++, 1);
    return QV_OK;
}

static qv_status one(rewriter *r) {
    char c = *r->at;
    if (r->in_class) return in_class(r);
    switch (c) {
    case '\\': return escape(r);
    case '(': return group(r);
    case '{': return counted(r);
    case '^':
    case '$':
    case 0: return refuse(r, "this character");
    case ')': r->depth--; break;
    case '[':
        r->in_class = true;
        qv__buffer_append(r->out, r->at++, 1);
        if (more(r, 1) && *r->at == '^') qv__buffer_append(r->out, r->at++, 1);
        return more(r, 1) && *r->at == ']' ? refuse(r, "']' first in []") : QV_OK;
    default: break;
    }
    qv__buffer_append(r->out, r->at++, 1);
    return QV_OK;
}

static void quote(const char *text, size_t size, qv__buffer *out) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] && strchr(".*+?()[]{}|^$\\-#", text[i])) qv__buffer_puts(out, "\\");
        qv__buffer_append(out, text + i, 1);
    }
}

qv_status qv__pattern_rewrite(const char *pattern, size_t size, bool literal, qv__buffer *out, qv_error *err) {
    rewriter r = {pattern, pattern, pattern + size, false, 0, out, err};
    if (literal) quote(pattern, size, out);
    while (!literal && r.at < r.end) {
        qv_status status = one(&r);
        if (status) return status;
    }
    if (r.in_class || r.depth) return refuse(&r, "an unclosed bracket");
    return out->failed ? qv__fail(err, QV_NO_MEMORY, "out of memory for the pattern") : QV_OK;
}
