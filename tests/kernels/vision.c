/* The vision tower's front: patch rows, position embeddings and rotary tables of several pairs at once, against plain
 * loops over (block row, block column, row in block, column in block), in any ranges and with any number of threads. */
#include <math.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "check.h"
#include "kernels/half.h"
#include "kernels/tier.h"
#include "kernels/vision.h"

enum { PATCH = 16, MERGE = 2, PAIRS = 3, ROW = 3 * 2 * PATCH * PATCH, SIDE = 48, WIDTH = 50 };

static const int sizes[PAIRS][2] = {{64, 96}, {32, 32}, {96, 160}}; /* height, width: 24, 4 and 60 patches */
enum { ROWS = 24 + 4 + 60 };

static void fill_pairs(qv__frame_pair pairs[PAIRS], uint64_t *seed) {
    for (int p = 0; p < PAIRS; p++) {
        size_t bytes = (size_t)sizes[p][0] * (size_t)sizes[p][1] * 3;
        uint8_t *frame[2];
        for (int t = 0; t < 2; t++) {
            frame[t] = check_guarded(bytes, false);
            for (size_t i = 0; i < bytes; i++) frame[t][i] = (uint8_t)check_random(seed);
        }
        if (p == 1) frame[1] = frame[0]; /* a picture */
        pairs[p] = (qv__frame_pair){{frame[0], frame[1]}, sizes[p][0], sizes[p][1]};
    }
}

static qv__backend *open_cpu(int threads, int tier) {
    qv__backend *cpu;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(threads, qv__tier_name((qv__tier)tier), &cpu, &err), err);
    return cpu;
}

/* Patch row -> pair, patch row and column, by the order's definition. */
typedef struct {
    int pair, y, x;
} place;

static void places(place out[ROWS]) {
    int n = 0;
    for (int p = 0; p < PAIRS; p++)
        for (int block_y = 0; block_y < sizes[p][0] / PATCH / MERGE; block_y++)
            for (int block_x = 0; block_x < sizes[p][1] / PATCH / MERGE; block_x++)
                for (int y = 0; y < MERGE; y++)
                    for (int x = 0; x < MERGE; x++) out[n++] = (place){p, block_y * MERGE + y, block_x * MERGE + x};
    CHECK_INT(n, ROWS);
}

TEST(levels) {
    float level[256];
    qv__pixel_levels(level);
    CHECK(level[0] == -1.0f && level[255] == 1.0f);
    for (int p = 0; p < 256; p++) CHECK(fabs(level[p] - (p / 127.5 - 1)) < 6e-8);
}

TEST(patch_rows_in_any_ranges) {
    enum { STRIDE = ROW + 5 };
    static float whole[ROWS * STRIDE], part[ROWS * STRIDE];
    qv__frame_pair pairs[PAIRS];
    place at[ROWS];
    uint64_t seed = check_seed();
    fill_pairs(pairs, &seed);
    places(at);
    for (int threads = 1; threads <= 4; threads++) {
        qv__backend *cpu = open_cpu(threads, QV__TIER_COUNT - 1);
        memset(whole, 0, sizeof whole);
        cpu->ops->patch_rows(cpu, whole, STRIDE, pairs, PAIRS, PATCH, MERGE, 0, ROWS);
        for (int r = 0; r < ROWS; r++) {
            const qv__frame_pair *p = &pairs[at[r].pair];
            const float *row = whole + r * STRIDE;
            for (int c = 0; c < 3; c++)
                for (int t = 0; t < 2; t++)
                    for (int y = 0; y < PATCH; y++)
                        for (int x = 0; x < PATCH; x++) {
                            int pixel = (at[r].y * PATCH + y) * p->width + at[r].x * PATCH + x;
                            float want = ((float)p->frame[t][pixel * 3 + c] - 127.5f) / 127.5f;
                            CHECK(*row++ == want);
                        }
            for (int i = ROW; i < STRIDE; i++) CHECK(whole[r * STRIDE + i] == 0);
        }
        for (int first = 0; first <= ROWS; first += 9)
            for (int count = 0; count <= ROWS - first; count += 13) {
                memset(part, 0, sizeof part);
                cpu->ops->patch_rows(cpu, part, STRIDE, pairs, PAIRS, PATCH, MERGE, first, count);
                CHECK(!memcmp(part, whole + first * STRIDE, (size_t)(count * STRIDE) * sizeof *part));
            }
        cpu->ops->close(cpu);
    }
}

/* torch.linspace(0, 47, n), torch 2.15, as fp32 bits say. */
TEST(grid_coordinates_are_torchs) {
    static const float fourteen[] = {0x0p+0f,        0x1.cec4ecp+1f, 0x1.cec4ecp+2f, 0x1.5b13bp+3f,  0x1.cec4ecp+3f,
                                     0x1.213b14p+4f, 0x1.5b13bp+4f,  0x1.94ec5p+4f,  0x1.cec4ecp+4f, 0x1.044ec4p+5f,
                                     0x1.213b14p+5f, 0x1.3e2762p+5f, 0x1.5b13b2p+5f, 0x1.78p+5f};
    for (int i = 0; i < 14; i++) {
        qv__grid_sample s = qv__grid_sample_at(i, 14, SIDE);
        CHECK_INT(s.low, (int)fourteen[i]);
        CHECK_INT(s.high, s.low < SIDE - 1 ? s.low + 1 : s.low);
        CHECK_MSG(s.weight == fourteen[i] - (float)s.low, "coordinate %d: weight %a", i, (double)s.weight);
    }
    for (int i = 0; i < SIDE; i++) { /* the table's own grid */
        qv__grid_sample s = qv__grid_sample_at(i, SIDE, SIDE);
        CHECK(s.low == i && s.weight == 0);
    }
    qv__grid_sample last = qv__grid_sample_at(1, 2, SIDE), only = qv__grid_sample_at(0, 1, SIDE);
    CHECK(last.low == SIDE - 1 && last.high == SIDE - 1 && last.weight == 0);
    CHECK(only.low == 0 && only.weight == 0);
}

