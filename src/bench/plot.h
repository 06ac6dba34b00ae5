/* Pictures of a run: latency over time, its distribution, and throughput. */
#ifndef QVEC_BENCH_PLOT_H
#define QVEC_BENCH_PLOT_H

#include "bench/figures.h"

/* One SVG image of three panels. title: escaped here. */
void qv__plot_svg(const qv__load_result *results, size_t count, const qv__figures *figures, const char *title,
                  qv__buffer *out);
/* Latency over time, its distribution and the throughput as lines of text, at most `columns` wide (20 at least). */
void qv__plot_text(const qv__load_result *results, size_t count, const qv__figures *figures, int columns,
                   qv__buffer *out);
#endif
