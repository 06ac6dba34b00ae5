#include "bench/plot.h"

#include <math.h>
#include <string.h>

#include "bench/stats.h"

enum { PANEL_W = 720, PANEL_H = 200, LEFT = 80, TOP = 60, STEP = 270, BINS = 40, SLICES = 60, DOTS_MAX = 20000 };

/* Bars of a histogram. */
typedef struct {
    double from, to;
    int count;
    double bars[BINS > SLICES ? BINS : SLICES];
} histogram;

/* Answered requests by latency. */
static void by_latency(const qv__figures *f, histogram *h) {
    *h = (histogram){.from = f->completed ? f->latencies[0] : 0, .count = BINS};
    h->to = f->completed ? f->latencies[f->completed - 1] : 1;
    if (h->to <= h->from) h->to = h->from + 1e-3;
    for (size_t i = 0; i < f->completed; i++) {
        int bin = (int)((f->latencies[i] - h->from) / (h->to - h->from) * BINS);
        h->bars[bin < BINS ? bin : BINS - 1]++;
    }
}

/* Answers a second, slice by slice. */
static void by_time(const qv__load_result *results, size_t count, const qv__figures *f, histogram *h) {
    *h = (histogram){.to = f->seconds > 0 ? f->seconds : 1e-3, .count = SLICES};
    for (size_t i = 0; i < count; i++) {
        if (results[i].state != QV__LOAD_DONE) continue;
        int slice = (int)((double)results[i].done_ns / 1e9 / h->to * SLICES);
        h->bars[slice < SLICES ? slice : SLICES - 1] += SLICES / h->to;
    }
}

static double highest(const histogram *h) {
    double most = 0;
    for (int i = 0; i < h->count; i++) most = fmax(most, h->bars[i]);
    return most > 0 ? most : 1;
}

/* ---- SVG ---- */

static void escape(qv__buffer *out, const char *text) {
    for (; *text; text++) {
        const char *entity = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (entity)
            qv__buffer_puts(out, entity);
        else if ((unsigned char)*text >= 0x20)
            qv__buffer_append(out, text, 1);
    }
}

static int top_of(int panel) {
    return TOP + panel * STEP;
}

/* Frame, title, and the ends of both axes. */
static void open_panel(qv__buffer *out, int panel, const char *title, double x0, double x1, double y1) {
    int y = top_of(panel);
    qv__buffer_printf(out,
                      "<text x=\"%d\" y=\"%d\" class=\"t\">%s</text>\n"
                      "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"f\"/>\n",
                      LEFT, y - 8, title, LEFT, y, PANEL_W, PANEL_H);
    qv__buffer_printf(out,
                      "<text x=\"%d\" y=\"%d\">%.4g</text>\n<text x=\"%d\" y=\"%d\" class=\"e\">%.4g</text>\n"
                      "<text x=\"%d\" y=\"%d\" class=\"e\">%.4g</text>\n<text x=\"%d\" y=\"%d\" class=\"e\">0</text>\n",
                      LEFT, y + PANEL_H + 16, x0, LEFT + PANEL_W, y + PANEL_H + 16, x1, LEFT - 6, y + 10, y1, LEFT - 6,
                      y + PANEL_H);
}

static void draw_bars(qv__buffer *out, int panel, const char *title, const histogram *h) {
    double most = highest(h), width = (double)PANEL_W / h->count;
    open_panel(out, panel, title, h->from, h->to, most);
    for (int i = 0; i < h->count; i++) {
        double height = h->bars[i] / most * PANEL_H;
        if (height <= 0) continue;
        qv__buffer_printf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" class=\"b\"/>\n",
                          LEFT + i * width, top_of(panel) + PANEL_H - height, width - 1, height);
    }
}

/* A dot for each request, at most DOTS_MAX of them; failed ones in red at the top. */
static void draw_dots(qv__buffer *out, const qv__load_result *results, size_t count, const qv__figures *f) {
    double most = f->completed ? f->latencies[f->completed - 1] : 1, end = f->seconds > 0 ? f->seconds : 1e-3;
    size_t step = count / DOTS_MAX + 1;
    if (most <= 0) most = 1;
    open_panel(out, 0, "Latency (ms) over the time (s) when a request was due", 0, end, most);
    for (size_t i = 0; i < count; i += step) {
        const qv__load_result *r = &results[i];
        bool failed = r->state == QV__LOAD_FAILED;
        if (!failed && r->state != QV__LOAD_DONE) continue;
        double x = LEFT + (double)r->from_ns / 1e9 / end * PANEL_W, part = failed ? 1 : qv__latency_ms(r) / most;
        qv__buffer_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.5\" class=\"%s\"/>\n", fmin(x, LEFT + PANEL_W),
                          top_of(0) + PANEL_H - part * PANEL_H, failed ? "x" : "d");
    }
}

