/* Whole forward passes of a model with weights by rule: texts, the vision tower, and a picture from the bytes of its
 * JPEG file to the vector. The network is called without the engine but for the last, so nothing is shared or cached.
 *
 *     bench_forward [--quick | --all] [--threads N] [--tier TIER] [--shape 2b|8b|small] [--int8] [--only PART]
 *         [--seconds S]
 *     bench_forward --on-demand ...       runs the cases that lines of stdin name, once each: for bench/peers */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> /* needs stdio.h before it */

#include "model.h"

enum { COUNT_MAX = 8, HEIGHT = 480, WIDTH = 640 };

typedef enum { TEXT, TOWER, WHOLE } kind;

/* For texts: `count` of `length` tokens; for pictures of 640 x 480: `count` of them. */
typedef struct {
    const char *name;
    kind kind;
    int count, length;
    bool quick, usual; /* part of --quick; of neither --quick nor --all */
} bench_case;

static const bench_case cases[] = {
    {"text 1 x 20", TEXT, 1, 20, true, true},
    {"text 1 x 200", TEXT, 1, 200, true, true},
    {"text 4 x 200", TEXT, 4, 200, false, true},
    {"text 1 x 1000", TEXT, 1, 1000, false, true},
    {"text 1 x 8192", TEXT, 1, 8192, false, false},
    {"vision tower, 1 x 1200 patches", TOWER, 1, 0, true, true},
    {"vision tower, 8 x 1200 patches", TOWER, 8, 0, false, false},
    {"picture, JPEG to vector", WHOLE, 1, 0, false, true},
};

static qv_model *model;

static const qv__config *config(void) {
    return qv__checkpoint_config(model->checkpoint);
}

/* ---- a forward ------------------------------------------------------------------------------------ */

static void between(void *meter) {
    bench_between(meter);
}

typedef struct {
    const bench_meter *meter;
    int64_t moment; /* of bench_clock */
} watch;

/* The cache that never has anything, asked only for the moment when the tower is done. */
static void offer(void *user, const qv__vision_run *run, const float *features, int64_t floats) {
    watch *w = user;
    w->moment = bench_clock(w->meter);
}

/* Runs the batch once; returns when its last picture was through the tower. */
static int64_t forward(bench_meter *m, const qv__batch_item *items, int count) {
    watch w = {.meter = m};
    const qv__feature_cache cache = {.offer = offer, .user = &w};
    const qv__batch batch = {.items = items, .count = count, .pause = between, .user = m, .features = &cache};
    qv_status status[COUNT_MAX];
    qv_error err = {0};
    if (qv__network_forward(model->network, &batch, status, &err)) bench_fail("%s", err.message);
    for (int i = 0; i < count; i++)
        if (status[i]) bench_fail("a vector that is not finite");
    return w.moment;
}

static double run_text(bench_meter *m, const bench_case *c) {
    static qv__batch_item items[COUNT_MAX];
    float *hidden = malloc(sizeof *hidden * COUNT_MAX * (size_t)config()->text.hidden);
    if (!hidden) bench_fail("out of memory");
    for (int i = 0; i < c->count; i++)
        items[i] = (qv__batch_item){.sequence = bench_text(model, c->length, NULL, 0),
                                    .hidden = hidden + (ptrdiff_t)i * config()->text.hidden};
    bench_start(m);
    forward(m, items, c->count);
    bench_stop(m, c->count * bench_text_flops(&config()->text, c->length, 0));
    free(hidden);
    return c->count * c->length;
}

/* All tokens but each picture's last come from a prefix of zeros, so that the decoder hardly computes; and the clock
 * stops when the tower is done. */
static double run_tower(bench_meter *m, const bench_case *c) {
    static qv__sequence *pictures[COUNT_MAX];
    qv__batch_item items[COUNT_MAX];
    qv__backend *b = model->backend;
    qv_error err = {0};
    int32_t tokens = 0;
    for (int i = 0; i < c->count; i++) {
        if (!pictures[i]) pictures[i] = bench_picture(model, HEIGHT, WIDTH);
        tokens = pictures[i]->length;
    }
    void *keys;
    size_t bytes = qv__network_prefix_bytes(model->network) / 2 * (size_t)tokens;
    if (b->ops->alloc(b, bytes, &keys, &err)) bench_fail("%s", err.message);
    memset(keys, 0, bytes);
    const qv__prefix prefix = {.length = tokens - 1, .capacity = tokens, .k = keys, .v = keys};
    for (int i = 0; i < c->count; i++) items[i] = (qv__batch_item){.sequence = pictures[i], .prefix = &prefix};
    bench_start(m);
    int64_t end = forward(m, items, c->count);
    bench_stop_at(m, c->count * bench_vision_flops(&config()->vision, HEIGHT, WIDTH), end);
    b->ops->free(b, keys);
    return c->count * tokens;
}

