/* Row operations in every tier that this machine has: against the contract of kernels/rows.h written out here, byte for
 * byte, and against double precision; then the backend's ops with strides and any number of threads. */
#include <math.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/half.h"
#include "kernels/rows.h"

static const int64_t widths[] = {1,  2,  3,  7,  8,  9,  15,  16,  17,   24,   31,
                                 32, 33, 36, 48, 64, 72, 100, 128, 1023, 1152, 2048};
enum { WIDTHS = sizeof widths / sizeof widths[0], LANES = 16 };

/* Ends at a page that faults. */
static float *floats(int64_t count, uint64_t *seed) {
    float *x = check_guarded((size_t)count * sizeof *x, false);
    for (int64_t i = 0; seed && i < count; i++) x[i] = 3 * (float)check_uniform(seed);
    return x;
}

static void check_same(const char *what, int tier, const float *got, const float *want, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        CHECK_MSG(!memcmp(got + i, want + i, sizeof *got), "%s, tier %s, width %d: [%d] is %.9g, not %.9g", what,
                  qv__tier_name((qv__tier)tier), (int)count, (int)i, (double)got[i], (double)want[i]);
}

static void check_near(const char *what, const float *got, const double *want, int64_t count, double bound) {
    for (int64_t i = 0; i < count; i++)
        CHECK_MSG(fabs(got[i] - want[i]) <= bound * (1 + fabs(want[i])), "%s, width %d: [%d] is %.9g, exactly %.12g",
                  what, (int)count, (int)i, (double)got[i], want[i]);
}

/* ---- norms ---- */

static float tree(float lanes[LANES]) {
    for (int step = LANES / 2; step; step /= 2)
        for (int l = 0; l < step; l++) lanes[l] += lanes[l + step];
    return lanes[0];
}

static float scale_of(const float *x, int64_t width, float mean, float eps) {
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < width; i++) lanes[i % LANES] = fmaf(x[i] - mean, x[i] - mean, lanes[i % LANES]);
    return 1.0f / sqrtf(tree(lanes) / (float)width + eps);
}

static double exact_scale(const float *x, int64_t width, double mean, double eps) {
    double sum = 0;
    for (int64_t i = 0; i < width; i++) sum += (x[i] - mean) * (x[i] - mean);
    return 1 / sqrt(sum / (double)width + eps);
}

static void check_rmsnorm(int tier, int64_t width, uint64_t *seed) {
    float *x = floats(width, seed), *w = floats(width, seed), *out = floats(width, NULL), *want = floats(width, NULL);
    double *exact = malloc((size_t)width * sizeof *exact);
    const float eps = 1e-6f, scale = scale_of(x, width, 0, eps);
    const double by = exact_scale(x, width, 0, (double)eps);
    for (int64_t i = 0; i < width; i++) {
        want[i] = x[i] * scale * w[i];
        exact[i] = x[i] * by * w[i];
    }
    const qv__rows_kernels *k = qv__rows_kernels_of((qv__tier)tier);
    k->rmsnorm(out, x, width, w, eps);
    check_same("rmsnorm", tier, out, want, width);
    check_near("rmsnorm", out, exact, width, 1e-6);
    k->rmsnorm(x, x, width, w, eps);
    check_same("rmsnorm in place", tier, x, want, width);
    free(exact);
}

static void check_layernorm(int tier, int64_t width, uint64_t *seed) {
    float *x = floats(width, seed), *w = floats(width, seed), *b = floats(width, seed), *out = floats(width, NULL);
    float *want = floats(width, NULL), lanes[LANES] = {0};
    double *exact = malloc((size_t)width * sizeof *exact), sum = 0;
    const float eps = 1e-6f;
    for (int64_t i = 0; i < width; i++) x[i] += 5; /* a mean far from 0 */
    for (int64_t i = 0; i < width; i++) sum += x[i], lanes[i % LANES] += x[i];
    float mean = tree(lanes) / (float)width, scale = scale_of(x, width, mean, eps);
    double exact_mean = sum / (double)width, by = exact_scale(x, width, exact_mean, (double)eps);
    for (int64_t i = 0; i < width; i++) {
        want[i] = fmaf((x[i] - mean) * scale, w[i], b[i]);
        exact[i] = (x[i] - exact_mean) * by * w[i] + b[i];
    }
    const qv__rows_kernels *k = qv__rows_kernels_of((qv__tier)tier);
    k->layernorm(out, x, width, w, b, eps);
    check_same("layernorm", tier, out, want, width);
    if (width > 2)
        check_near("layernorm", out, exact, width, 1e-5); /* below, rounding of the mean can be all there is */
    k->layernorm(x, x, width, w, b, eps);
    check_same("layernorm in place", tier, x, want, width);
    free(exact);
}

