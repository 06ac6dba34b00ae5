/* Attention over one packed batch. A task is a run of query rows of one segment that share a key/value head; a row is
 * one position of one query head (position-major, so that heads of a group share every load of keys and values).
 *
 * For each block of keys the task copies keys (transposed) and values into its worker's scratch, from the prefix and
 * from the segment's own rows alike: where the one ends and the other begins leaves no trace in the arithmetic. Rows
 * then pass over the block in tiles. Keys that a row does not see take part in no operation of its result. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum {
    TASK_ROWS = 384, /* copying a block costs a few percent of what so many rows compute with it */
    TASK_ROWS_LEAST = 48,
    TASKS_PER_THREAD = 4, /* below this, smaller tasks balance better */
    SEGMENT_GROUP = 256,  /* segments of one hand-out of tasks */
    PAD = 16,             /* widths are rounded up to this */
};

/* Each part is a multiple of 64 bytes. */
typedef struct {
    float keys[QV__HEAD_DIM_MAX * QV__KEY_BLOCK];   /* [head_dim][QV__KEY_BLOCK] */
    float values[QV__KEY_BLOCK * QV__HEAD_DIM_MAX]; /* [QV__KEY_BLOCK][width] */
    float queries[TASK_ROWS * QV__TILE_STRIDE];     /* [rows][QV__TILE_STRIDE] */
    float acc[TASK_ROWS * QV__HEAD_DIM_MAX];        /* [rows][width] */
    float sums[TASK_ROWS][QV__SUM_LANES];
    float highest[TASK_ROWS];
    int64_t visible[TASK_ROWS];                     /* keys that a row sees; grows from row to row */
    float scores[QV__QUERY_TILE * QV__TILE_STRIDE]; /* of one tile and block */
} scratch;

size_t qv__cpu_attention_scratch(void) {
    return sizeof(scratch);
}

/* Rows [first, last) of a segment, numbered position * group + head in group. */
typedef struct {
    const qv__attention *a;
    const qv__attention_kernels *kernels;
    const qv__segment *segment;
    scratch *scratch;
    int kv_head, group, width; /* width: head_dim rounded up to PAD */
    int64_t first, last;
} task;

static int64_t key_count(const qv__segment *s) {
    return s->prefix_count + s->count;
}

/* How many keys row r sees. */
static int64_t visible(const task *t, int64_t r) {
    int64_t all = key_count(t->segment), own = t->segment->q_position + r / t->group + 1;
    return t->a->causal && own < all ? own : all;
}

static const float *query(const task *t, int64_t r) {
    const qv__attention *a = t->a;
    int64_t head = (int64_t)t->kv_head * t->group + r % t->group;
    return a->q + (t->segment->q_first + r / t->group) * a->q_stride + head * a->head_dim;
}

static float *output(const task *t, int64_t r) {
    const qv__attention *a = t->a;
    int64_t head = (int64_t)t->kv_head * t->group + r % t->group;
    return a->out + (t->segment->q_first + r / t->group) * a->out_stride + head * a->head_dim;
}

/* The rows of keys and values of the task's head at position j. */
static const float *key_at(const task *t, int64_t j) {
    const qv__segment *s = t->segment;
    int64_t head = (int64_t)t->kv_head * t->a->head_dim;
    return j < s->prefix_count ? s->prefix_k + j * s->prefix_stride + head
                               : s->k + (j - s->prefix_count) * s->kv_stride + head;
}

static const float *value_at(const task *t, int64_t j) {
    const qv__segment *s = t->segment;
    int64_t head = (int64_t)t->kv_head * t->a->head_dim;
    return j < s->prefix_count ? s->prefix_v + j * s->prefix_stride + head
                               : s->v + (j - s->prefix_count) * s->kv_stride + head;
}

