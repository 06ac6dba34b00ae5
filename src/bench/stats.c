#include "bench/stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qv__sort_values(double *values, size_t count) {
    if (count) qsort(values, count, sizeof *values, compare);
}

double qv__percentile(const double *sorted, size_t count, double p) {
    if (!count) return 0;
    double at = p / 100 * (double)(count - 1);
    size_t low = (size_t)at;
    if (low + 1 >= count) return sorted[count - 1];
    return sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]);
}

double qv__mean(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return count ? sum / (double)count : 0;
}

double qv__deviation(const double *values, size_t count) {
    double mean = qv__mean(values, count), sum = 0;
    for (size_t i = 0; i < count; i++) sum += (values[i] - mean) * (values[i] - mean);
    return count ? sqrt(sum / (double)count) : 0;
}
