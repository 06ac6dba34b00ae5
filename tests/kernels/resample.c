/* Every tier against the C reference, byte for byte, on random windows and guarded memory. */
#include "kernels/resample.h"

#include <stdlib.h>

#include "check.h"

enum { READ_AHEAD = 16 };

static qv__axis make_axis(uint64_t *state, int in, int outputs, int most_taps, bool real) {
    qv__axis a = {.outputs = outputs, .stride = (most_taps + 3) / 4 * 4};
    qv__window *windows = malloc((size_t)outputs * sizeof *windows);
    int32_t *fixed = calloc((size_t)outputs * (size_t)a.stride, sizeof *fixed);
    CHECK(windows && fixed);
    float *reals = (float *)fixed;
    for (int i = 0; i < outputs; i++) {
        int taps = 1 + (int)(check_random(state) % (uint64_t)(most_taps < in ? most_taps : in));
        windows[i] = (qv__window){(int32_t)(check_random(state) % (uint64_t)(in - taps + 1)), taps};
        for (int j = 0; j < taps; j++) { /* like a cubic's: some negative, the sum near one */
            double w = (check_uniform(state) * 0.8 + 1) / taps * (j % 5 == 4 ? -0.5 : 1);
            if (real)
                reals[i * a.stride + j] = (float)w;
            else
                fixed[i * a.stride + j] = (int32_t)(w * (1 << 22));
        }
    }
    a.windows = windows;
    a.weights.fixed = fixed;
    return a;
}

static void free_axis(qv__axis *a) {
    free((void *)a->windows);
    free((void *)a->weights.fixed);
}

static void fill(uint64_t *state, uint8_t *bytes, size_t size) {
    bool harsh = check_random(state) & 1;
    for (size_t i = 0; i < size; i++) {
        uint8_t v = (uint8_t)(check_random(state) >> 32);
        bytes[i] = harsh ? (uint8_t)(v & 1 ? 255 : 0) : v;
    }
}

static void compare_columns(uint64_t *state, const qv__resample_kernels *k, bool real) {
    int in = 1 + (int)(check_random(state) % 70), outputs = 1 + (int)(check_random(state) % 40);
    int64_t rows = 1 + (int64_t)(check_random(state) % 11), stride = 3 * in + (int64_t)(check_random(state) % 5);
    int64_t out_stride = 3 * outputs + (int64_t)(check_random(state) % 4);
    qv__axis a = make_axis(state, in, outputs, 1 + (int)(check_random(state) % 25), real);
    size_t cell = real ? sizeof(float) : 1, size = (size_t)(rows * stride),
           out_size = (size_t)(rows * out_stride) * cell;
    uint8_t *src = check_guarded(size + READ_AHEAD, false), *got = check_guarded(out_size, false),
            *want = malloc(out_size);
    CHECK(want);
    fill(state, src, size + READ_AHEAD);
    memset(got, 0xA5, out_size);
    memset(want, 0xA5, out_size);
    if (real) {
        qv__resample_c.columns_real((float *)want, out_stride, src, stride, rows, &a);
        k->columns_real((float *)got, out_stride, src, stride, rows, &a);
    } else {
        qv__resample_c.columns_fixed(want, out_stride, src, stride, rows, &a);
        k->columns_fixed(got, out_stride, src, stride, rows, &a);
    }
    CHECK_MSG(memcmp(got, want, out_size) == 0, "columns, real %d: %d to %d, %lld rows", real, in, outputs,
              (long long)rows);
    free(want);
    free_axis(&a);
}

static void compare_rows(uint64_t *state, const qv__resample_kernels *k, bool real) {
    int taps = 1 + (int)(check_random(state) % 25);
    int64_t count = 1 + (int64_t)(check_random(state) % 100), stride = count + (int64_t)(check_random(state) % 3);
    qv__axis a = make_axis(state, taps, 1, taps, real);
    size_t n = (size_t)((taps - 1) * stride + count);
    uint8_t *bytes = check_guarded(n, false), *got = check_guarded((size_t)count, false), want[100];
    float *reals = check_guarded(n * sizeof *reals, false);
    fill(state, bytes, n);
    for (size_t i = 0; i < n; i++) reals[i] = (float)(check_uniform(state) * 200 + 128);
    if (real) {
        qv__resample_c.rows_real(want, reals, stride, a.weights.real, taps, count);
        k->rows_real(got, reals, stride, a.weights.real, taps, count);
    } else {
        qv__resample_c.rows_fixed(want, bytes, stride, a.weights.fixed, taps, count);
        k->rows_fixed(got, bytes, stride, a.weights.fixed, taps, count);
    }
    CHECK_MSG(memcmp(got, want, (size_t)count) == 0, "rows, real %d: %d taps, %lld values", real, taps,
              (long long)count);
    free_axis(&a);
}

TEST(resample_tiers_equal_c) {
    uint64_t state = check_seed();
    for (int tier = QV__TIER_C + 1; tier <= (int)qv__tier_best(); tier++)
        for (int round = 0; round < 300; round++)
            for (int real = 0; real < 2; real++) {
                compare_columns(&state, qv__resample_kernels_of((qv__tier)tier), real);
                compare_rows(&state, qv__resample_kernels_of((qv__tier)tier), real);
            }
}

/* The order that resample.h states, on numbers where a fused and a plain step round apart: 3w is a little above 1. */
TEST(resample_real_fuses_the_last_taps_only) {
    const uint8_t six[18 + READ_AHEAD] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 3};
    const uint8_t five[18 + READ_AHEAD] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 3};
    const float w = 0x1.555556p-2f, last[8] = {0x1p24f, 1, 1, 1, 1, w}, inside[8] = {0x1p24f, 1, 1, 1, w};
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++) {
        float sums[3];
        qv__window window = {0, 6};
        qv__axis axis = {.windows = &window, .weights.real = last, .outputs = 1, .stride = 8};
        qv__resample_kernels_of((qv__tier)tier)->columns_real(sums, 3, six, 18, 1, &axis);
        CHECK(sums[0] == 0x1p24f + 2); /* each 1 is lost to rounding, the fused step sees what lies above 1 */
        window.taps = 5;
        axis.weights.real = inside;
        qv__resample_kernels_of((qv__tier)tier)->columns_real(sums, 3, five, 18, 1, &axis);
        CHECK(sums[0] == 0x1p24f); /* in a group of four the product is rounded to 1 first */
    }
}