/* Keys and values at positions [start, start + count) into scratch. */
static void load_block(const task *t, int64_t start, int count) {
    const float *row[QV__KEY_BLOCK];
    for (int j = 0; j < count; j++) row[j] = key_at(t, start + j);
    t->kernels->transpose(t->scratch->keys, row, count, t->a->head_dim);
    size_t bytes = (size_t)t->a->head_dim * sizeof(float), padding = (size_t)t->width * sizeof(float) - bytes;
    for (int j = 0; j < count; j++) {
        float *to = t->scratch->values + j * t->width;
        memcpy(to, value_at(t, start + j), bytes);
        memset(to + t->a->head_dim, 0, padding);
    }
}

/* Rows of one head lie a page or so apart, where the hardware does not look ahead. */
static void prefetch_row(const float *row, int floats) {
    enum { LINE_FLOATS = 16 };
    for (int k = 0; k < floats; k += LINE_FLOATS) __builtin_prefetch(row + k, 0, 2);
}

/* Keys and values at positions [first, last). */
static void prefetch_keys(const task *t, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; j++) {
        prefetch_row(key_at(t, j), t->a->head_dim);
        prefetch_row(value_at(t, j), t->a->head_dim);
    }
}

/* A share of the block at `start`, while the last tiles of the block before it are at work. tiles: still to come. */
static void prefetch_share(const task *t, int64_t start, int64_t keys, int64_t tiles) {
    enum { TILES = 8, SHARE = QV__KEY_BLOCK / TILES };
    if (tiles >= TILES) return;
    int64_t first = start + (TILES - 1 - tiles) * SHARE, last = first + SHARE;
    prefetch_keys(t, first, last < keys ? last : keys);
}

/* Rows [first, first + count) of the task against the block at `start`. */
static void attend(const task *t, int64_t start, int block, int first, int count) {
    scratch *s = t->scratch;
    const qv__attention_kernels *k = t->kernels;
    float *acc = s->acc + first * t->width, rescaling[QV__QUERY_TILE];
    int seen[QV__QUERY_TILE]; /* keys of this block */
    for (int r = 0; r < count; r++) {
        int64_t n = s->visible[first + r] - start;
        seen[r] = n < 0 ? 0 : n < block ? (int)n : block;
    }
    int most = seen[count - 1];
    if (most == 0) return;
    k->multiply(s->scores, QV__TILE_STRIDE, s->queries + first * QV__TILE_STRIDE, count, s->keys, QV__KEY_BLOCK,
                t->a->head_dim, (most + PAD - 1) / PAD * PAD, false);
    k->softmax(s->scores, count, seen, t->a->scale, s->highest + first, s->sums + first, rescaling);
    for (int r = 0; r < count; r++)
        if (rescaling[r] != 1.0f) k->rescale(acc + r * t->width, rescaling[r], t->width);
    /* All rows take the keys that the first one sees; then those that see more of them go on. */
    for (int done = 0, r = 0; done < most; done = seen[r]) {
        while (seen[r] <= done) r++;
        k->multiply(acc + r * t->width, t->width, s->scores + r * QV__TILE_STRIDE + done, count - r,
                    s->values + done * t->width, t->width, seen[r] - done, t->width, true);
    }
}

static void run_task(const task *t) {
    scratch *s = t->scratch;
    int rows = (int)(t->last - t->first);
    int64_t keys = visible(t, t->last - 1);
    prefetch_keys(t, 0, keys < QV__KEY_BLOCK ? keys : QV__KEY_BLOCK);
    memset(s->acc, 0, (size_t)(rows * t->width) * sizeof(float));
    memset(s->sums, 0, (size_t)rows * sizeof s->sums[0]);
    for (int r = 0; r < rows; r++) {
        s->highest[r] = -INFINITY;
        s->visible[r] = visible(t, t->first + r);
        if (r + QV__QUERY_TILE < rows) prefetch_row(query(t, t->first + r + QV__QUERY_TILE), t->a->head_dim);
        memcpy(s->queries + r * QV__TILE_STRIDE, query(t, t->first + r), (size_t)t->a->head_dim * sizeof(float));
    }
    for (int64_t start = 0; start < keys; start += QV__KEY_BLOCK) {
        int block = keys - start < QV__KEY_BLOCK ? (int)(keys - start) : QV__KEY_BLOCK;
        load_block(t, start, block);
        for (int r = 0; r < rows; r += QV__QUERY_TILE) {
            prefetch_share(t, start + QV__KEY_BLOCK, keys, (rows - 1 - r) / QV__QUERY_TILE);
            attend(t, start, block, r, rows - r < QV__QUERY_TILE ? rows - r : QV__QUERY_TILE);
        }
    }
    for (int r = 0; r < rows; r++)
        t->kernels->finish(output(t, t->first + r), s->acc + r * t->width, s->sums[r], t->a->head_dim);
}

