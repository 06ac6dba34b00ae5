/* Attention in every tier that this machine has, through the backend's op, against two references written here: the
 * contract of kernels/attention.h row by row, byte for byte, and a plain softmax in double precision. Queries, keys,
 * values and output each end at a page that faults. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/attention.h"
#include "kernels/math.h"
#include "kernels/tier.h"

enum { SEGMENTS_MAX = 400, KEYS_MAX = 32768, GAP = 4 };

static const float SENTINEL = -12345.5f;

/* A sequence of `length` keys of which the first `prefix` come from elsewhere; rows [query, query + queries) of it ask.
 */
typedef struct {
    int64_t length, prefix, query, queries;
} sequence;

typedef struct {
    int heads, kv_heads, head_dim;
    bool causal;
    float scale;
} shape;

/* A batch's memory. The strides are wider than the rows by GAP floats. */
typedef struct {
    shape s;
    qv__attention args;
    qv__segment segments[SEGMENTS_MAX];
    float *q, *out;
    int64_t rows, q_width, kv_width, q_stride, kv_stride;
} batch;

static float *guarded_floats(int64_t rows, int64_t width, int64_t stride) {
    return check_guarded(rows ? (size_t)((rows - 1) * stride + width) * sizeof(float) : 0, false);
}

static void fill(float *x, int64_t rows, int64_t width, int64_t stride, uint64_t seed) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < width; i++) x[r * stride + i] = (float)check_uniform(&seed);
}

/* What sequence `number` holds does not depend on the batch, on where its prefix ends, or on the rows that ask. */
static void put_rows(float *out, int64_t stride, const batch *b, int number, int what, int64_t first, int64_t count) {
    int64_t width = what == 0 ? b->q_width : b->kv_width;
    for (int64_t r = 0; r < count; r++)
        fill(out + r * stride, 1, width, width,
             ((uint64_t)number << 40 | (uint64_t)(first + r) << 2 | (uint64_t)what) + 1 + check_seed() * 1000003);
}

/* numbers: which sequence each is; NULL: 0, 1, 2, ... */
static void batch_open(batch *b, shape s, const sequence *sequences, const int *numbers, int count) {
    *b = (batch){.s = s};
    b->q_width = (int64_t)s.heads * s.head_dim, b->q_stride = b->q_width + GAP;
    b->kv_width = (int64_t)s.kv_heads * s.head_dim, b->kv_stride = b->kv_width + GAP;
    for (int i = 0; i < count; i++) b->rows += sequences[i].queries;
    b->q = guarded_floats(b->rows, b->q_width, b->q_stride);
    b->out = guarded_floats(b->rows, b->q_width, b->q_stride);
    int64_t row = 0;
    for (int i = 0; i < count; row += sequences[i++].queries) {
        const sequence *q = &sequences[i];
        int number = numbers ? numbers[i] : i;
        int64_t own = q->length - q->prefix;
        float *k = guarded_floats(own, b->kv_width, b->kv_stride), *v = guarded_floats(own, b->kv_width, b->kv_stride);
        float *prefix_k = guarded_floats(q->prefix, b->kv_width, b->kv_width);
        float *prefix_v = guarded_floats(q->prefix, b->kv_width, b->kv_width);
        put_rows(prefix_k, b->kv_width, b, number, 1, 0, q->prefix);
        put_rows(prefix_v, b->kv_width, b, number, 2, 0, q->prefix);
        put_rows(k, b->kv_stride, b, number, 1, q->prefix, own);
        put_rows(v, b->kv_stride, b, number, 2, q->prefix, own);
        put_rows(b->q + row * b->q_stride, b->q_stride, b, number, 0, q->query, q->queries);
        b->segments[i] = (qv__segment){row, q->queries, q->query, k, v, b->kv_stride, own, NULL, NULL, 0, 0};
        if (q->prefix) {
            b->segments[i].prefix_k = prefix_k, b->segments[i].prefix_v = prefix_v;
            b->segments[i].prefix_stride = b->kv_width, b->segments[i].prefix_count = q->prefix;
        }
    }
    b->args = (qv__attention){b->out,     b->q_stride, b->q,     b->q_stride, s.heads, s.kv_heads,
                              s.head_dim, s.scale,     s.causal, b->segments, count};
}

