/* The parts of the benchmarks that need no network: random numbers, figures, texts of an exact length. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/figures.h"
#include "bench/random.h"
#include "bench/schedule.h"
#include "bench/stats.h"
#include "bench/texts.h"
#include "check.h"

enum { DRAWS = 200000 };

TEST(random_numbers_repeat) {
    qv__random a, b, c;
    qv__random_seed(&a, 7);
    qv__random_seed(&b, 7);
    qv__random_seed(&c, 8);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = qv__random_next(&a);
        CHECK(x == qv__random_next(&b));
        same += x == qv__random_next(&c);
    }
    CHECK_INT(same, 0);
}

TEST(below_is_even) {
    qv__random r;
    int counts[7] = {0};
    qv__random_seed(&r, 1);
    for (int i = 0; i < 70000; i++) counts[qv__random_below(&r, 7)]++;
    double chi = 0;
    for (int i = 0; i < 7; i++) chi += (counts[i] - 1e4) * (counts[i] - 1e4) / 1e4;
    CHECK_MSG(chi < 22.5, "chi-squared %.1f", chi); /* 6 degrees, p = 0.001 */
}

static void check_moments(double shape) {
    static double values[DRAWS];
    qv__random r;
    qv__random_seed(&r, 3);
    for (int i = 0; i < DRAWS; i++) values[i] = qv__random_gamma(&r, shape);
    double mean = qv__mean(values, DRAWS), deviation = qv__deviation(values, DRAWS);
    CHECK_MSG(fabs(mean / shape - 1) < 0.02, "shape %g: mean %g", shape, mean);
    CHECK_MSG(fabs(deviation / sqrt(shape) - 1) < 0.03, "shape %g: deviation %g", shape, deviation);
}

TEST(gamma_has_its_moments) {
    check_moments(0.3);
    check_moments(1);
    check_moments(2.5);
    check_moments(50);
}

/* P(X <= x) of shape 2 is 1 - e^-x (1 + x). */
TEST(gamma_has_its_distribution) {
    static double values[10000];
    qv__random r;
    qv__random_seed(&r, 5);
    for (int i = 0; i < 10000; i++) values[i] = qv__random_gamma(&r, 2);
    qv__sort_values(values, 10000);
    double worst = 0;
    for (int i = 0; i < 10000; i++)
        worst = fmax(worst, fabs((i + 0.5) / 10000 - (1 - exp(-values[i]) * (1 + values[i]))));
    CHECK_MSG(worst < 1.95 / 100, "distance %.4f", worst); /* Kolmogorov and Smirnov, p = 0.001 */
}

/* numpy.percentile([1, 2, 4, 8], ...), numpy.std */
TEST(figures_are_numpys) {
    double values[] = {8, 1, 4, 2};
    qv__sort_values(values, 4);
    CHECK(values[0] == 1 && values[3] == 8);
    CHECK(qv__percentile(values, 4, 0) == 1 && qv__percentile(values, 4, 100) == 8);
    CHECK(qv__percentile(values, 4, 50) == 3);
    CHECK(fabs(qv__percentile(values, 4, 99) - 7.88) < 1e-12);
    CHECK(fabs(qv__percentile(values, 4, 25) - 1.75) < 1e-12);
    CHECK(fabs(qv__deviation(values, 4) - 2.680951323690902) < 1e-12);
    CHECK(qv__percentile(values, 1, 99) == 1 && qv__percentile(values, 0, 99) == 0 && qv__mean(values, 0) == 0);
}

TEST(clients_that_spoil_their_figures_are_told) {
    double latencies[] = {10, 100, 1000};
    qv__figures f = {.completed = 3, .latencies = latencies, .lag_p99 = 4.9};
    qv__load_totals idle = {.busiest = 0.79}, busy = {.busiest = 0.81};
    CHECK(qv__figures_client(&f, &idle, true) == QV__CLIENT_FINE);
    CHECK(qv__figures_client(&f, &busy, false) == QV__CLIENT_BUSY);
    f.lag_p99 = 5.1;
    CHECK(qv__figures_client(&f, &idle, true) == QV__CLIENT_LATE);
    CHECK(qv__figures_client(&f, &idle, false) == QV__CLIENT_FINE);
    CHECK(qv__figures_client(&f, &busy, true) == QV__CLIENT_BUSY);
    latencies[1] = 10; /* answers are quick, and so 1 ms is allowed, no more */
    f.lag_p99 = 0.9;
    CHECK(qv__figures_client(&f, &idle, true) == QV__CLIENT_FINE);
    f.lag_p99 = 1.1;
    CHECK(qv__figures_client(&f, &idle, true) == QV__CLIENT_LATE);
    f = (qv__figures){0};
    CHECK(qv__figures_client(&f, &idle, true) == QV__CLIENT_FINE);
}

static qv__tokenizer *opened(void) {
    static qv__tokenizer *t;
    qv_error err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/tiny-embedding", getenv("QVEC_TEST_CHECKPOINTS"));
    if (!t) CHECK_OK(qv__tokenizer_open(path, &t, &err), err);
    return t;
}

static size_t count_tokens(const qv__tokenizer *t, const qv__buffer *text) {
    qv__ids ids = {0};
    qv_error err = {0};
    CHECK_OK(qv__tokenizer_encode(t, text->data, text->size, false, 0, &ids, &err), err);
    for (size_t i = 0; i < ids.size; i++) CHECK(!qv__tokenizer_is_special(t, ids.data[i]));
    size_t count = ids.size;
    qv__ids_clear(&ids);
    return count;
}

