/* Flags: one table for each command says what is parsed and what --help prints.
 *
 * Spelling, as in vLLM: `--flag value` and `--flag=value`, `--a-b` and `--a_b`, any unique beginning of a name,
 * `--no-x` for a switch x, `--` ends the flags. Values stay in argv; nothing is copied. */
#ifndef QVEC_CLI_OPTIONS_H
#define QVEC_CLI_OPTIONS_H

#include "cli/compat.h"
#include "qvec/qvec.h"

typedef enum {
    QV__OPTION_SWITCH,   /* bool */
    QV__OPTION_TEXT,     /* const char *; the last use counts */
    QV__OPTION_CHOICE,   /* const char *, one of `choices` */
    QV__OPTION_TEXTS,    /* qv__words: each use adds one, marked with the row's tag */
    QV__OPTION_LIST,     /* qv__words: takes all arguments up to the next flag, each use adds */
    QV__OPTION_INT,      /* int64_t within [min, max] */
    QV__OPTION_COUNT,    /* the same, and 1k, 25.6k, 1K, ... */
    QV__OPTION_LENGTH,   /* the same, and "auto" or -1, which become 0 */
    QV__OPTION_NUMBER,   /* double within [min, max] */
    QV__OPTION_FRACTION, /* qv__fraction: "i/n" */
} qv__option_kind;

typedef struct {
    const char *text;
    int tag;
} qv__word;

typedef struct {
    qv__word *items;
    size_t count, capacity;
} qv__words;
bool qv__words_add(qv__words *words, const char *text, int tag); /* false: out of memory */
void qv__words_clear(qv__words *words);

typedef struct {
    int64_t i, n;
} qv__fraction;

typedef struct {
    const char *name; /* "max-model-len" */
    qv__option_kind kind;
    size_t offset;       /* of the value in its set's struct */
    const char *metavar; /* NULL for switches */
    const char *help;    /* one sentence or two; tells the default */
    int64_t min, max;
    const char *choices; /* CHOICE: "jsonl|json|npy|bin" */
    int tag;
} qv__option;

/* A row; behind the help come .min, .max, .choices or .tag where the kind has them. */
#define QV__ROW(name_, kind_, offset_, metavar_, help_, ...)                                                           \
    { .name = name_, .kind = QV__OPTION_##kind_, .offset = offset_, .metavar = metavar_, .help = help_, __VA_ARGS__ }

/* Rows under one heading of --help, and the struct that their values go to. */
typedef struct {
    const char *title;
    const qv__option *rows;
    size_t count;
    void *values;
} qv__option_set;

typedef struct {
    const char *name;     /* of the command */
    const char *summary;  /* one line */
    const char *examples; /* lines, each indented by two */
    const char *usage;    /* "[MODEL] [flags] [FILE.jsonl|-]" */
    const char *notes;    /* below the flags; NULL: none */
    const qv__option_set *sets;
    size_t set_count;
    size_t max_positionals;
    const qv__compat *vllm_flags[2]; /* lists of flags that mean nothing here; our own of the same name go first */
} qv__usage;

typedef enum { QV__PARSED, QV__PARSED_HELP, QV__PARSED_BAD } qv__parsed;

/* Parses argv[0..argc), the arguments behind the command's name. HELP: --help was there and has been printed. BAD: the
 * reason has been printed. The lists in the sets and `positionals` are the caller's to clear in every case. */
qv__parsed qv__options_parse(const qv__usage *usage, int argc, char **argv, qv__words *positionals);

/* help.c. filter: only rows whose name or heading holds this; NULL: all. */
void qv__options_help(const qv__usage *usage, const char *filter);

/* Edits (insert, delete, replace, swap of neighbours) from a to b, counted up to `limit`; more give limit + 1. */
int qv__edit_distance(const char *a, size_t a_size, const char *b, size_t b_size, int limit);
#endif
