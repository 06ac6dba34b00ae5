#include <string.h>

#include "cli/options.h"

enum { LONGEST = 63 };

static int least(int a, int b) {
    return a < b ? a : b;
}

int qv__edit_distance(const char *a, size_t a_size, const char *b, size_t b_size, int limit) {
    size_t apart = a_size > b_size ? a_size - b_size : b_size - a_size;
    if (limit < 0 || apart > (size_t)limit || a_size > LONGEST || b_size > LONGEST) return limit + 1;
    int rows[3][LONGEST + 1]; /* rows i-2, i-1, i of the table, in turn */
    for (size_t j = 0; j <= b_size; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_size; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    int d = rows[a_size % 3][b_size];
    return d > limit ? limit + 1 : d;
}