static void run(batch *b, qv__backend *cpu) {
    int64_t floats = b->rows ? (b->rows - 1) * b->q_stride + b->q_width : 0;
    for (int64_t i = 0; i < floats; i++) b->out[i] = SENTINEL;
    cpu->ops->attention(cpu, &b->args);
    for (int64_t r = 0; r + 1 < b->rows; r++)
        for (int i = 0; i < GAP; i++) CHECK(b->out[r * b->q_stride + b->q_width + i] == SENTINEL);
}

/* ---- references ---- */

/* One row of one head, as gathered for the references. */
typedef struct {
    const float *q, *k[KEYS_MAX], *v[KEYS_MAX];
    int64_t count;
    int dim;
    float scale;
} row_view;

static void view(row_view *w, const batch *b, const qv__segment *s, int64_t r, int head) {
    int64_t all = s->prefix_count + s->count, own = s->q_position + r + 1;
    int64_t offset = (int64_t)(head / (b->s.heads / b->s.kv_heads)) * b->s.head_dim;
    w->q = b->q + (s->q_first + r) * b->q_stride + (int64_t)head * b->s.head_dim;
    w->count = b->s.causal && own < all ? own : all;
    w->dim = b->s.head_dim;
    w->scale = b->s.scale;
    CHECK(w->count <= KEYS_MAX);
    for (int64_t j = 0; j < w->count; j++) {
        bool prefix = j < s->prefix_count;
        int64_t at = prefix ? j * s->prefix_stride + offset : (j - s->prefix_count) * s->kv_stride + offset;
        w->k[j] = (prefix ? s->prefix_k : s->k) + at;
        w->v[j] = (prefix ? s->prefix_v : s->v) + at;
    }
}

/* The contract, literally. */
static void contract_row(const row_view *w, float *out) {
    float m = -INFINITY, l[QV__SUM_LANES] = {0}, acc[QV__HEAD_DIM_MAX] = {0}, p[QV__KEY_BLOCK];
    for (int64_t start = 0; start < w->count; start += QV__KEY_BLOCK) {
        int64_t count = w->count - start < QV__KEY_BLOCK ? w->count - start : QV__KEY_BLOCK;
        float most = -INFINITY;
        for (int64_t j = 0; j < count; j++) {
            p[j] = 0;
            for (int k = 0; k < w->dim; k++) p[j] = fmaf(w->q[k], w->k[start + j][k], p[j]);
            most = fmaxf(most, p[j]);
        }
        most = fmaxf(m, w->scale * most);
        float c = qv__exp(m - most);
        m = most;
        for (int i = 0; i < QV__SUM_LANES; i++) l[i] *= c;
        for (int k = 0; k < w->dim; k++) acc[k] *= c;
        for (int64_t j = 0; j < count; j++) {
            p[j] = qv__exp(fmaf(w->scale, p[j], -m));
            l[j % QV__SUM_LANES] += p[j];
            for (int k = 0; k < w->dim; k++) acc[k] = fmaf(p[j], w->v[start + j][k], acc[k]);
        }
    }
    for (int step = QV__SUM_LANES / 2; step; step /= 2)
        for (int i = 0; i < step; i++) l[i] += l[i + step];
    for (int k = 0; k < w->dim; k++) out[k] = acc[k] / l[0];
}

/* Values are within [-1, 1), so a bound on the weights' relative error is one on the output. */
static void exact_row(const row_view *w, double *out) {
    static double score[KEYS_MAX];
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < w->count; j++) {
        score[j] = 0;
        for (int k = 0; k < w->dim; k++) score[j] += (double)w->q[k] * w->k[j][k];
        score[j] *= w->scale;
        most = fmax(most, score[j]);
    }
    for (int k = 0; k < w->dim; k++) out[k] = 0;
    for (int64_t j = 0; j < w->count; j++) {
        double p = exp(score[j] - most);
        sum += p;
        for (int k = 0; k < w->dim; k++) out[k] += p * w->v[j][k];
    }
    for (int k = 0; k < w->dim; k++) out[k] /= sum;
}

static double worst_error; /* of what check_batch saw */