TEST(texts_have_exactly_the_asked_tokens) {
    qv__tokenizer *t = opened();
    qv__texts texts;
    qv__random r;
    qv_error err = {0};
    CHECK_OK(qv__texts_open(t, &texts, &err), err);
    qv__random_seed(&r, check_seed());
    for (int tokens = 1; tokens < 400; tokens += 1 + tokens / 16) {
        qv__buffer text = {0};
        CHECK_OK(qv__texts_make(&texts, &r, tokens, NULL, &text, &err), err);
        CHECK_INT(count_tokens(t, &text), tokens);
        qv__buffer_clear(&text);
    }
    qv__texts_close(&texts);
}

TEST(texts_begin_with_their_head) {
    static const char head[] = "The same beginning for all, ";
    qv__texts texts;
    qv__random r;
    qv_error err = {0};
    qv__buffer text = {0};
    CHECK_OK(qv__texts_open(opened(), &texts, &err), err);
    qv__random_seed(&r, 1);
    CHECK_OK(qv__texts_make(&texts, &r, 100, head, &text, &err), err);
    CHECK(text.size > sizeof head && !memcmp(text.data, head, sizeof head - 1));
    CHECK_INT(count_tokens(opened(), &text), 100);
    CHECK_FAILS(qv__texts_make(&texts, &r, QV__TEXT_TOKENS_MAX + 1, NULL, &text, &err), QV_TOO_LONG, "1048576", err);
    qv__buffer_clear(&text);
    qv__texts_close(&texts);
}

/* ---- arrivals ---- */

enum { ARRIVALS = 5000 };

static double gaps[ARRIVALS];

static void make_gaps(const qv__schedule *schedule, uint64_t seed) {
    static double due[ARRIVALS];
    qv__random r;
    qv__random_seed(&r, seed);
    qv__schedule_make(schedule, &r, due, ARRIVALS);
    for (int i = 0; i < ARRIVALS; i++) gaps[i] = due[i] - (i ? due[i - 1] : 0);
}

/* Largest distance of the gaps' distribution from that of Erlang arrivals of a whole `shape`, mean 1 / rate. */
static double distance_to_erlang(int shape, double rate) {
    double worst = 0;
    qv__sort_values(gaps, ARRIVALS);
    for (int i = 0; i < ARRIVALS; i++) {
        double x = gaps[i] * rate * shape, term = exp(-x), sum = term;
        for (int k = 1; k < shape; k++) sum += term *= x / k;
        double below = 1 - sum;
        worst = fmax(worst, fmax(fabs(below - (double)i / ARRIVALS), fabs(below - (i + 1.0) / ARRIVALS)));
    }
    return worst;
}

/* Kolmogorov and Smirnov, p = 0.001. */
static const double ks_limit = 1.95 / 70.71; /* over the root of ARRIVALS */

TEST(arrivals_are_poisson) {
    make_gaps(&(qv__schedule){.rate = 20, .burstiness = 1}, 11);
    CHECK(distance_to_erlang(1, 20) < ks_limit);
    CHECK(distance_to_erlang(3, 20) > 3 * ks_limit); /* and of no other kind */
}

TEST(arrivals_are_gamma) {
    make_gaps(&(qv__schedule){.rate = 0.5, .burstiness = 3}, 12);
    CHECK(distance_to_erlang(3, 0.5) < ks_limit);
    CHECK(distance_to_erlang(1, 0.5) > 3 * ks_limit);
}

TEST(bursts_vary_more_than_poisson) {
    make_gaps(&(qv__schedule){.rate = 10, .burstiness = 0.25}, 13);
    double variation = qv__deviation(gaps, ARRIVALS) / qv__mean(gaps, ARRIVALS);
    CHECK_MSG(fabs(variation / 2 - 1) < 0.1, "%g", variation); /* 1 / sqrt(0.25) */
}

TEST(arrivals_end_at_count_over_rate) {
    double due[100];
    qv__random r;
    qv__random_seed(&r, 1);
    qv__schedule_make(&(qv__schedule){.rate = 8, .burstiness = 1}, &r, due, 100);
    CHECK(fabs(due[99] - 12.5) < 1e-9);
    for (int i = 1; i < 100; i++) CHECK(due[i] >= due[i - 1]);
    qv__schedule_make(&(qv__schedule){.rate = INFINITY, .burstiness = 1}, &r, due, 100);
    CHECK(due[0] == 0 && due[99] == 0);
    qv__schedule_make(&(qv__schedule){.rate = 4, .burstiness = INFINITY}, &r, due, 100);
    for (int i = 0; i < 100; i++) CHECK(fabs(due[i] - (i + 1) / 4.0) < 1e-9);
}

TEST(ramps) {
    qv__schedule s = {.ramp = QV__RAMP_EXPONENTIAL, .ramp_start = 1, .ramp_end = 100, .burstiness = INFINITY};
    CHECK(qv__schedule_rate(&s, 0, 3) == 1 && fabs(qv__schedule_rate(&s, 1, 3) - 10) < 1e-9);
    CHECK(fabs(qv__schedule_rate(&s, 2, 3) - 100) < 1e-9 && qv__schedule_rate(&s, 0, 1) == 1);
    s.ramp = QV__RAMP_LINEAR;
    CHECK(qv__schedule_rate(&s, 1, 3) == 50.5);
}
