/* The linear op in every tier that this machine has, against two references written here: the contract's own order in
 * fp32, byte for byte, and a double-precision sum within the error bound of K fused steps. x, weights, bias, residual
 * and out each end at a page that faults. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/half.h"
#include "kernels/math.h"
#include "kernels/tier.h"

typedef struct {
    int64_t rows, outputs, inputs;
    qv__dtype dtype;
    qv__epilogue epilogue;
    bool bias;
    enum { NO_RESIDUAL, RESIDUAL, RESIDUAL_IS_OUT } residual;
    int64_t gap; /* floats between the rows of x, out and residual */
} shape;

/* One product's memory. Strides are width + gap. */
typedef struct {
    shape s;
    float *x, *bias, *residual, *out, *want;
    unsigned char *w, *w_up;
} product;

static const float SENTINEL = -12345.5f;

static float *guarded_floats(int64_t rows, int64_t width, int64_t stride, uint64_t *seed) {
    int64_t count = (rows - 1) * stride + width;
    float *out = check_guarded((size_t)count * sizeof *out, false);
    for (int64_t i = 0; i < count; i++) out[i] = seed ? (float)check_uniform(seed) : SENTINEL;
    return out;
}

static unsigned char *guarded_weights(const shape *s, uint64_t *seed) {
    size_t size = qv__dtype_size(s->dtype), count = (size_t)(s->outputs * s->inputs);
    unsigned char *out = check_guarded(count * size, false);
    for (size_t i = 0; i < count; i++) {
        float value = (float)check_uniform(seed);
        uint32_t bits = qv__bits_of_float(value);
        uint16_t half = (uint16_t)(bits >> 16); /* a bf16 */
        if (s->dtype == QV__F16) half = (uint16_t)((check_random(seed) & 0x83ff) | (check_random(seed) % 16) << 10);
        memcpy(out + i * size, s->dtype == QV__F32 ? (const void *)&bits : &half, size);
    }
    return out;
}

static float weight_at(const shape *s, const unsigned char *w, int64_t i) {
    float value;
    uint16_t half;
    if (s->dtype == QV__F32) return memcpy(&value, w + i * 4, 4), value;
    memcpy(&half, w + i * 2, 2);
    return s->dtype == QV__BF16 ? qv__bf16_to_float(half) : qv__f16_to_float(half);
}

/* The contract, literally; *exact and *size get the same sum in double and the sum of magnitudes. */
static float dot(const product *p, const unsigned char *w, int64_t r, int64_t n, double *exact, double *size) {
    const float *x = p->x + r * (p->s.inputs + p->s.gap);
    float sum = 0;
    *exact = *size = 0;
    for (int64_t k = 0; k < p->s.inputs; k++) {
        float weight = weight_at(&p->s, w, n * p->s.inputs + k);
        sum = fmaf(x[k], weight, sum);
        *exact += (double)x[k] * weight;
        *size += fabs((double)x[k] * weight);
    }
    return sum;
}

static float checked_dot(const product *p, const unsigned char *w, int64_t r, int64_t n) {
    double exact, size;
    float sum = dot(p, w, r, n, &exact, &size);
    double bound = (double)p->s.inputs * 0x1p-24 * size * 1.001 + 1e-44;
    CHECK_MSG(!(fabs(sum - exact) > bound), "sum %g, exact %g, bound %g", (double)sum, exact, bound);
    return sum;
}

static float want_at(const product *p, int64_t r, int64_t n) {
    float value = checked_dot(p, p->w, r, n);
    if (p->s.epilogue == QV__EPI_SILU_MUL) return qv__silu(value) * checked_dot(p, p->w_up, r, n);
    if (p->bias) value += p->bias[n];
    if (p->s.epilogue == QV__EPI_GELU_TANH) value = qv__gelu_tanh(value);
    if (p->s.epilogue == QV__EPI_GELU_ERF) value = qv__gelu_erf(value);
    return p->residual ? p->residual[r * (p->s.outputs + p->s.gap) + n] + value : value;
}

