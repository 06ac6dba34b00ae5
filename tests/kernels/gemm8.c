/* The linear op over quantised weights in every tier that this machine has, against references written here: the
 * contract's own order, byte for byte; the exact sum of the quantised values; and the product that was meant, within
 * half a step of each code. x, weights, bias, residual and out each end at a page that faults. */
#include <math.h>
#include <stdio.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/gemm8.h"
#include "kernels/math.h"

typedef struct {
    int64_t rows, outputs, inputs;
    qv__epilogue epilogue;
    bool bias, residual, factors;
    int64_t gap; /* floats between the rows of x, out and residual */
} shape;

enum { GROUP = QV__INT8_GROUP, PANEL = QV__INT8_PANEL, INPUTS_MAX = 2048, BACKENDS = QV__TIER_COUNT * 2 };

/* One product's memory. Strides are width + gap. */
typedef struct {
    shape s;
    float *x, *w, *w_up, *bias, *residual, *out, *want;
    float *factors, *input; /* of weights, powers of two; of x, one divided by them; NULL: 1 */
} product;

static const float SENTINEL = -12345.5f;

/* Normal-like values, a few of them much larger, so that groups differ. seed NULL: sentinels. */
static float *guarded_floats(int64_t rows, int64_t width, int64_t stride, uint64_t *seed) {
    int64_t count = (rows - 1) * stride + width;
    float *out = check_guarded((size_t)count * sizeof *out, false);
    for (int64_t i = 0; i < count; i++) {
        out[i] = SENTINEL;
        if (seed) out[i] = (float)(check_uniform(seed) * check_uniform(seed) * (check_random(seed) % 50 ? 1 : 100));
    }
    return out;
}

static product make(const shape *s, uint64_t *seed) {
    product p = {.s = *s};
    int64_t out_stride = s->outputs + s->gap;
    p.x = guarded_floats(s->rows, s->inputs, s->inputs + s->gap, seed);
    p.w = guarded_floats(s->outputs, s->inputs, s->inputs, seed);
    p.w_up = s->epilogue == QV__EPI_SILU_MUL ? guarded_floats(s->outputs, s->inputs, s->inputs, seed) : NULL;
    p.bias = s->bias ? guarded_floats(1, s->outputs, s->outputs, seed) : NULL;
    p.residual = s->residual ? guarded_floats(s->rows, s->outputs, out_stride, seed) : NULL;
    if (s->factors) {
        p.factors = check_guarded((size_t)s->inputs * sizeof *p.factors, false);
        p.input = check_guarded((size_t)s->inputs * sizeof *p.input, false);
        for (int64_t k = 0; k < s->inputs; k++) {
            p.factors[k] = ldexpf(1, (int)(check_random(seed) % 9) - 4);
            p.input[k] = 1 / p.factors[k];
        }
    }
    p.out = guarded_floats(s->rows, s->outputs, out_stride, NULL);
    p.want = guarded_floats(s->rows, s->outputs, out_stride, NULL);
    return p;
}

/* ---- the contract, literally ---------------------------------------------------------------------- */

/* Codes and scale of one group. */
static float quantize(const float *values, const float *factors, int64_t count, int *codes) {
    float most = 0, x[GROUP];
    for (int64_t i = 0; i < count; i++) x[i] = factors ? values[i] * factors[i] : values[i];
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(x[i]) <= most)) most = fabsf(x[i]);
    for (int i = 0; i < GROUP; i++) codes[i] = 0;
    if (!isfinite(most)) return NAN;
    if (most < 0x1p-100f) return 0;
    float inverse = 127.0f / most;
    for (int64_t i = 0; i < count; i++) codes[i] = (int)nearbyintf(x[i] * inverse);
    return most / 127.0f;
}

