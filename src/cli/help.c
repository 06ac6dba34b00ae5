/* --help: examples first, then every flag of the table under its heading. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/console.h"
#include "cli/options.h"

enum { TEXT_COLUMN = 32, WIDTH = 104 };

/* Prints words from `column` on, wrapped to WIDTH and indented to TEXT_COLUMN. */
static void print_wrapped(const char *text, int column) {
    while (*text) {
        int size = (int)strcspn(text, " ");
        if (column > TEXT_COLUMN && column + size >= WIDTH) {
            printf("\n%*s", TEXT_COLUMN, "");
            column = TEXT_COLUMN;
        }
        printf("%.*s", size, text);
        column += size;
        text += size;
        if (*text == ' ') putchar(' '), column++, text++;
    }
    putchar('\n');
}

static void print_row(const qv__option *row) {
    char head[96];
    const char *metavar = row->metavar ? row->metavar : "";
    bool many = row->kind == QV__OPTION_TEXTS || row->kind == QV__OPTION_LIST;
    int n =
        qv__text_print(head, sizeof head, "  --%s%s%s%s", row->name, *metavar ? " " : "", metavar, many ? " ..." : "");
    printf("%s", head);
    if (n > TEXT_COLUMN - 2) {
        putchar('\n');
        n = 0;
    }
    printf("%*s", TEXT_COLUMN - n, "");
    print_wrapped(row->help, TEXT_COLUMN);
}

static bool is_wanted(const qv__option_set *set, const qv__option *row, const char *filter) {
    return !filter || strcasestr(set->title, filter) || strcasestr(row->name, filter);
}

/* *heading: the last one printed; sets may share it. */
static void print_set(const qv__option_set *set, const char *filter, const char **heading) {
    for (size_t i = 0; i < set->count; i++) {
        if (!is_wanted(set, &set->rows[i], filter)) continue;
        if (!*heading || strcmp(*heading, set->title)) printf("%s%s:\n", *heading ? "\n" : "", set->title);
        *heading = set->title;
        print_row(&set->rows[i]);
    }
}

void qv__options_help(const qv__usage *usage, const char *filter) {
    if (!filter) {
        printf("qvec %s: %s\n\n%s\n", usage->name, usage->summary, usage->examples);
        printf("Usage: qvec %s %s\n\n", usage->name, usage->usage);
    }
    const char *heading = NULL;
    for (size_t i = 0; i < usage->set_count; i++) print_set(&usage->sets[i], filter, &heading);
    if (!heading) printf("qvec %s has no flag or heading with \"%s\" in it\n", usage->name, filter);
    if (!filter && usage->notes) printf("\n%s\n", usage->notes);
}