/* ---- sharing out ---- */

/* Tasks of up to SEGMENT_GROUP segments: those of segment i are numbered from first_task[i]. */
typedef struct {
    const qv__cpu *cpu;
    const qv__attention *a;
    const qv__segment *segments;
    int64_t task_rows;
    int count;
    int64_t first_task[SEGMENT_GROUP + 1];
} handout;

static int64_t rows_of(const handout *h, const qv__segment *s) {
    return s->q_count * (h->a->heads / h->a->kv_heads);
}

/* Runs of about equal length, of whole tiles, none over task_rows. */
static int64_t run_rows(const handout *h, const qv__segment *s) {
    int64_t rows = rows_of(h, s), runs = (rows + h->task_rows - 1) / h->task_rows;
    int64_t each = runs ? (rows + runs - 1) / runs : 1;
    return (each + QV__QUERY_TILE - 1) / QV__QUERY_TILE * QV__QUERY_TILE;
}

static int64_t run_count(const handout *h, const qv__segment *s) {
    int64_t each = run_rows(h, s);
    return (rows_of(h, s) + each - 1) / each;
}

static void number_tasks(handout *h, int64_t task_rows) {
    int64_t tasks = 0;
    h->task_rows = task_rows;
    for (int i = 0; i < h->count; i++) {
        h->first_task[i] = tasks;
        tasks += run_count(h, &h->segments[i]) * h->a->kv_heads;
    }
    h->first_task[h->count] = tasks;
}

static void run_numbered(void *context, size_t number, int worker) {
    const handout *h = context;
    int low = 0, high = h->count; /* the last segment whose tasks begin at or before `number` */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (h->first_task[middle] <= (int64_t)number)
            low = middle;
        else
            high = middle;
    }
    const qv__segment *s = &h->segments[low];
    int64_t within = (int64_t)number - h->first_task[low], group = h->a->heads / h->a->kv_heads;
    /* Causal: the last runs are the longest, so they start first. */
    int64_t rows = rows_of(h, s), each = run_rows(h, s), run = run_count(h, s) - 1 - within / h->a->kv_heads;
    task t = {.a = h->a, .kernels = h->cpu->attention, .segment = s, .group = (int)group};
    t.scratch = (scratch *)(h->cpu->worker_scratch + (size_t)worker * h->cpu->worker_bytes);
    t.kv_head = (int)(within % h->a->kv_heads);
    t.width = (h->a->head_dim + PAD - 1) / PAD * PAD;
    t.first = run * each;
    t.last = t.first + each < rows ? t.first + each : rows;
    run_task(&t);
}

void qv__cpu_attention(qv__backend *b, const qv__attention *args) {
    const qv__cpu *cpu = (const qv__cpu *)b;
    int64_t enough = (int64_t)TASKS_PER_THREAD * qv__threads_count(cpu->threads);
    for (int64_t i = 0; i < args->segment_count; i += SEGMENT_GROUP) {
        int64_t left = args->segment_count - i;
        handout h = {.cpu = cpu, .a = args, .segments = args->segments + i};
        h.count = left < SEGMENT_GROUP ? (int)left : SEGMENT_GROUP;
        number_tasks(&h, TASK_ROWS);
        while (h.first_task[h.count] < enough && h.task_rows > TASK_ROWS_LEAST) number_tasks(&h, h.task_rows / 2);
        qv__threads_run(cpu->threads, (size_t)h.first_task[h.count], run_numbered, &h);
    }
}