static float dot(const product *p, const float *x, const float *w) {
    int64_t inputs = p->s.inputs;
    float total = 0;
    double exact = 0, meant = 0, bound = 0, size = 0;
    for (int64_t k = 0; k < inputs; k += GROUP) {
        int64_t count = inputs - k < GROUP ? inputs - k : GROUP;
        int a[GROUP], b[GROUP], sum = 0;
        float scale_x = quantize(x + k, p->input ? p->input + k : NULL, count, a);
        float scale_w = quantize(w + k, p->factors ? p->factors + k : NULL, count, b);
        for (int64_t i = 0; i < count; i++) {
            double value_x = a[i] * (double)scale_x, value_w = b[i] * (double)scale_w;
            sum += a[i] * b[i];
            exact += value_x * value_w;
            size += fabs(value_x * value_w);
            meant += (double)x[k + i] * w[k + i];
            double entering = (double)x[k + i] * (double)(p->input ? p->input[k + i] : 1);
            bound += 0.5001 * (fabs(entering) * scale_w + fabs(value_w) * scale_x);
        }
        total = fmaf((float)sum, scale_x * scale_w, total);
    }
    double rounding = (double)(inputs / GROUP + 4) * 0x1p-23 * size;
    CHECK_MSG(!(fabs(total - exact) > rounding), "sum %g, exact %g, bound %g", (double)total, exact, rounding);
    CHECK_MSG(!(fabs(exact - meant) > bound), "quantised %g, meant %g, bound %g", exact, meant, bound);
    return total;
}

static float want_at(const product *p, int64_t r, int64_t n) {
    const shape *s = &p->s;
    const float *x = p->x + r * (s->inputs + s->gap);
    float value = dot(p, x, p->w + n * s->inputs);
    if (s->epilogue == QV__EPI_SILU_MUL) return qv__silu(value) * dot(p, x, p->w_up + n * s->inputs);
    if (p->bias) value += p->bias[n];
    if (s->epilogue == QV__EPI_GELU_TANH) value = qv__gelu_tanh(value);
    if (s->epilogue == QV__EPI_GELU_ERF) value = qv__gelu_erf(value);
    return p->residual ? p->residual[r * (s->outputs + s->gap) + n] + value : value;
}

/* ---- running -------------------------------------------------------------------------------------- */

static qv__weight open_weight(qv__backend *b, const product *p, const float *w) {
    const shape *s = &p->s;
    qv_error err = {0};
    qv__weight out;
    size_t groups = (size_t)(qv__int8_panels(s->outputs) * qv__int8_groups(s->inputs)) * PANEL;
    uint8_t *codes = check_guarded(groups * GROUP, false);
    float *scales = check_guarded(groups * sizeof *scales, false);
    qv__tensor from = {.name = "t", .dtype = QV__F32, .rank = 2, .shape = {s->outputs, s->inputs}, .data = w};
    qv__tensor of_codes = {.name = "t", .dtype = QV__U8, .bytes = groups * GROUP, .data = codes};
    qv__tensor of_scales = {.name = "s", .dtype = QV__F32, .bytes = groups * sizeof *scales, .data = scales};
    qv__tensor of_input = {.name = "i", .dtype = QV__F32, .bytes = (size_t)s->inputs * sizeof(float), .data = p->input};
    b->ops->quantize(b, &from, s->outputs, s->inputs, p->factors, codes, scales);
    CHECK_OK(
        b->ops->weight_open8(b, &of_codes, &of_scales, p->input ? &of_input : NULL, s->outputs, s->inputs, &out, &err),
        err);
    return out;
}

static void run(qv__backend *b, const product *p) {
    const shape *s = &p->s;
    int64_t stride = s->outputs + s->gap, count = (s->rows - 1) * stride + s->outputs;
    qv__weight w = open_weight(b, p, p->w), up = open_weight(b, p, p->w_up ? p->w_up : p->w);
    for (int64_t i = 0; i < count; i++) p->out[i] = SENTINEL;
    b->ops->linear(b, &(qv__linear){.out = p->out,
                                    .out_stride = stride,
                                    .x = p->x,
                                    .x_stride = s->inputs + s->gap,
                                    .rows = s->rows,
                                    .w = &w,
                                    .w_up = p->w_up ? &up : NULL,
                                    .bias = p->bias,
                                    .epilogue = s->epilogue,
                                    .residual = p->residual,
                                    .residual_stride = stride});
    for (int64_t i = 0; i < count; i++) {
        float want = i % stride >= s->outputs ? SENTINEL : p->want[i];
        CHECK_MSG(memcmp(&p->out[i], &want, sizeof want) == 0,
                  "tier %s, %d threads, %lldx%lldx%lld epilogue %d: row %lld, %lld is %a, expected %a",
                  qv__cpu_backend_tier(b), qv__cpu_backend_threads(b), (long long)s->rows, (long long)s->outputs,
                  (long long)s->inputs, (int)s->epilogue, (long long)(i / stride), (long long)(i % stride),
                  (double)p->out[i], (double)want);
    }
    b->ops->weight_close(b, &w);
    b->ops->weight_close(b, &up);
}