static double sampled(const uint16_t *table, double y, double x, int i) {
    int y0 = (int)y, x0 = (int)x, y1 = y0 + 1 < SIDE ? y0 + 1 : y0, x1 = x0 + 1 < SIDE ? x0 + 1 : x0;
    double dy = y - y0, dx = x - x0;
    double top = (1 - dx) * qv__bf16_to_float(table[(y0 * SIDE + x0) * WIDTH + i]) +
                 dx * qv__bf16_to_float(table[(y0 * SIDE + x1) * WIDTH + i]);
    double bottom = (1 - dx) * qv__bf16_to_float(table[(y1 * SIDE + x0) * WIDTH + i]) +
                    dx * qv__bf16_to_float(table[(y1 * SIDE + x1) * WIDTH + i]);
    return (1 - dy) * top + dy * bottom;
}

TEST(position_embeddings) {
    enum { STRIDE = WIDTH + 2 };
    static uint16_t table[SIDE * SIDE * WIDTH];
    static float before[ROWS * STRIDE], whole[ROWS * STRIDE], first_tier[ROWS * STRIDE], part[ROWS * STRIDE];
    qv__frame_pair pairs[PAIRS];
    place at[ROWS];
    uint64_t seed = check_seed();
    fill_pairs(pairs, &seed);
    places(at);
    for (int i = 0; i < SIDE * SIDE * WIDTH; i++)
        table[i] = (uint16_t)((check_random(&seed) & 0x80ff) | 0x3f00); /* 0.5 .. 2 */
    for (int i = 0; i < ROWS * STRIDE; i++) before[i] = (float)check_uniform(&seed);
    qv__weight w = {.dtype = QV__BF16, .rows = SIDE * SIDE, .cols = WIDTH, .data = table};
    for (int tier = 0; tier <= (int)qv__tier_best(); tier++) {
        qv__backend *cpu = open_cpu(tier + 1, tier);
        memcpy(whole, before, sizeof whole);
        cpu->ops->pos_embed_add(cpu, whole, STRIDE, &w, SIDE, pairs, PAIRS, PATCH, MERGE, 0, ROWS);
        for (int r = 0; r < ROWS; r++) {
            int height = sizes[at[r].pair][0] / PATCH, width = sizes[at[r].pair][1] / PATCH;
            double y = (SIDE - 1.0) * at[r].y / (height - 1), x = (SIDE - 1.0) * at[r].x / (width - 1);
            for (int i = 0; i < STRIDE; i++) {
                double want = before[r * STRIDE + i] + (i < WIDTH ? sampled(table, y, x, i) : 0);
                CHECK_MSG(fabs(whole[r * STRIDE + i] - want) < 2e-5, "row %d [%d]: %g, not %g", r, i,
                          (double)whole[r * STRIDE + i], want);
            }
        }
        if (tier == 0) memcpy(first_tier, whole, sizeof whole);
        CHECK(!memcmp(whole, first_tier, sizeof whole));
        for (int first = 0; first < ROWS; first += 11) {
            memcpy(part, before, sizeof part);
            cpu->ops->pos_embed_add(cpu, part + first * STRIDE, STRIDE, &w, SIDE, pairs, PAIRS, PATCH, MERGE, first,
                                    ROWS - first);
            CHECK(!memcmp(part + first * STRIDE, whole + first * STRIDE,
                          (size_t)((ROWS - first) * STRIDE) * sizeof *part));
        }
        cpu->ops->close(cpu);
    }
}

TEST(rotary_table) {
    enum { DIM = 72, HALF = DIM / 2, QUARTER = DIM / 4 };
    static float cosine[ROWS * HALF], sine[ROWS * HALF];
    qv__frame_pair pairs[PAIRS];
    place at[ROWS];
    for (int p = 0; p < PAIRS; p++) pairs[p] = (qv__frame_pair){{NULL, NULL}, sizes[p][0], sizes[p][1]};
    places(at);
    for (int threads = 1; threads <= 3; threads++) {
        qv__backend *cpu = open_cpu(threads, QV__TIER_COUNT - 1);
        memset(cosine, 0, sizeof cosine);
        cpu->ops->vision_rope_table(cpu, cosine, sine, pairs, PAIRS, PATCH, MERGE, DIM);
        for (int r = 0; r < ROWS; r++)
            for (int k = 0; k < HALF; k++) {
                double angle = (k < QUARTER ? at[r].y : at[r].x) * pow(10000, -4.0 * (k % QUARTER) / DIM);
                CHECK(fabs(cosine[r * HALF + k] - cos(angle)) < 1e-6);
                CHECK(fabs(sine[r * HALF + k] - sin(angle)) < 1e-6);
            }
        cpu->ops->close(cpu);
    }
}
