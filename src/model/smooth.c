#include "model/smooth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/half.h"

/* How large the inputs are is not known without data, but what makes them is: a norm's weights; or a matrix, whose row
 * k makes input k. */
typedef enum { NORM, ROWS, VALUES_OF_HEADS, VALUES_OF_QKV } producer_kind;

static const struct {
    const char *end; /* of the matrix' name */
    producer_kind kind;
    const char *producer; /* put in place of `end` */
    const char *partner;  /* reads the same inputs, with the same factors; NULL: none */
} rules[] = {
    {"self_attn.q_proj.weight", NORM, "input_layernorm.weight", NULL},
    {"self_attn.k_proj.weight", NORM, "input_layernorm.weight", NULL},
    {"self_attn.v_proj.weight", NORM, "input_layernorm.weight", NULL},
    {"self_attn.o_proj.weight", VALUES_OF_HEADS, "self_attn.v_proj.weight", NULL},
    {"mlp.gate_proj.weight", NORM, "post_attention_layernorm.weight", "mlp.up_proj.weight"},
    {"mlp.up_proj.weight", NORM, "post_attention_layernorm.weight", "mlp.gate_proj.weight"},
    {"mlp.down_proj.weight", ROWS, "mlp.up_proj.weight", NULL},
    {"attn.qkv.weight", NORM, "norm1.weight", NULL},
    {"attn.proj.weight", VALUES_OF_QKV, "attn.qkv.weight", NULL},
    {"mlp.linear_fc1.weight", NORM, "norm2.weight", NULL},
    {"mlp.linear_fc2.weight", ROWS, "mlp.linear_fc1.weight", NULL},
    {"linear_fc1.weight", NORM, "norm.weight", NULL},
    {"linear_fc2.weight", ROWS, "linear_fc1.weight", NULL},
};

enum { LEAST_RATIO = 8, EXPONENT_MAX = 16 };

/* ---- magnitudes ----------------------------------------------------------------------------------- */

static float magnitude(const qv__tensor *t, int64_t i) {
    const unsigned char *at = (const unsigned char *)t->data + (size_t)i * qv__dtype_size(t->dtype);
    return fabsf(qv__stored_to_float(t->dtype, at));
}

static void add_bits(const uint16_t *w, int64_t count, uint16_t *most) {
    for (int64_t k = 0; k < count; k++) {
        uint16_t value = w[k] & 0x7fff;
        most[k] = value > most[k] ? value : most[k];
    }
}

/* most[k] = the largest of it and the magnitudes of column k. Without their sign the bits of floating-point values are
 * ordered as they are. */
static void add_columns(const qv__tensor *t, int64_t rows, int64_t cols, float *most) {
    if (t->dtype == QV__F32) {
        for (int64_t n = 0; n < rows; n++)
            for (int64_t k = 0; k < cols; k++) most[k] = fmaxf(most[k], magnitude(t, n * cols + k));
        return;
    }
    enum { STEP = 2048 };
    const uint16_t *w = t->data;
    for (int64_t first = 0; first < cols; first += STEP) {
        uint16_t bits[STEP] = {0};
        int64_t count = cols - first < STEP ? cols - first : STEP;
        for (int64_t n = 0; n < rows; n++) add_bits(w + n * cols + first, count, bits);
        for (int64_t k = 0; k < count; k++)
            most[first + k] = fmaxf(most[first + k], qv__stored_to_float(t->dtype, (const unsigned char *)&bits[k]));
    }
}

static float row_magnitude(const qv__tensor *t, int64_t row, int64_t cols) {
    float most = 0;
    uint16_t bits = 0;
    if (t->dtype == QV__F32) {
        for (int64_t k = 0; k < cols; k++) most = fmaxf(most, magnitude(t, row * cols + k));
        return most;
    }
    const uint16_t *w = (const uint16_t *)t->data + row * cols;
    for (int64_t k = 0; k < cols; k++) {
        uint16_t value = w[k] & 0x7fff;
        bits = value > bits ? value : bits;
    }
    return qv__stored_to_float(t->dtype, (const unsigned char *)&bits);
}