/* Every tier this machine has, with 1 and 3 threads. */
static int open_backends(qv__backend *out[BACKENDS]) {
    int count = 0;
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++)
        for (int threads = 1; threads <= 3; threads += 2) {
            qv_error err = {0};
            CHECK_OK(qv__cpu_backend_open(threads, qv__tier_name((qv__tier)tier), &out[count++], &err), err);
        }
    return count;
}

static void close_backends(qv__backend **backends, int count) {
    for (int i = 0; i < count; i++) backends[i]->ops->close(backends[i]);
}

static void try_shape(qv__backend **backends, int count, const shape *s, uint64_t *seed) {
    product p = make(s, seed);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t n = 0; n < s->outputs; n++) p.want[r * (s->outputs + s->gap) + n] = want_at(&p, r, n);
    for (int i = 0; i < count; i++) run(backends[i], &p);
}

static int64_t pick(uint64_t *seed, int64_t from, int64_t to) {
    return from + (int64_t)(check_random(seed) % (uint64_t)(to - from + 1));
}

TEST(random_shapes) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    for (int i = 0; i < 48; i++) {
        shape s = {
            .rows = pick(&seed, 1, i % 4 ? 14 : 60), .outputs = pick(&seed, 1, 100), .inputs = pick(&seed, 1, 300)};
        if (i % 6 == 0) s.inputs = pick(&seed, 500, 1300);
        s.epilogue = (qv__epilogue)(i % 4);
        bool plain = s.epilogue != QV__EPI_SILU_MUL;
        s.bias = plain && pick(&seed, 0, 1);
        s.residual = plain && pick(&seed, 0, 1);
        s.factors = i % 5 == 0;
        s.gap = pick(&seed, 0, 3);
        try_shape(backends, count, &s, &seed);
    }
    close_backends(backends, count);
}

/* Groups and blocks of k that are exactly full, one more, one less; outputs around panels and strips. */
TEST(edges) {
    static const int64_t inputs[] = {1, 15, 63, 64, 65, 511, 512, 513}, outputs[] = {1, 15, 16, 17, 31, 32, 33, 65};
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            shape s = {.rows = 1 + (i + j) % 13, .outputs = outputs[i], .inputs = inputs[j]};
            s.epilogue = (i + j) % 3 ? QV__EPI_NONE : QV__EPI_SILU_MUL;
            try_shape(backends, count, &s, &seed);
        }
    close_backends(backends, count);
}

/* More rows than one pass, and none. */
TEST(many_rows) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    shape s = {.rows = 531, .outputs = 37, .inputs = 530, .bias = true, .residual = true};
    try_shape(backends, count, &s, &seed);
    float weights[4] = {0};
    for (int i = 0; i < count; i++) {
        qv__weight w = open_weight(backends[i], &(product){.s = {.outputs = 2, .inputs = 2}}, weights);
        backends[i]->ops->linear(backends[i], &(qv__linear){.w = &w});
    }
    close_backends(backends, count);
}

/* Many more threads than CPUs: with as many tasks as there are for few rows, with rows shared out as well, and with
 * fewer tasks than threads. */