static void check_batch(const batch *b) {
    static row_view w;
    for (int64_t i = 0; i < b->args.segment_count; i++) {
        const qv__segment *s = &b->segments[i];
        for (int64_t r = 0; r < s->q_count; r++)
            for (int h = 0; h < b->s.heads; h++) {
                const float *got = b->out + (s->q_first + r) * b->q_stride + (int64_t)h * b->s.head_dim;
                float want[QV__HEAD_DIM_MAX];
                double exact[QV__HEAD_DIM_MAX];
                view(&w, b, s, r, h);
                contract_row(&w, want);
                exact_row(&w, exact);
                for (int k = 0; k < b->s.head_dim; k++) {
                    double error = fabs(got[k] - exact[k]);
                    CHECK_MSG(!memcmp(&got[k], &want[k], 4),
                              "segment %d row %d head %d [%d]: %.9g, the contract says %.9g", (int)i, (int)r, h, k,
                              (double)got[k], (double)want[k]);
                    CHECK_MSG(error < 1e-6 + 2e-6 * (double)b->s.scale, "segment %d row %d: error %g", (int)i, (int)r,
                              error);
                    worst_error = fmax(worst_error, error);
                }
            }
    }
}

/* ---- every tier ---- */

static qv__backend *open_cpu(int threads, int tier) {
    qv__backend *cpu;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(threads, qv__tier_name((qv__tier)tier), &cpu, &err), err);
    return cpu;
}

static void check_shape(shape s, const sequence *sequences, int count) {
    batch b;
    batch_open(&b, s, sequences, NULL, count);
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++) {
        qv__backend *cpu = open_cpu(tier + 1, tier);
        run(&b, cpu);
        check_batch(&b);
        cpu->ops->close(cpu);
    }
}

static float usual(int head_dim) {
    return 1.0f / sqrtf((float)head_dim);
}