TEST(norms) {
    uint64_t seed = check_seed();
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++)
        for (int i = 0; i < WIDTHS; i++) {
            check_rmsnorm(tier, widths[i], &seed);
            check_layernorm(tier, widths[i], &seed);
        }
}

/* ---- rope, formats, sums ---- */

static void check_rope(int tier, int64_t half, uint64_t *seed) {
    float *x = floats(2 * half, seed), *c = floats(half, seed), *s = floats(half, seed), *want = floats(2 * half, NULL);
    double *exact = malloc((size_t)(2 * half) * sizeof *exact);
    for (int64_t k = 0; k < half; k++) {
        float a = x[k], b = x[k + half];
        want[k] = fmaf(a, c[k], -(b * s[k]));
        want[k + half] = fmaf(b, c[k], a * s[k]);
        exact[k] = (double)a * c[k] - (double)b * s[k];
        exact[k + half] = (double)b * c[k] + (double)a * s[k];
    }
    qv__rows_kernels_of((qv__tier)tier)->rope(x, half, c, s);
    check_same("rope", tier, x, want, 2 * half);
    check_near("rope", x, exact, 2 * half, 2e-6);
    free(exact);
}

static void check_formats(int tier, int64_t width, qv__dtype dtype, uint64_t *seed) {
    size_t size = qv__dtype_size(dtype);
    const void *table[4];
    float *x = floats(width, seed), *want = floats(width, NULL), *out = floats(width, NULL), weight[4];
    memcpy(want, x, (size_t)width * sizeof *x);
    for (int t = 0; t < 4; t++) { /* up to the guard, so seldom aligned to a vector */
        unsigned char *stored = (unsigned char *)check_guarded((size_t)width * size, false);
        for (int64_t i = 0; i < width; i++) {
            uint32_t bits = (uint32_t)check_random(seed);
            float value = (float)check_uniform(seed);
            uint16_t half = (uint16_t)(dtype == QV__F16 ? (bits & 0x83ff) | (bits >> 16) % 30 << 10 : bits & 0xbfff);
            memcpy(stored + (size_t)i * size, dtype == QV__F32 ? (const void *)&value : &half, size);
        }
        table[t] = stored;
        weight[t] = (float)check_uniform(seed);
    }
    const qv__rows_kernels *k = qv__rows_kernels_of((qv__tier)tier);
    for (int64_t i = 0; i < width; i++) {
        float v[4];
        for (int t = 0; t < 4; t++)
            v[t] = weight[t] * qv__stored_to_float(dtype, (const unsigned char *)table[t] + (size_t)i * size);
        want[i] = x[i] + (((v[0] + v[1]) + v[2]) + v[3]);
    }
    k->add_weighted(x, weight, table, dtype, width);
    check_same("add_weighted", tier, x, want, width);
    k->widen(out, table[0], dtype, width);
    for (int64_t i = 0; i < width; i++)
        want[i] = qv__stored_to_float(dtype, (const unsigned char *)table[0] + (size_t)i * size);
    check_same("widen", tier, out, want, width);
    for (int64_t i = 0; i < width; i++) want[i] = x[i] + out[i];
    k->add(x, out, width);
    check_same("add", tier, x, want, width);
}

TEST(rope_formats_and_sums) {
    uint64_t seed = check_seed();
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++)
        for (int i = 0; i < WIDTHS; i++) {
            check_rope(tier, widths[i], &seed);
            for (int d = QV__F32; d <= QV__BF16; d++) check_formats(tier, widths[i], (qv__dtype)d, &seed);
        }
}

