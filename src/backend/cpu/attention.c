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
    TASK_ROWS = 192, /* copying a block costs a few percent of what so many rows compute with it */
    TASK_ROWS_LEAST = 48,
    TASKS_PER_THREAD = 4, /* below this, smaller tasks balance better */
    SEGMENT_GROUP = 256,  /* segments of one hand-out of tasks */
    PAD = 16,             /* widths are rounded up to this */
};

/* Each part is a multiple of 64 bytes. */
typedef struct {
    float keys[QV__HEAD_DIM_MAX * QV__KEY_BLOCK];   /* [head_dim][QV__KEY_BLOCK] */
    float values[QV__KEY_BLOCK * QV__HEAD_DIM_MAX]; /* [QV__KEY_BLOCK][width] */
    float acc[TASK_ROWS * QV__HEAD_DIM_MAX];        /* [rows][width] */
    float sums[TASK_ROWS][QV__SUM_LANES];
    float most[TASK_ROWS];
    float scores[QV__QUERY_TILE][QV__KEY_BLOCK];
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

/* Keys and values at positions [start, start + count) into scratch. */
static void load_block(const task *t, int64_t start, int count) {
    const qv__segment *s = t->segment;
    const float *row[QV__KEY_BLOCK];
    int64_t head = (int64_t)t->kv_head * t->a->head_dim;
    int prefix = start >= s->prefix_count           ? 0
                 : start + count <= s->prefix_count ? count
                                                    : (int)(s->prefix_count - start);
    for (int j = 0; j < prefix; j++) row[j] = s->prefix_k + (start + j) * s->prefix_stride + head;
    for (int j = prefix; j < count; j++) row[j] = s->k + (start + j - s->prefix_count) * s->kv_stride + head;
    t->kernels->transpose(t->scratch->keys, row, count, t->a->head_dim);
    size_t bytes = (size_t)t->a->head_dim * sizeof(float), padding = (size_t)t->width * sizeof(float) - bytes;
    for (int j = 0; j < count; j++) {
        const float *value = j < prefix ? s->prefix_v + (start + j) * s->prefix_stride + head
                                        : s->v + (start + j - s->prefix_count) * s->kv_stride + head;
        float *to = t->scratch->values + (int64_t)j * t->width;
        memcpy(to, value, bytes);
        memset(to + t->a->head_dim, 0, padding);
    }
}

/* `count` rows from `first` against the block at `start`. */
static void attend(const task *t, int64_t start, int block, int64_t first, int count) {
    scratch *s = t->scratch;
    const qv__attention_kernels *k = t->kernels;
    const float *q[QV__QUERY_TILE], *p[QV__QUERY_TILE];
    int seen[QV__QUERY_TILE], least = block, most = 0;
    for (int r = 0; r < count; r++) {
        int64_t n = visible(t, first + r) - start;
        seen[r] = n < 0 ? 0 : n < block ? (int)n : block;
        if (seen[r] < least) least = seen[r];
        if (seen[r] > most) most = seen[r];
        q[r] = query(t, first + r);
        p[r] = s->scores[r];
    }
    if (most == 0) return;
    k->multiply(s->scores[0], QV__KEY_BLOCK, q, count, s->keys, QV__KEY_BLOCK, t->a->head_dim,
                (most + PAD - 1) / PAD * PAD, false);
    int64_t in_task = first - t->first;
    float *acc = s->acc + in_task * t->width;
    for (int r = 0; r < count; r++) {
        if (seen[r] == 0) continue;
        float c = k->softmax(s->scores[r], seen[r], t->a->scale, &s->most[in_task + r], s->sums[in_task + r]);
        if (c != 1.0f) k->rescale(acc + r * t->width, c, t->width);
    }
    if (least > 0) k->multiply(acc, t->width, p, count, s->values, t->width, least, t->width, true);
    for (int r = 0; r < count; r++) { /* on the diagonal, the keys that not all rows of the tile see */
        const float *rest = p[r] + least;
        if (seen[r] > least)
            k->multiply(acc + r * t->width, t->width, &rest, 1, s->values + (int64_t)least * t->width, t->width,
                        seen[r] - least, t->width, true);
    }
}

static void run_task(const task *t) {
    scratch *s = t->scratch;
    int64_t rows = t->last - t->first, keys = visible(t, t->last - 1);
    memset(s->acc, 0, (size_t)(rows * t->width) * sizeof(float));
    memset(s->sums, 0, (size_t)rows * sizeof s->sums[0]);
    for (int64_t r = 0; r < rows; r++) s->most[r] = -INFINITY;
    for (int64_t start = 0; start < keys; start += QV__KEY_BLOCK) {
        int block = keys - start < QV__KEY_BLOCK ? (int)(keys - start) : QV__KEY_BLOCK;
        load_block(t, start, block);
        for (int64_t r = t->first; r < t->last; r += QV__QUERY_TILE)
            attend(t, start, block, r, t->last - r < QV__QUERY_TILE ? (int)(t->last - r) : QV__QUERY_TILE);
    }
    for (int64_t r = 0; r < rows; r++)
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

static void number_tasks(handout *h, int64_t task_rows) {
    int64_t group = h->a->heads / h->a->kv_heads, tasks = 0;
    h->task_rows = task_rows;
    for (int i = 0; i < h->count; i++) {
        h->first_task[i] = tasks;
        tasks += (h->segments[i].q_count * group + task_rows - 1) / task_rows * h->a->kv_heads;
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
    int64_t rows = s->q_count * group, runs = (rows + h->task_rows - 1) / h->task_rows;
    int64_t run = runs - 1 - within / h->a->kv_heads; /* causal: the last runs are the longest, so they start first */
    task t = {.a = h->a, .kernels = h->cpu->attention, .segment = s, .group = (int)group};
    t.scratch = (scratch *)(h->cpu->worker_scratch + (size_t)worker * h->cpu->worker_bytes);
    t.kv_head = (int)(within % h->a->kv_heads);
    t.width = (h->a->head_dim + PAD - 1) / PAD * PAD;
    t.first = run * h->task_rows;
    t.last = t.first + h->task_rows < rows ? t.first + h->task_rows : rows;
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
