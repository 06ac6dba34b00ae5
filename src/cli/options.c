#include "cli/options.h"

#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "cli/console.h"

enum { NAME_MAX_BYTES = 64, NEAREST_EDITS = 3 };

/* What is being parsed, and how far. */
typedef struct {
    const qv__usage *usage;
    int argc, at; /* at: the argument after the current one */
    char **argv;
} cursor;

/* The flag that an argument names. */
typedef struct {
    char name[NAME_MAX_BYTES]; /* without dashes, "_" made "-" */
    const char *value;         /* behind "="; NULL: none */
    const qv__option *row;     /* NULL: not ours */
    void *target;              /* where its value goes */
    bool negated;              /* --no-x */
} flag;

bool qv__words_add(qv__words *words, const char *text, int tag) {
    if (words->count == words->capacity) {
        size_t capacity = words->capacity ? words->capacity * 2 : 8;
        qv__word *items = qv__realloc(words->items, capacity * sizeof *items);
        if (!items) return false;
        words->items = items;
        words->capacity = capacity;
    }
    words->items[words->count++] = (qv__word){text, tag};
    return true;
}

void qv__words_clear(qv__words *words) {
    qv__free(words->items);
    *words = (qv__words){0};
}

/* ---- names ---- */

static bool is_flag(const char *argument) {
    return argument[0] == '-' && argument[1] == '-' && argument[2];
}

/* Splits "--max_model_len=5" into name and value. False when the name is too long to be one of ours. */
static bool split(const char *argument, flag *f) {
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    *f = (flag){.value = equals ? equals + 1 : NULL};
    if (size >= sizeof f->name) return false;
    for (size_t i = 0; i < size; i++) f->name[i] = name[i] == '_' ? '-' : name[i];
    return true;
}

static void *target_of(const qv__option_set *set, const qv__option *row) {
    return (char *)set->values + row->offset;
}

/* The row called `name`, or the only one that begins so. *count: how many fit. */
static const qv__option *find(const qv__usage *usage, const char *name, void **target, int *count) {
    const qv__option *found = NULL;
    size_t size = strlen(name);
    *count = 0;
    for (size_t s = 0; s < usage->set_count; s++)
        for (size_t i = 0; i < usage->sets[s].count; i++) {
            const qv__option *row = &usage->sets[s].rows[i];
            if (strncmp(row->name, name, size)) continue;
            bool exact = !row->name[size];
            if (exact || ++*count == 1) found = row, *target = target_of(&usage->sets[s], row);
            if (exact) return *count = 1, row;
        }
    return *count == 1 ? found : NULL;
}

static void list_fitting(const qv__usage *usage, const flag *f) {
    char list[256] = "";
    size_t used = 0, size = strlen(f->name);
    for (size_t s = 0; s < usage->set_count; s++)
        for (size_t i = 0; i < usage->sets[s].count; i++) {
            const char *name = usage->sets[s].rows[i].name;
            size_t more = strlen(name) + 5;
            if (strncmp(name, f->name, size) || used + more > sizeof list) continue;
            used += (size_t)qv__text_print(list + used, sizeof list - used, "%s--%s", used ? ", " : "", name);
        }
    qv__complain("--%s could be any of %s", f->name, list);
}

static const char *nearest(const qv__usage *usage, const char *name) {
    const char *best = NULL;
    int best_distance = NEAREST_EDITS + 1;
    for (size_t s = 0; s < usage->set_count; s++)
        for (size_t i = 0; i < usage->sets[s].count; i++) {
            const char *candidate = usage->sets[s].rows[i].name;
            int d = qv__edit_distance(name, strlen(name), candidate, strlen(candidate), best_distance - 1);
            if (d < best_distance) best_distance = d, best = candidate;
        }
    return best && (size_t)best_distance < strlen(name) ? best : NULL;
}

static qv__parsed complain_unknown(const qv__usage *usage, const flag *f, const char *argument) {
    const char *near = nearest(usage, f->name);
    if (near)
        qv__complain("there is no flag %.80s; did you mean --%s?", argument, near);
    else
        qv__complain("there is no flag %.80s; qvec %s --help lists them all", argument, usage->name);
    return QV__PARSED_BAD;
}

/* ---- values ---- */

/* The value behind "=" or the next argument; NULL when there is none. An argument that is a flag by its full name is
 * not taken for a value: "--text --image x" forgot the text. */
static const char *take_value(cursor *c, const flag *f) {
    if (f->value) return f->value;
    if (c->at >= c->argc) return NULL;
    flag next;
    void *target;
    int count;
    if (is_flag(c->argv[c->at]) && split(c->argv[c->at], &next)) {
        const qv__option *row = find(c->usage, next.name, &target, &count);
        if (row && !strcmp(row->name, next.name)) return NULL;
    }
    return c->argv[c->at++];
}

static bool is_choice(const char *choices, const char *value) {
    size_t size = strlen(value);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (size && !strncmp(at, value, size) && (!at[size] || at[size] == '|')) return true;
    return false;
}

static bool no_memory(void) {
    qv__complain("out of memory");
    return false;
}