static product make(const shape *s, uint64_t *seed) {
    product p = {.s = *s};
    int64_t in_stride = s->inputs + s->gap, out_stride = s->outputs + s->gap;
    p.x = guarded_floats(s->rows, s->inputs, in_stride, seed);
    p.w = guarded_weights(s, seed);
    p.w_up = s->epilogue == QV__EPI_SILU_MUL ? guarded_weights(s, seed) : NULL;
    p.bias = s->bias ? guarded_floats(1, s->outputs, s->outputs, seed) : NULL;
    p.residual = s->residual ? guarded_floats(s->rows, s->outputs, out_stride, seed) : NULL;
    p.out = guarded_floats(s->rows, s->outputs, out_stride, NULL);
    p.want = guarded_floats(s->rows, s->outputs, out_stride, NULL);
    return p;
}

static void fill_want(product *p) {
    for (int64_t r = 0; r < p->s.rows; r++)
        for (int64_t n = 0; n < p->s.outputs; n++) p->want[r * (p->s.outputs + p->s.gap) + n] = want_at(p, r, n);
}

static qv__weight open_weight(qv__backend *b, const shape *s, const unsigned char *data) {
    qv_error err = {0};
    qv__weight w;
    qv__tensor tensor = {.name = "t", .dtype = s->dtype, .rank = 2, .shape = {s->outputs, s->inputs}, .data = data};
    CHECK_OK(b->ops->weight_open(b, &tensor, s->outputs, s->inputs, &w, &err), err);
    return w;
}

/* Runs p on b and compares out, gaps included, with want. */
static void run(qv__backend *b, const product *p) {
    const shape *s = &p->s;
    int64_t stride = s->outputs + s->gap, count = (s->rows - 1) * stride + s->outputs;
    qv__weight w = open_weight(b, s, p->w), up = open_weight(b, s, p->w_up ? p->w_up : p->w);
    bool in_place = s->residual == RESIDUAL_IS_OUT;
    for (int64_t i = 0; i < count; i++) p->out[i] = in_place ? p->residual[i] : SENTINEL;
    qv__linear args = {
        .out = p->out,
        .out_stride = stride,
        .x = p->x,
        .x_stride = s->inputs + s->gap,
        .rows = s->rows,
        .w = &w,
        .w_up = p->w_up ? &up : NULL,
        .bias = p->bias,
        .epilogue = s->epilogue,
        .residual = in_place ? p->out : p->residual,
        .residual_stride = stride,
    };
    b->ops->linear(b, &args);
    for (int64_t i = 0; i < count; i++) {
        bool gap = i % stride >= s->outputs;
        float want = gap ? in_place ? p->residual[i] : SENTINEL : p->want[i];
        CHECK_MSG(memcmp(&p->out[i], &want, sizeof want) == 0,
                  "tier %s, %d threads, %lldx%lldx%lld, dtype %d, epilogue %d: row %lld, %lld is %a, expected %a",
                  qv__cpu_backend_tier(b), qv__cpu_backend_threads(b), (long long)s->rows, (long long)s->outputs,
                  (long long)s->inputs, (int)s->dtype, (int)s->epilogue, (long long)(i / stride),
                  (long long)(i % stride), (double)p->out[i], (double)want);
    }
    b->ops->weight_close(b, &w);
    b->ops->weight_close(b, &up);
}

/* Every tier this machine has, with 1 and 3 threads. */
enum { BACKENDS = QV__TIER_COUNT * 2 };

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
    fill_want(&p);
    for (int i = 0; i < count; i++) run(backends[i], &p);
}

static int64_t pick(uint64_t *seed, int64_t from, int64_t to) {
    return from + (int64_t)(check_random(seed) % (uint64_t)(to - from + 1));
}

TEST(random_shapes) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    for (int i = 0; i < 72; i++) {
        shape s = {
            .rows = pick(&seed, 1, i % 4 ? 14 : 60), .outputs = pick(&seed, 1, 100), .inputs = pick(&seed, 1, 80)};
        if (i % 6 == 0) s.inputs = pick(&seed, 200, 1100);
        s.dtype = (qv__dtype[]){QV__BF16, QV__F32, QV__F16}[i % 3];
        s.epilogue = (qv__epilogue)(i / 3 % 4);
        bool plain = s.epilogue != QV__EPI_SILU_MUL;
        s.bias = plain && pick(&seed, 0, 1);
        s.residual = plain ? (int)pick(&seed, NO_RESIDUAL, RESIDUAL_IS_OUT) : NO_RESIDUAL;
        s.gap = pick(&seed, 0, 3);
        try_shape(backends, count, &s, &seed);
    }
    close_backends(backends, count);
}