void qv__plot_svg(const qv__load_result *results, size_t count, const qv__figures *figures, const char *title,
                  qv__buffer *out) {
    histogram h;
    qv__buffer_printf(out,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
                      "font-size=\"12\">\n<style>.t{font-size:14px}.e{text-anchor:end}.f{fill:none;stroke:#888}"
                      ".b{fill:#3b7dd8}.d{fill:#3b7dd8;fill-opacity:.5}.x{fill:#d33}</style>\n"
                      "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"24\" class=\"t\">",
                      LEFT + PANEL_W + 40, top_of(3) - 20, LEFT);
    escape(out, title);
    qv__buffer_puts(out, "</text>\n");
    draw_dots(out, results, count, figures);
    by_latency(figures, &h);
    draw_bars(out, 1, "Requests by latency (ms)", &h);
    by_time(results, count, figures, &h);
    draw_bars(out, 2, "Answers a second over time (s)", &h);
    qv__buffer_puts(out, "</svg>\n");
}

/* ---- text ---- */

static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
enum { HEIGHTS = 8, ROWS = 4 };

/* One line of bars, eight heights each. */
static void draw_line(qv__buffer *out, const histogram *h, int columns) {
    int count = h->count < columns ? h->count : columns;
    double most = 0, merged[sizeof h->bars / sizeof *h->bars] = {0};
    for (int i = 0; i < h->count; i++) merged[i * count / h->count] += h->bars[i];
    for (int i = 0; i < count; i++) most = fmax(most, merged[i]);
    for (int i = 0; i < count; i++) qv__buffer_puts(out, blocks[most > 0 ? (int)ceil(merged[i] / most * HEIGHTS) : 0]);
    qv__buffer_puts(out, "\n");
}

/* The slowest answer among the requests that were due in each slice of time, ms. */
static void slowest_by_time(const qv__load_result *results, size_t count, const qv__figures *f, histogram *h) {
    *h = (histogram){.to = f->seconds > 0 ? f->seconds : 1e-3, .count = SLICES};
    for (size_t i = 0; i < count; i++) {
        if (results[i].state != QV__LOAD_DONE) continue;
        int slice = (int)((double)results[i].from_ns / 1e9 / h->to * SLICES);
        double *bar = &h->bars[slice < SLICES ? slice : SLICES - 1];
        *bar = fmax(*bar, qv__latency_ms(&results[i]));
    }
}

/* Bars of ROWS lines. Neighbours that share a column give it the higher of them. */
static void draw_rows(qv__buffer *out, const histogram *h, int columns) {
    int count = h->count < columns ? h->count : columns;
    double most = highest(h), merged[sizeof h->bars / sizeof *h->bars] = {0};
    for (int i = 0; i < h->count; i++) merged[i * count / h->count] = fmax(merged[i * count / h->count], h->bars[i]);
    for (int row = ROWS - 1; row >= 0; row--) {
        for (int i = 0; i < count; i++) {
            int height = (int)ceil(merged[i] / most * ROWS * HEIGHTS) - row * HEIGHTS;
            qv__buffer_puts(out, blocks[height < 0 ? 0 : height > HEIGHTS ? HEIGHTS : height]);
        }
        qv__buffer_puts(out, "\n");
    }
}

void qv__plot_text(const qv__load_result *results, size_t count, const qv__figures *figures, int columns,
                   qv__buffer *out) {
    histogram h;
    slowest_by_time(results, count, figures, &h);
    qv__buffer_printf(out, "Slowest answer by when it was due, 0 to %.2f s, at most %.2f ms\n", h.to,
                      figures->completed ? highest(&h) : 0);
    draw_rows(out, &h, columns);
    by_latency(figures, &h);
    qv__buffer_printf(out, "Requests by latency, %.2f to %.2f ms\n", h.from, h.to);
    draw_line(out, &h, columns);
    by_time(results, count, figures, &h);
    qv__buffer_printf(out, "Answers a second, 0 to %.2f s, at most %.1f\n", h.to, highest(&h));
    draw_line(out, &h, columns);
}