/* All 65536 halves of both formats, against arithmetic; NaNs stay NaNs. */
TEST(every_half) {
    static uint16_t halves[65536];
    static float out[65536];
    for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++)
        for (int d = QV__F16; d <= QV__BF16; d++) {
            qv__rows_kernels_of((qv__tier)tier)->widen(out, halves, (qv__dtype)d, 65536);
            int bits = d == QV__F16 ? 10 : 7, bias = d == QV__F16 ? 15 : 127, top = d == QV__F16 ? 31 : 255;
            for (int i = 0; i < 65536; i++) {
                int exponent = (i & 0x7fff) >> bits, fraction = i & ((1 << bits) - 1);
                double want =
                    exponent ? ldexp(1 + ldexp(fraction, -bits), exponent - bias) : ldexp(fraction, 1 - bias - bits);
                if (exponent == top) want = fraction ? (double)NAN : (double)INFINITY;
                if (isnan(want)) {
                    CHECK(isnan(out[i]));
                } else {
                    CHECK_MSG((double)out[i] == (i & 0x8000 ? -want : want) && !!signbit(out[i]) == !!(i & 0x8000),
                              "%s %04x is %g", d == QV__F16 ? "f16" : "bf16", i, (double)out[i]);
                }
            }
        }
}

/* ---- the ops ---- */

static qv__backend *open_cpu(int threads) {
    qv__backend *cpu;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(threads, NULL, &cpu, &err), err);
    return cpu;
}

/* Norms over strided rows give what the kernel gives row by row, and leave the gaps alone. */
TEST(ops_on_strided_rows) {
    enum { ROWS = 77, WIDTH = 1000, GAP = 8, STRIDE = WIDTH + GAP };
    uint64_t seed = check_seed();
    const qv__rows_kernels *k = qv__rows_kernels_of(qv__tier_best());
    float *x = floats(ROWS * STRIDE - GAP, &seed), *w = floats(WIDTH, &seed), *bias = floats(WIDTH, &seed), want[WIDTH];
    float *out = floats(ROWS * STRIDE - GAP, NULL);
    for (int threads = 1; threads <= 5; threads++) {
        qv__backend *cpu = open_cpu(threads);
        for (int layer = 0; layer < 2; layer++) {
            for (int i = 0; i < ROWS * STRIDE - GAP; i++) out[i] = -7;
            if (layer)
                cpu->ops->layernorm(cpu, out, STRIDE, x, STRIDE, ROWS, WIDTH, w, bias, 1e-6f);
            else
                cpu->ops->rmsnorm(cpu, out, STRIDE, x, STRIDE, ROWS, WIDTH, w, 1e-6f);
            for (int r = 0; r < ROWS; r++) {
                if (layer)
                    k->layernorm(want, x + r * STRIDE, WIDTH, w, bias, 1e-6f);
                else
                    k->rmsnorm(want, x + r * STRIDE, WIDTH, w, 1e-6f);
                check_same("row", (int)qv__tier_best(), out + r * STRIDE, want, WIDTH);
                for (int i = WIDTH; i < STRIDE && r + 1 < ROWS; i++) CHECK(out[r * STRIDE + i] == -7);
            }
        }
        cpu->ops->close(cpu);
    }
}

TEST(qk_norm_rope_by_head) {
    enum { ROWS = 60, HEADS = 6, DIM = 40, STRIDE = HEADS * DIM + 4 };
    uint64_t seed = check_seed();
    const qv__rows_kernels *k = qv__rows_kernels_of(qv__tier_best());
    float *w = floats(DIM, &seed), *c = floats(ROWS * DIM / 2, &seed), *s = floats(ROWS * DIM / 2, &seed);
    qv__backend *cpu = open_cpu(3);
    for (int normed = 0; normed < 2; normed++) {
        float *x = floats(ROWS * STRIDE - 4, &seed), *want = floats(ROWS * STRIDE - 4, NULL);
        memcpy(want, x, (ROWS * STRIDE - 4) * sizeof *x);
        for (int r = 0; r < ROWS; r++)
            for (int h = 0; h < HEADS; h++) {
                float *head = want + r * STRIDE + h * DIM;
                if (normed) k->rmsnorm(head, head, DIM, w, 1e-6f);
                k->rope(head, DIM / 2, c + r * DIM / 2, s + r * DIM / 2);
            }
        cpu->ops->qk_norm_rope(cpu, x, STRIDE, ROWS, HEADS, DIM, normed ? w : NULL, 1e-6f, c, s);
        check_same("qk_norm_rope", (int)qv__tier_best(), x, want, ROWS * STRIDE - 4);
    }
    cpu->ops->close(cpu);
}