/* Blocks of k that are exactly full, one more, one less; outputs around the lanes of a strip. */
TEST(edges) {
    static const int64_t inputs[] = {1, 31, 33, 127, 129, 511, 512, 513}, outputs[] = {1, 15, 16, 17, 31, 32, 33, 65};
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            shape s = {.rows = 1 + (i + j) % 13, .outputs = outputs[i], .inputs = inputs[j]};
            s.epilogue = (i + j) % 3 ? QV__EPI_NONE : QV__EPI_SILU_MUL;
            s.dtype = (qv__dtype[]){QV__BF16, QV__F32, QV__F16}[(i + 2 * j) % 3];
            try_shape(backends, count, &s, &seed);
        }
    close_backends(backends, count);
}

/* More rows than one pass, and none. */
TEST(many_rows) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    shape s = {.rows = 531, .outputs = 37, .inputs = 530, .bias = true, .residual = RESIDUAL_IS_OUT, .dtype = QV__BF16};
    try_shape(backends, count, &s, &seed);
    for (int i = 0; i < count; i++) {
        unsigned char weights[8] = {0};
        shape two = {.outputs = 2, .inputs = 2, .dtype = QV__BF16};
        qv__weight w = open_weight(backends[i], &two, weights);
        qv__linear args = {.w = &w};
        backends[i]->ops->linear(backends[i], &args);
    }
    close_backends(backends, count);
}

/* Many more threads than CPUs: with as many tasks as there are for few rows, with rows shared out as well, and with
 * fewer tasks than threads. */
TEST(sixty_four_threads) {
    static const shape shapes[] = {
        {.rows = 3, .outputs = 2100, .inputs = 65, .dtype = QV__BF16},
        {.rows = 200, .outputs = 130, .inputs = 129, .dtype = QV__BF16, .epilogue = QV__EPI_SILU_MUL},
        {.rows = 531, .outputs = 37, .inputs = 66, .dtype = QV__F32, .bias = true, .residual = RESIDUAL_IS_OUT},
        {.rows = 1, .outputs = 1, .inputs = 1, .dtype = QV__F16},
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

/* What is not finite stays in its own row or output. */
TEST(not_finite_stays_put) {
    uint64_t seed = check_seed();
    qv__backend *backends[BACKENDS];
    int count = open_backends(backends);
    shape s = {.rows = 29, .outputs = 45, .inputs = 66, .dtype = QV__BF16};
    product p = make(&s, &seed);
    p.x[7 * s.inputs + 3] = NAN;
    p.x[28 * s.inputs + 65] = INFINITY;
    p.w[44 * s.inputs * 2 + 1] = 0x7f, p.w[44 * s.inputs * 2] = 0x80; /* w[44][0] = infinity */
    for (int i = 0; i < count; i++) {
        qv__weight w = open_weight(backends[i], &s, p.w);
        qv__linear args = {
            .out = p.out, .out_stride = s.outputs, .x = p.x, .x_stride = s.inputs, .rows = s.rows, .w = &w};
        backends[i]->ops->linear(backends[i], &args);
        for (int64_t r = 0; r < s.rows; r++)
            for (int64_t n = 0; n < s.outputs; n++)
                CHECK_INT(isfinite(p.out[r * s.outputs + n]) != 0, r != 7 && r != 28 && n != 44);
    }
    close_backends(backends, count);
}

TEST(f16_values) {
    CHECK(qv__f16_to_float(0x3c00) == 1.0f && qv__f16_to_float(0xc000) == -2.0f &&
          qv__f16_to_float(0x7bff) == 65504.0f);
    CHECK(qv__f16_to_float(1) == 0x1p-24f && qv__f16_to_float(0x83ff) == -0x3ffp-24f);
    CHECK(qv__bits_of_float(qv__f16_to_float(0x8000)) == 0x80000000u);
    CHECK(isinf(qv__f16_to_float(0x7c00)) && isnan(qv__f16_to_float(0x7c01)));
}
