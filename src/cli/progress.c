#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/console.h"

enum { QUIET_NS = 500000000, EVERY_NS = 100000000, BAR = 16 };

void qv__progress_start(qv__progress *p, bool wanted) {
    *p = (qv__progress){.shown = wanted && isatty(STDERR_FILENO), .start_ns = qv__now_ns(), .fraction = -1};
}

/* "1:05", "2:03:04" */
static void print_time(double seconds, char out[32]) {
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%ld:%02ld", s / 60, s % 60);
}

static int columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20 ? 80 : size.ws_col;
}

static void draw(qv__progress *p, double seconds) {
    char line[512], bar[BAR + 1], left[32] = "";
    int n = 0;
    if (p->fraction >= 0) {
        int full = (int)(p->fraction * BAR);
        for (int i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '-';
        bar[BAR] = 0;
        n = qv__text_print(line, sizeof line, "[%s] %3.0f%%  ", bar, 100 * p->fraction);
        if (p->fraction > 0) print_time(seconds * (1 - p->fraction) / p->fraction, left);
    }
    n += qv__text_print(line + n, sizeof line - (size_t)n, "%lld done  %.1f/s  %.0f tokens/s", (long long)p->items,
                        (double)p->items / seconds, (double)p->tokens / seconds);
    if (p->failed) n += qv__text_print(line + n, sizeof line - (size_t)n, "  %lld failed", (long long)p->failed);
    if (*left) qv__text_print(line + n, sizeof line - (size_t)n, "  %s left", left);
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
    fflush(stderr);
}

void qv__progress_tick(qv__progress *p) {
    int64_t now = qv__now_ns();
    if (!p->shown || now - p->start_ns < QUIET_NS || now - p->drawn_ns < EVERY_NS) return;
    draw(p, (double)(now - p->start_ns) / 1e9);
    p->drawn = true;
    qv__console_set_line(true);
    p->drawn_ns = now;
}

void qv__progress_clear(qv__progress *p) {
    if (p->drawn) fputs("\r\033[K", stderr);
    qv__console_set_line(false);
}

void qv__progress_end(qv__progress *p, const char *noun) {
    qv__progress_clear(p);
    if (!p->drawn) return;
    double seconds = (double)(qv__now_ns() - p->start_ns) / 1e9;
    char took[32];
    print_time(seconds, took);
    fprintf(stderr, "%lld %s, %lld tokens in %s (%.1f/s, %.0f tokens/s)\n", (long long)p->items, noun,
            (long long)p->tokens, took, (double)p->items / seconds, (double)p->tokens / seconds);
    p->drawn = false;
}