/* Frequencies to the last place of what torch 2.15 gives, and angles up to the longest context. */
TEST(mrope_table_axes_and_angles) {
    enum { ROWS = 300, HALF = 64 };
    static const int section[3] = {24, 20, 20};
    static const float torch[][2] = {
        {0, 1}, {1, 0x1.92585p-1f}, {2, 0x1.3c2cbap-1f}, {32, 0x1.d4effep-12f}, {63, 0x1.11469ep-22f}};
    static int32_t positions[3 * ROWS];
    static float cosine[ROWS * HALF], sine[ROWS * HALF], again[ROWS * HALF], f[HALF];
    uint64_t seed = check_seed();
    for (int i = 0; i < 3 * ROWS; i++) positions[i] = (int32_t)(check_random(&seed) % 32769);
    qv__rope_frequencies(f, HALF, 5e6, 2 * HALF);
    for (size_t i = 0; i < sizeof torch / sizeof torch[0]; i++)
        CHECK_MSG(f[(int)torch[i][0]] == torch[i][1], "frequency %d is %.9g", (int)torch[i][0],
                  (double)f[(int)torch[i][0]]);
    for (int threads = 1; threads <= 3; threads += 2) {
        qv__backend *cpu = open_cpu(threads);
        cpu->ops->mrope_table(cpu, cosine, sine, positions, ROWS, ROWS, 2 * HALF, 5e6, section);
        for (int r = 0; r < ROWS; r++)
            for (int k = 0; k < HALF; k++) {
                int axis = k % 3 == 1 && k < 60 ? 1 : k % 3 == 2 && k < 60 ? 2 : 0;
                float angle = (float)positions[axis * ROWS + r] * f[k];
                CHECK(cosine[r * HALF + k] == (float)cos((double)angle));
                CHECK(sine[r * HALF + k] == (float)sin((double)angle));
            }
        if (threads > 1) CHECK(!memcmp(again, cosine, sizeof again));
        memcpy(again, cosine, sizeof again);
        cpu->ops->close(cpu);
    }
}

TEST(embed_gather_scatter) {
    enum { TABLE = 50, ROWS = 40, WIDTH = 600, STRIDE = WIDTH + 3 };
    static uint16_t table[TABLE * WIDTH];
    static float out[ROWS * STRIDE], moved[ROWS * STRIDE], back[TABLE * STRIDE];
    int32_t ids[ROWS], distinct[ROWS];
    uint64_t seed = check_seed();
    qv__backend *cpu = open_cpu(3);
    for (int i = 0; i < TABLE * WIDTH; i++) table[i] = (uint16_t)(check_random(&seed) & 0xbfff);
    for (int r = 0; r < ROWS; r++) ids[r] = (int32_t)(check_random(&seed) % TABLE), distinct[r] = (r * 7 + 3) % TABLE;
    qv__weight w = {.dtype = QV__BF16, .rows = TABLE, .cols = WIDTH, .data = table};
    cpu->ops->embed_rows(cpu, out, STRIDE, &w, ids, ROWS);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < WIDTH; i++) CHECK(out[r * STRIDE + i] == qv__bf16_to_float(table[ids[r] * WIDTH + i]));
    for (int r = 0; r < ROWS; r++) ids[r] %= ROWS;
    cpu->ops->gather_rows(cpu, moved, STRIDE, out, STRIDE, ids, ROWS, WIDTH);
    for (int r = 0; r < ROWS; r++) CHECK(!memcmp(moved + r * STRIDE, out + ids[r] * STRIDE, WIDTH * sizeof *out));
    for (int turn = 1; turn <= 2; turn++) { /* set, then add */
        cpu->ops->scatter_rows(cpu, back, STRIDE, distinct, moved, STRIDE, ROWS, WIDTH, turn == 2);
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < WIDTH; i++)
                CHECK(back[distinct[r] * STRIDE + i] == (float)turn * moved[r * STRIDE + i]);
    }
    cpu->ops->close(cpu);
}