TEST(causal_shapes) {
    static const sequence sequences[] = {{1, 0, 0, 1}, {63, 0, 0, 63}, {64, 0, 0, 64}, {65, 0, 0, 65}, {7, 0, 0, 7}};
    static const int heads[][3] = {{4, 2, 32}, {4, 2, 128}, {6, 1, 64}, {2, 2, 16}, {3, 3, 4}, {5, 1, 20}, {1, 1, 256}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        check_shape((shape){heads[i][0], heads[i][1], heads[i][2], true, usual(heads[i][2])}, sequences, 5);
}

TEST(full_shapes) {
    static const sequence sequences[] = {{4, 0, 0, 4}, {100, 0, 0, 100}, {16, 0, 0, 16}};
    static const int heads[][2] = {{3, 16}, {2, 64}, {2, 72}, {1, 12}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        check_shape((shape){heads[i][0], heads[i][0], heads[i][1], false, usual(heads[i][1])}, sequences, 3);
}

/* Behind a prefix; a chunk from the middle; the last row alone; nothing asked. */
TEST(prefix_and_chunk_shapes) {
    static const sequence sequences[] = {{90, 40, 40, 50}, {130, 64, 100, 9}, {200, 0, 199, 1},
                                         {70, 69, 69, 1},  {50, 0, 0, 0},     {129, 1, 1, 128}};
    check_shape((shape){4, 2, 32, true, usual(32)}, sequences, 6);
}

TEST(large_scores) {
    static const sequence sequences[] = {{300, 0, 290, 10}, {70, 0, 0, 70}};
    check_shape((shape){2, 1, 64, true, 8.0f}, sequences, 2);
}

TEST(no_segments) {
    check_shape((shape){2, 1, 64, true, 1.0f}, NULL, 0);
}

TEST(many_segments) { /* more than one hand-out of tasks */
    sequence sequences[SEGMENTS_MAX];
    for (int i = 0; i < SEGMENTS_MAX; i++) sequences[i] = (sequence){1 + i % 5, 0, i % 7 ? 0 : i % 5, 1};
    check_shape((shape){2, 1, 8, true, 1.0f}, sequences, SEGMENTS_MAX);
}

/* ---- the same bytes in any cut and company ---- */

static void check_rows(const batch *b, int64_t b_row, const batch *whole, int64_t whole_row, int64_t count,
                       const char *what, int64_t number) {
    for (int64_t r = 0; r < count; r++)
        CHECK_MSG(!memcmp(b->out + (b_row + r) * b->q_stride, whole->out + (whole_row + r) * whole->q_stride,
                          (size_t)b->q_width * sizeof(float)),
                  "%s %d: row %d differs", what, (int)number, (int)(whole_row + r));
}

TEST(any_prefix_cut_and_chunk) {
    enum { LENGTH = 150 };
    static const shape s = {4, 2, 32, true, 0.5f};
    qv__backend *cpu = open_cpu(2, QV__TIER_COUNT - 1);
    batch whole, part;
    batch_open(&whole, s, &(sequence){LENGTH, 0, 0, LENGTH}, NULL, 1);
    run(&whole, cpu);
    for (int64_t cut = 1; cut < LENGTH; cut++) {
        batch_open(&part, s, &(sequence){LENGTH, cut, cut, LENGTH - cut}, NULL, 1);
        run(&part, cpu);
        check_rows(&part, 0, &whole, cut, LENGTH - cut, "prefix", cut);
        int64_t chunk = cut % 13 + 1,
                first = LENGTH - chunk < cut ? LENGTH - chunk : cut; /* later keys do not exist yet */
        batch_open(&part, s, &(sequence){first + chunk, first / 2, first, chunk}, NULL, 1);
        run(&part, cpu);
        check_rows(&part, 0, &whole, first, chunk, "chunk at", first);
    }
    cpu->ops->close(cpu);
}

TEST(any_company_and_threads) {
    enum { COUNT = 9 };
    static const shape s = {6, 2, 48, true, 0.4f};
    static const sequence all[COUNT] = {{70, 0, 0, 70},      {1, 0, 0, 1},     {64, 0, 0, 64},
                                        {200, 128, 128, 72}, {33, 10, 10, 23}, {129, 0, 64, 65},
                                        {12, 0, 0, 12},      {300, 0, 299, 1}, {5, 0, 0, 5}};
    static const int numbers[COUNT] = {3, 1, 4, 15, 9, 2, 6, 5, 35};
    static batch alone[COUNT];
    qv__backend *one = open_cpu(1, QV__TIER_COUNT - 1);
    for (int i = 0; i < COUNT; i++) {
        batch_open(&alone[i], s, &all[i], &numbers[i], 1);
        run(&alone[i], one);
    }
    one->ops->close(one);
    for (int threads = 1; threads <= 5; threads++) {
        qv__backend *cpu = open_cpu(threads, QV__TIER_COUNT - 1);
        batch b;
        batch_open(&b, s, all, numbers, COUNT);
        run(&b, cpu);
        for (int i = 0; i < COUNT; i++)
            check_rows(&b, b.segments[i].q_first, &alone[i], 0, all[i].queries, "sequence", i);
        cpu->ops->close(cpu);
    }
}

/* Rows before a poisoned key stay as they were, to the byte; rows from it on show it. */
TEST(later_keys_are_not_touched) {
    enum { LENGTH = 100 };
    static const shape s = {4, 2, 16, true, 0.5f};
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++) {
        qv__backend *cpu = open_cpu(1, tier);
        batch clean, b;
        batch_open(&clean, s, &(sequence){LENGTH, 0, 0, LENGTH}, NULL, 1);
        run(&clean, cpu);
        for (int bad = 0; bad < LENGTH; bad += 7) {
            batch_open(&b, s, &(sequence){LENGTH, 0, 0, LENGTH}, NULL, 1);
            for (int64_t i = 0; i < b.kv_width; i++) {
                ((float *)(uintptr_t)b.segments[0].k)[bad * b.kv_stride + i] = NAN;
                ((float *)(uintptr_t)b.segments[0].v)[bad * b.kv_stride + i] = INFINITY;
            }
            run(&b, cpu);
            check_rows(&b, 0, &clean, 0, bad, "poisoned key", bad);
            for (int64_t r = bad; r < LENGTH; r++)
                for (int64_t i = 0; i < b.q_width; i++) CHECK(isnan(b.out[r * b.q_stride + i]));
        }
        cpu->ops->close(cpu);
    }
}

/* A few rows at the end of a long sequence, where rounding has had time to add up. */
TEST(long_sequence) {
    worst_error = 0;
    check_shape((shape){2, 1, 128, true, usual(128)}, &(sequence){KEYS_MAX, 30011, KEYS_MAX - 2, 2}, 1);
    printf("# %d keys: worst error %.3g\n", (int)KEYS_MAX, worst_error);
}