/* ---- a picture, whole path ------------------------------------------------------------------------ */

/* Smooth colours with some noise, as a photograph has. *bytes: for free. */
static size_t make_jpeg(unsigned char **bytes) {
    static unsigned char row[3 * WIDTH];
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned long size = 0;
    *bytes = NULL;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, bytes, &size);
    c.image_width = WIDTH;
    c.image_height = HEIGHT;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < HEIGHT) {
        JSAMPROW rows[1] = {row};
        for (unsigned i = 0; i < sizeof row; i++)
            row[i] = (unsigned char)((i / 6 + c.next_scanline / (1 + i % 3) + (unsigned)bench_random_id() % 24) / 2);
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return size;
}

/* The decoder's part is that of a prompt of as many tokens. */
static double run_whole(bench_meter *m, const bench_case *c) {
    unsigned char *jpeg;
    size_t size = make_jpeg(&jpeg);
    const qv_part part = {QV_PART_IMAGE, jpeg, size};
    const qv_input input = {.parts = &part, .part_count = 1};
    qv_embedding out;
    qv_error err = {0};
    m->elsewhere = true;
    bench_start(m);
    if (qv_model_embed(model, &input, 1, &out, &err)) bench_fail("%s", err.message);
    bench_stop(m,
               bench_vision_flops(&config()->vision, HEIGHT, WIDTH) + bench_text_flops(&config()->text, out.tokens, 0));
    double tokens = (double)out.tokens;
    qv_embedding_clear(&out, 1);
    free(jpeg);
    return tokens;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static double run(bench_meter *m, const bench_case *c) {
    return c->kind == TEXT ? run_text(m, c) : c->kind == TOWER ? run_tower(m, c) : run_whole(m, c);
}

static bool wanted(const bench_options *o, const bench_case *c) {
    if (c->kind != TEXT && !config()->has_vision) return false;
    if (o->only) return bench_wants(o, c->name);
    return o->all || (o->quick ? c->quick : c->usual);
}

static void measure(const bench_options *o, const bench_case *c) {
    static bench_meter m;
    double tokens = 0, seconds = o->seconds > 0 ? o->seconds : o->quick ? 3 : o->all ? 60 : 15;
    bench_begin(&m, model->backend, 0, 1); /* the first run touches the memory */
    if (c->length < 1000) run(&m, c);
    bench_begin(&m, model->backend, seconds, o->all ? 3 : 1);
    m.mix = o->int8 ? BENCH_INT8 : BENCH_FMA;
    while (bench_again(&m)) tokens = run(&m, c);
    bench_print_row(&m, c->name, tokens);
}

/* For each line that names a case: "MS GFLOP PEAK" of one run. */
static void serve(void) {
    static bench_meter m;
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        const bench_case *c = NULL;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (strcmp(cases[i].name, line) == 0) c = &cases[i];
        if (!c) bench_fail("no case \"%s\"", line);
        bench_begin(&m, model->backend, 0, 1);
        run(&m, c);
        printf("%.3f %.3f %.3f\n", m.ms[0], m.rate[0] * m.ms[0] * 1e-3, m.peak[0]);
    }
}

int main(int argc, char **argv) {
    bool on_demand = argc > 1 && strcmp(argv[1], "--on-demand") == 0;
    if (on_demand) argv[1] = argv[0], argv++, argc--;
    bench_options o = bench_read_options(argc, argv, "Whole forward passes over weights made by rule.");
    if (o.quick && strcmp(o.shape, "2b") == 0) o.shape = "small";
    model = bench_open_model(&o, "embedding");
    if (on_demand) {
        serve();
    } else {
        bench_print_header();
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (wanted(&o, &cases[i])) measure(&o, &cases[i]);
    }
    bench_close_model(&model);
    return 0;
}
