#include "cli/limit_flags.h"

#include <string.h>

#include "cli/console.h"

/* 64M, 4096, 16M: as the flag takes it. */
static void print_value(int64_t value, bool bytes, char *out, size_t size) {
    static const char units[] = "KMG";
    int k = -1;
    while (bytes && k < 2 && value && value % 1024 == 0) value /= 1024, k++;
    if (k < 0)
        qv__text_print(out, size, "%lld", (long long)value);
    else
        qv__text_print(out, size, "%lld%c", (long long)value, units[k]);
}

static qv__option row_of(const qv__limit *limit, char *help, size_t size) {
    char initial[32];
    bool bytes = !strcmp(limit->unit, "BYTES"), seconds = !strcmp(limit->unit, "SECONDS");
    print_value(limit->initial, bytes, initial, sizeof initial);
    qv__text_print(help, size, "%s Default: %s.", limit->help, initial);
    return (qv__option){.name = limit->flag,
                        .kind = limit->fraction ? QV__OPTION_NUMBER
                                : seconds       ? QV__OPTION_INT
                                                : QV__OPTION_COUNT,
                        .offset = limit->offset,
                        .metavar = limit->unit,
                        .help = help,
                        .min = limit->min,
                        .max = limit->max};
}

qv__option_set qv__limit_set(qv__limit_group group, qv__limits *values) {
    static qv__option rows[2][QV__LIMITS];
    static char help[QV__LIMITS][320];
    static const char *const titles[] = {"Limits of requests", "Limits of untrusted pictures and videos"};
    size_t count = 0;
    for (size_t i = 0; i < QV__LIMITS; i++)
        if (qv__limit_table[i].group == group)
            rows[group][count++] = row_of(&qv__limit_table[i], help[i], sizeof help[i]);
    return (qv__option_set){titles[group], rows[group], count, values};
}
