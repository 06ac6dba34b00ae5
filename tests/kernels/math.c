/* exp and the activations: against libm in double precision over all exponents, at the edges, and every tier's vectors
 * against the scalar form, byte for byte (through the linear op with one input and weights of 1, which is how they
 * run). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/math.h"
#include "kernels/tier.h"

enum { STRIDE = 20011, LANES = 40 }; /* of bit patterns: a prime, 214,000 values */

static double ulp_of(double x) { /* of fp32 around x */
    return fabs(x) < 0x1p-126 ? 0x1p-149 : ldexp(1, ilogb(x) - 23);
}

TEST(exp_is_close) {
    double worst = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
        float x = qv__float_of_bits((uint32_t)bits), got = qv__exp(x);
        double want = exp((double)x);
        if (isnan(x)) {
            CHECK(isnan(got));
        } else if (want > 0x1.fffffep127) {
            CHECK(isinf(got) || got == 0x1.fffffep127f);
        } else {
            double error = fabs(got - want) / ulp_of(want);
            worst = fmax(worst, error);
            CHECK_MSG(error < 0.9, "exp(%a) is %a: %.3f ulp", (double)x, (double)got, error);
        }
    }
    printf("# exp: worst %.3f ulp\n", worst);
}

TEST(exp_edges) {
    CHECK(qv__exp(0.0f) == 1.0f && qv__exp(-0.0f) == 1.0f);
    CHECK(qv__exp(-INFINITY) == 0.0f && !signbit(qv__exp(-INFINITY)));
    CHECK(qv__exp(-1e30f) == 0.0f && qv__exp(-104.0f) == 0.0f);
    CHECK(qv__exp(-103.5f) == 0x1p-149f);
    CHECK(qv__exp(INFINITY) == INFINITY && qv__exp(88.73f) == INFINITY);
    CHECK(qv__exp(88.72f) < INFINITY);
    CHECK(isnan(qv__exp(NAN)) && isnan(qv__silu(NAN)) && isnan(qv__gelu_tanh(NAN)) && isnan(qv__gelu_erf(NAN)));
}

static double exact_silu(double x) {
    return x / (1 + exp(-x));
}
static double exact_gelu_tanh(double x) {
    return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
static double exact_gelu_erf(double x) {
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}

static void check_close(const char *name, float (*function)(float), double (*exact)(double), double bound) {
    double worst = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
        float x = qv__float_of_bits((uint32_t)bits), got = function(x);
        if (!isfinite(x)) continue;
        double error = fabs(got - exact((double)x)), limit = bound * fabs((double)x) + 0x1p-149;
        CHECK_MSG(error <= limit, "%s(%a) is %a, error %.3g |x|", name, (double)x, (double)got,
                  error / fabs((double)x));
        if (fabsf(x) > 1e-30f) worst = fmax(worst, error / fabs((double)x));
    }
    printf("# %s: worst error %.3g |x|\n", name, worst);
}

static float silu(float x) {
    return qv__silu(x);
}
static float gelu_tanh(float x) {
    return qv__gelu_tanh(x);
}
static float gelu_erf(float x) {
    return qv__gelu_erf(x);
}

TEST(activations_are_close) {
    check_close("silu", silu, exact_silu, 1.2e-7);
    check_close("gelu_tanh", gelu_tanh, exact_gelu_tanh, 1.2e-7);
    check_close("gelu_erf", gelu_erf, exact_gelu_erf, 2.1e-7);
}

/* ---- vectors ---- */

static float expected(float x, qv__epilogue epilogue) {
    if (epilogue == QV__EPI_SILU_MUL) return qv__silu(x) * x;
    return epilogue == QV__EPI_GELU_TANH ? qv__gelu_tanh(x) : qv__gelu_erf(x);
}

static void check_tier(int tier, const float *x, float *out, int64_t rows) {
    static float ones[LANES];
    static const qv__epilogue epilogues[] = {QV__EPI_SILU_MUL, QV__EPI_GELU_TANH, QV__EPI_GELU_ERF};
    qv_error err = {0};
    qv__backend *cpu;
    qv__weight w;
    for (int i = 0; i < LANES; i++) ones[i] = 1;
    qv__tensor t = {
        .name = "ones", .dtype = QV__F32, .rank = 2, .shape = {LANES, 1}, .bytes = sizeof ones, .data = ones};
    CHECK_OK(qv__cpu_backend_open(2, qv__tier_name((qv__tier)tier), &cpu, &err), err);
    CHECK_OK(cpu->ops->weight_open(cpu, &t, LANES, 1, &w, &err), err);
    for (size_t e = 0; e < sizeof epilogues / sizeof epilogues[0]; e++) {
        qv__linear a = {.out = out, .out_stride = LANES, .x = x, .x_stride = 1, .rows = rows, .w = &w};
        a.epilogue = epilogues[e];
        if (a.epilogue == QV__EPI_SILU_MUL) a.w_up = &w;
        cpu->ops->linear(cpu, &a);
        for (int64_t r = 0; r < rows; r++) {
            float want = expected(x[r] == 0 ? 0.0f : x[r], a.epilogue); /* 0 + -0 is +0 */
            for (int i = 0; i < LANES; i++) {
                float got = out[r * LANES + i];
                CHECK_MSG(isnan(want) ? isnan(got) : !memcmp(&got, &want, sizeof got),
                          "%s, epilogue %d of %a: %a, not %a", qv__tier_name((qv__tier)tier), (int)a.epilogue,
                          (double)x[r], (double)got, (double)want);
            }
        }
    }
    cpu->ops->weight_close(cpu, &w);
    cpu->ops->close(cpu);
}

TEST(vectors_give_the_same_bytes) {
    enum { ROWS = 30000 };
    float *x = malloc(ROWS * sizeof *x), *out = malloc((size_t)ROWS * LANES * sizeof *out);
    uint64_t seed = check_seed();
    CHECK(x && out);
    for (int r = 0; r < ROWS; r++) /* half of them where the functions bend, half any bits */
        x[r] = r % 2 ? 12 * (float)check_uniform(&seed) : qv__float_of_bits((uint32_t)check_random(&seed));
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++) check_tier(tier, x, out, ROWS);
    free(x);
    free(out);
}