TEST(sixty_four_threads) {
    static const shape shapes[] = {
        {.rows = 3, .outputs = 2100, .inputs = 65},
        {.rows = 200, .outputs = 130, .inputs = 129, .epilogue = QV__EPI_SILU_MUL},
        {.rows = 531, .outputs = 37, .inputs = 66, .bias = true, .residual = true},
        {.rows = 1, .outputs = 1, .inputs = 1},
    };
    uint64_t seed = check_seed();
    qv__backend *b;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(64, NULL, &b, &err), err);
    CHECK_INT(qv__cpu_backend_threads(b), 64);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int turn = 0; turn < 3; turn++) try_shape(&b, 1, &shapes[i], &seed);
    b->ops->close(b);
}

/* Products as large as they can be: every code is 127 or -127, where 16-bit sums of pairs would saturate. */
TEST(largest_codes) {
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    shape s = {.rows = 7, .outputs = 33, .inputs = 1024};
    product p = make(&s, NULL);
    for (int64_t i = 0; i < s.rows * s.inputs; i++) p.x[i] = i / s.inputs % 2 ? -3 : 3;
    for (int64_t i = 0; i < s.outputs * s.inputs; i++) p.w[i] = i / s.inputs % 3 ? 0.5f : -0.5f;
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t n = 0; n < s.outputs; n++) p.want[r * s.outputs + n] = want_at(&p, r, n);
    CHECK(fabsf(p.want[1]) > 1535 && fabsf(p.want[1]) < 1537);
    for (int i = 0; i < count; i++) run(backends[i], &p);
    close_backends(backends, count);
}

/* What is not finite stays in its own row or output; what is tiny is 0. */
TEST(not_finite_stays_put) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    shape s = {.rows = 29, .outputs = 45, .inputs = 166};
    product p = make(&s, &seed);
    p.x[7 * s.inputs + 3] = NAN;
    p.x[28 * s.inputs + 165] = INFINITY;
    p.w[44 * s.inputs] = -INFINITY;
    for (int64_t k = 0; k < s.inputs; k++) p.x[5 * s.inputs + k] = 0x1p-101f, p.x[6 * s.inputs + k] = 0x1p-100f;
    for (int i = 0; i < count; i++) {
        qv__weight w = open_weight(backends[i], &p, p.w);
        backends[i]->ops->linear(
            backends[i],
            &(qv__linear){
                .out = p.out, .out_stride = s.outputs, .x = p.x, .x_stride = s.inputs, .rows = s.rows, .w = &w});
        for (int64_t r = 0; r < s.rows; r++)
            for (int64_t n = 0; n < s.outputs; n++)
                CHECK_INT(isfinite(p.out[r * s.outputs + n]) != 0, r != 7 && r != 28 && n != 44);
        CHECK(p.out[5 * s.outputs] == 0 && p.out[6 * s.outputs] != 0);
    }
    close_backends(backends, count);
}

/* The packed form, byte for byte: panels of 16 outputs, four k of each output together, codes + 128. */
TEST(layout) {
    qv_error err = {0};
    qv__backend *b;
    float w[17 * 70];
    uint8_t codes[2 * 2 * GROUP * PANEL];
    float scales[2 * 2 * PANEL];
    for (int i = 0; i < 17 * 70; i++) w[i] = (float)(i % 70 == 0 || i % 70 == 64 ? 127 : i % 70 - 64) * 0.25f;
    qv__tensor t = {.name = "t", .dtype = QV__F32, .rank = 2, .shape = {17, 70}, .data = w};
    CHECK_OK(qv__cpu_backend_open(2, NULL, &b, &err), err);
    b->ops->quantize(b, &t, 17, 70, NULL, codes, scales);
    for (int n = 0; n < 32; n++)
        for (int k = 0; k < 2 * GROUP; k++) {
            int panel = n / PANEL, lane = n % PANEL;
            int want = n < 17 && k < 70 ? (k == 0 || k == 64 ? 127 : k - 64) : 0;
            CHECK_INT(codes[panel * 2 * GROUP * PANEL + k / 4 * 4 * PANEL + lane * 4 + k % 4], 128 + want);
            CHECK(scales[(panel * 2 + k / GROUP) * PANEL + lane] == (n < 17 ? 0.25f : 0));
        }
    b->ops->close(b);
}