static bool set_number(const flag *f, const char *value) {
    const qv__option *row = f->row;
    qv_error err = {0};
    qv_status status = QV_OK;
    if (row->kind == QV__OPTION_INT)
        status = qv__parse_int(value, row->min, row->max, f->target, &err);
    else if (row->kind == QV__OPTION_COUNT)
        status = qv__parse_count(value, row->min, row->max, f->target, &err);
    else if (row->kind == QV__OPTION_NUMBER)
        status = qv__parse_double(value, (double)row->min, (double)row->max, f->target, &err);
    else if (row->kind == QV__OPTION_FRACTION) {
        qv__fraction *out = f->target;
        status = qv__parse_fraction(value, row->max, &out->i, &out->n, &err);
    } else if (!strcmp(value, "auto") || !strcmp(value, "-1"))
        *(int64_t *)f->target = 0;
    else
        status = qv__parse_count(value, row->min, row->max, f->target, &err);
    if (status) qv__complain("--%s: %s", row->name, err.message);
    return !status;
}

static bool set_value(const flag *f, const char *value) {
    const qv__option *row = f->row;
    switch (row->kind) {
    case QV__OPTION_CHOICE:
        if (!is_choice(row->choices, value)) {
            qv__complain("--%s takes one of %s, not %.80s", row->name, row->choices, value);
            return false;
        }
        *(const char **)f->target = value;
        return true;
    case QV__OPTION_TEXT: *(const char **)f->target = value; return true;
    case QV__OPTION_TEXTS:
    case QV__OPTION_LIST: return qv__words_add(f->target, value, row->tag) || no_memory();
    default: return set_number(f, value);
    }
}

static bool set_switch(const flag *f) {
    const char *v = f->value;
    bool yes = !v || !strcmp(v, "true") || !strcmp(v, "True") || !strcmp(v, "1");
    bool no = v && (!strcmp(v, "false") || !strcmp(v, "False") || !strcmp(v, "0"));
    if (!yes && !no) {
        qv__complain("--%s takes no value, or true or false, not %.80s", f->row->name, v);
        return false;
    }
    *(bool *)f->target = f->negated ? no : yes;
    return true;
}

static bool set(cursor *c, const flag *f) {
    if (f->row->kind == QV__OPTION_SWITCH) return set_switch(f);
    const char *value = take_value(c, f);
    if (!value) {
        qv__complain("--%s needs a value: --%s %s", f->row->name, f->row->name, f->row->metavar);
        return false;
    }
    if (!set_value(f, value)) return false;
    while (f->row->kind == QV__OPTION_LIST && !f->value && c->at < c->argc && c->argv[c->at][0] != '-')
        if (!set_value(f, c->argv[c->at++])) return false;
    return true;
}

/* ---- arguments ---- */

/* Finds the row for a flag; NULL with *bad when it is known to be wrong, NULL without when nobody here knows it. */
static void resolve(const qv__usage *usage, flag *f, bool *bad) {
    int count;
    f->row = find(usage, f->name, &f->target, &count);
    if (!f->row && !count && !strncmp(f->name, "no-", 3)) {
        const qv__option *row = find(usage, f->name + 3, &f->target, &count);
        if (row && row->kind == QV__OPTION_SWITCH)
            f->row = row, f->negated = true;
        else
            count = 0;
    }
    *bad = !f->row && count > 1;
    if (*bad) list_fitting(usage, f);
}

/* A flag of vLLM's by its full name, when no row of ours has that name; NULL: none. */
static const qv__compat *find_compat(const qv__usage *usage, const char *name) {
    void *target;
    int count;
    const qv__option *row = find(usage, name, &target, &count);
    if (row && !strcmp(row->name, name)) return NULL;
    const qv__compat *found = qv__compat_find(usage->vllm_flags[0], name);
    return found ? found : qv__compat_find(usage->vllm_flags[1], name);
}

static qv__parsed take_flag(cursor *c, const char *argument) {
    flag f;
    bool bad;
    if (!split(argument, &f)) return complain_unknown(c->usage, &f, argument);
    if (!strcmp(f.name, "help")) {
        qv__options_help(c->usage, f.value && strcmp(f.value, "all") ? f.value : NULL);
        return QV__PARSED_HELP;
    }
    const qv__compat *compat = find_compat(c->usage, f.name);
    if (compat) {
        const char *value = compat->kind != QV__COMPAT_SWITCH ? take_value(c, &f) : f.value;
        return qv__compat_accept(compat, value) ? QV__PARSED : QV__PARSED_BAD;
    }
    resolve(c->usage, &f, &bad);
    if (bad) return QV__PARSED_BAD;
    if (!f.row) return complain_unknown(c->usage, &f, argument);
    return set(c, &f) ? QV__PARSED : QV__PARSED_BAD;
}

static qv__parsed take_positional(cursor *c, const char *argument, qv__words *positionals) {
    if (positionals->count == c->usage->max_positionals) {
        qv__complain("%.200s is one argument too many; usage: qvec %s %s", argument, c->usage->name, c->usage->usage);
        return QV__PARSED_BAD;
    }
    return qv__words_add(positionals, argument, 0) || no_memory() ? QV__PARSED : QV__PARSED_BAD;
}

qv__parsed qv__options_parse(const qv__usage *usage, int argc, char **argv, qv__words *positionals) {
    cursor c = {.usage = usage, .argc = argc, .argv = argv};
    bool flags = true;
    while (c.at < c.argc) {
        const char *argument = c.argv[c.at++];
        qv__parsed result;
        if (flags && !strcmp(argument, "--")) {
            flags = false;
            continue;
        }
        if (flags && !strcmp(argument, "-h")) argument = "--help";
        if (flags && is_flag(argument))
            result = take_flag(&c, argument);
        else if (flags && argument[0] == '-' && argument[1]) {
            flag f = {.name = "?"};
            result = complain_unknown(usage, &f, argument);
        } else
            result = take_positional(&c, argument, positionals);
        if (result != QV__PARSED) return result;
    }
    return QV__PARSED;
}
