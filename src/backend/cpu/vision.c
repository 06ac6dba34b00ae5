/* The vision tower's front. Patch rows of all pairs lie one after another; within a pair they run over blocks of
 * merge x merge patches, row by row, and inside a block row by row. */
#include "kernels/vision.h"
#include "backend/cpu/cpu.h"

typedef struct {
    const qv__frame_pair *pairs;
    int64_t count;
    int patch, merge;
} grids;

/* Where patch row r lies. */
typedef struct {
    const qv__frame_pair *pair;
    int64_t pair_rows, index; /* patches of the pair; which of them this is */
    int y, x, rows, columns;  /* in patches */
} place;

static void enter_pair(const grids *g, place *p) {
    p->rows = p->pair->height / g->patch;
    p->columns = p->pair->width / g->patch;
    p->pair_rows = (int64_t)p->rows * p->columns;
}

static void locate(const grids *g, place *p) {
    int64_t block_rows = (int64_t)g->merge * p->columns, inside = p->index % block_rows; /* a row of blocks */
    int block = g->merge * g->merge, in_block = (int)(inside % block);
    p->y = (int)(p->index / block_rows) * g->merge + in_block / g->merge;
    p->x = (int)(inside / block) * g->merge + in_block % g->merge;
}

static place place_of(const grids *g, int64_t row) {
    place p = {.pair = g->pairs, .index = row};
    for (enter_pair(g, &p); p.index >= p.pair_rows; enter_pair(g, &p)) {
        p.index -= p.pair_rows;
        p.pair++;
    }
    locate(g, &p);
    return p;
}

/* Not to be called on the last row of all. */
static void next_place(const grids *g, place *p) {
    if (++p->index == p->pair_rows) {
        p->index = 0;
        p->pair++;
        enter_pair(g, p);
    }
    locate(g, p);
}

/* ---- pixels ---- */

typedef struct {
    grids grids;
    float *out;
    int64_t out_stride, first;
    float level[256];
} patch_rows;

static void fill_patches(const void *context, int64_t first, int64_t last) {
    const patch_rows *w = context;
    int patch = w->grids.patch;
    if (first == last) return;
    place p = place_of(&w->grids, w->first + first);
    for (int64_t r = first;; next_place(&w->grids, &p)) {
        int64_t row_bytes = (int64_t)p.pair->width * 3, corner = p.y * patch * row_bytes + (int64_t)p.x * patch * 3;
        const uint8_t *const frame[2] = {p.pair->frame[0] + corner, p.pair->frame[1] + corner};
        qv__patch_row(w->out + r * w->out_stride, frame, row_bytes, patch, w->level);
        if (++r == last) return;
    }
}

void qv__cpu_patch_rows(qv__backend *b, float *out, int64_t out_stride, const qv__frame_pair *pairs, int64_t pair_count,
                        int patch, int merge, int64_t first, int64_t count) {
    patch_rows w = {.grids = {pairs, pair_count, patch, merge}, .out = out, .out_stride = out_stride, .first = first};
    qv__pixel_levels(w.level);
    qv__cpu_for_rows((const qv__cpu *)b, count, (int64_t)6 * patch * patch, fill_patches, &w);
}

/* ---- position embeddings ---- */

typedef struct {
    grids grids;
    const qv__rows_kernels *kernels;
    float *x;
    int64_t x_stride, first;
    const qv__weight *table;
    int side;
} position_rows;

static void add_positions(const void *context, int64_t first, int64_t last) {
    const position_rows *w = context;
    size_t row_bytes = (size_t)w->table->cols * qv__dtype_size(w->table->dtype);
    if (first == last) return;
    place p = place_of(&w->grids, w->first + first);
    for (int64_t r = first;; next_place(&w->grids, &p)) {
        int64_t cell[4];
        float weight[4];
        const void *row[4];
        qv__grid_corners(qv__grid_sample_at(p.y, p.rows, w->side), qv__grid_sample_at(p.x, p.columns, w->side), w->side,
                         cell, weight);
        for (int i = 0; i < 4; i++) row[i] = (const char *)w->table->data + (size_t)cell[i] * row_bytes;
        w->kernels->add_weighted(w->x + r * w->x_stride, weight, row, w->table->dtype, w->table->cols);
        if (++r == last) return;
    }
}

void qv__cpu_pos_embed_add(qv__backend *b, float *x, int64_t x_stride, const qv__weight *table, int side,
                           const qv__frame_pair *pairs, int64_t pair_count, int patch, int merge, int64_t first,
                           int64_t count) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    position_rows w = {{pairs, pair_count, patch, merge}, cpu->rows, x, x_stride, first, table, side};
    qv__cpu_for_rows(cpu, count, 4 * table->cols, add_positions, &w);
}

/* ---- rotary table ---- */

enum { QUARTER_MAX = QV__HEAD_DIM_MAX / 4, ANGLE_FLOATS = 32 };

typedef struct {
    grids grids;
    float *cos, *sin;
    int quarter;
    float frequency[QUARTER_MAX];
} rope_rows;

static void fill_angles(const void *context, int64_t first, int64_t last) {
    const rope_rows *w = context;
    int quarter = w->quarter;
    if (first == last) return;
    place p = place_of(&w->grids, first);
    for (int64_t r = first;; next_place(&w->grids, &p)) {
        float *cos = w->cos + r * 2 * quarter, *sin = w->sin + r * 2 * quarter;
        qv__rope_angles(cos, sin, w->frequency, (float)p.y, quarter);
        qv__rope_angles(cos + quarter, sin + quarter, w->frequency, (float)p.x, quarter);
        if (++r == last) return;
    }
}

void qv__cpu_vision_rope_table(qv__backend *b, float *cos, float *sin, const qv__frame_pair *pairs, int64_t count,
                               int patch, int merge, int head_dim) {
    rope_rows w = {.grids = {pairs, count, patch, merge}, .cos = cos, .sin = sin, .quarter = head_dim / 4};
    int64_t rows = 0;
    qv__rope_frequencies(w.frequency, w.quarter, 10000.0, head_dim / 2);
    for (int64_t i = 0; i < count; i++) rows += (int64_t)(pairs[i].height / patch) * (pairs[i].width / patch);
    qv__cpu_for_rows((const qv__cpu *)b, rows, (int64_t)w.quarter * 2 * ANGLE_FLOATS, fill_angles, &w);
}