/* The row of the producer that makes input k. */
static int64_t producing_row(const qv__config *c, producer_kind kind, int64_t k) {
    const qv__text_config *t = &c->text;
    int64_t head = k / t->head_dim;
    if (kind == VALUES_OF_QKV) return 2 * (int64_t)c->vision.hidden + k;
    if (kind == VALUES_OF_HEADS) return head / (t->heads / t->kv_heads) * t->head_dim + k % t->head_dim;
    return k;
}

/* ---- the rule ------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* ratio[k], inputs over weights, to factors: those far from the median are halved on a logarithmic scale. */
static bool choose(const float *ratio, float *sorted, int64_t cols, float *factors) {
    bool any = false;
    int64_t count = 0;
    for (int64_t k = 0; k < cols; k++)
        if (ratio[k] > 0) sorted[count++] = ratio[k];
    qsort(sorted, (size_t)count, sizeof *sorted, by_size);
    float median = count ? sorted[count / 2] : 1;
    for (int64_t k = 0; k < cols; k++) {
        float far = ratio[k] > 0 ? ratio[k] / median : 1;
        int exponent = 0;
        if (far >= LEAST_RATIO || far <= 1.0f / LEAST_RATIO) exponent = (ilogbf(far) + 1) / 2;
        if (exponent > EXPONENT_MAX) exponent = EXPONENT_MAX;
        if (exponent < -EXPONENT_MAX) exponent = -EXPONENT_MAX;
        factors[k] = ldexpf(1, exponent);
        any |= exponent != 0;
    }
    return any;
}

static const qv__tensor *find(const qv__checkpoint *c, const char *name, size_t stem, const char *end) {
    char full[256];
    int n = snprintf(full, sizeof full, "%.*s%s", (int)stem, name, end);
    const qv__tensor *t = n > 0 && (size_t)n < sizeof full ? qv__checkpoint_find(c, full) : NULL;
    return t && t->data && t->dtype != QV__U8 ? t : NULL;
}

/* ratio[k] = magnitude of input k over that of column k; 0 where one of them is 0 or not finite. */
static void fill_ratio(const qv__checkpoint *c, size_t rule, const char *name, int64_t cols, float *ratio,
                       float *columns) {
    size_t stem = strlen(name) - strlen(rules[rule].end);
    const qv__tensor *own = qv__checkpoint_find(c, name);
    const qv__tensor *partner = rules[rule].partner ? find(c, name, stem, rules[rule].partner) : NULL;
    const qv__tensor *producer = find(c, name, stem, rules[rule].producer);
    if (!own || !own->data || !producer || (rules[rule].partner && !partner)) return;
    memset(columns, 0, (size_t)cols * sizeof *columns);
    add_columns(own, own->shape[0], cols, columns);
    if (partner && partner->rank == 2 && partner->shape[1] == cols)
        add_columns(partner, partner->shape[0], cols, columns);
    for (int64_t k = 0; k < cols; k++) {
        int64_t row = producing_row(qv__checkpoint_config(c), rules[rule].kind, k);
        float input = 0;
        if (rules[rule].kind == NORM)
            input = magnitude(producer, k % producer->shape[0]); /* mergers join several normed rows */
        else if (producer->rank == 2 && row < producer->shape[0])
            input = row_magnitude(producer, row, producer->shape[1]);
        ratio[k] = isfinite(input) && isfinite(columns[k]) && columns[k] > 0 ? input / columns[k] : 0;
        if (!isnormal(ratio[k])) ratio[k] = 0;
    }
}

qv_status qv__smooth(const qv__checkpoint *c, const char *name, int64_t cols, float *factors, bool *any,
                     qv_error *err) {
    size_t n = strlen(name), rule = 0, count = sizeof rules / sizeof *rules;
    *any = false;
    for (int64_t k = 0; k < cols; k++) factors[k] = 1;
    while (rule < count && (n < strlen(rules[rule].end) || strcmp(name + n - strlen(rules[rule].end), rules[rule].end)))
        rule++;
    if (rule == count) return QV_OK;
    float *ratio = qv__calloc(2 * (size_t)cols, sizeof *ratio);
    if (!ratio) return qv__fail(err, QV_NO_MEMORY, "out of memory for %lld columns", (long long)cols);
    fill_ratio(c, rule, name, cols, ratio, ratio + cols);
    *any = choose(ratio, ratio + cols, cols, factors);
    qv__free(ratio);
    return QV_OK;
}
