/* The network over dummy weights: the same bytes whatever the company, the blocks, the prefix, the threads and the
 * tier; errors; memory. What the numbers must be is network_golden.c's matter, pictures are network_vision.c's. */
#include "model/network.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "network_fixture.h"

#define CHECK_ROWS(f, a, b) CHECK(memcmp(a, b, (size_t)(f).hidden * sizeof(float)) == 0)

static void forward(const fixture *f, const qv__batch *batch) {
    qv_error err = {0};
    qv_status status[64];
    CHECK(batch->count <= 64);
    CHECK_OK(qv__network_forward(f->network, batch, status, &err), err);
    for (int i = 0; i < batch->count; i++) CHECK_INT(status[i], QV_OK);
}

enum { TEXTS = 12 };

/* Lengths around the row blocks that the tests use. */
static void make_texts(const fixture *f, qv__sequence **texts) {
    static const int lengths[TEXTS] = {1, 7, 300, 2, 63, 64, 65, 8, 1, 31, 129, 5};
    uint64_t state = 7;
    for (int i = 0; i < TEXTS; i++) texts[i] = fixture_random_text(f, lengths[i], &state);
}

TEST(an_item_gives_the_same_bytes_in_any_batch) {
    fixture f;
    qv__sequence *texts[TEXTS];
    const float *alone[TEXTS];
    qv__batch_item items[TEXTS];
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "untied-embedding"});
    make_texts(&f, texts);
    for (int i = 0; i < TEXTS; i++) alone[i] = fixture_hidden(&f, texts[i]);
    for (int turn = 0; turn < TEXTS; turn += 5) {
        for (int i = 0; i < TEXTS; i++)
            items[i] = (qv__batch_item){.sequence = texts[(i + turn) % TEXTS], .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = items, .count = TEXTS});
        for (int i = 0; i < TEXTS; i++) CHECK_ROWS(f, items[i].hidden, alone[(i + turn) % TEXTS]);
    }
    for (int i = 1; i < TEXTS; i++) CHECK(memcmp(alone[i], alone[0], sizeof(float) * 4) != 0);
    fixture_close(&f);
}

TEST(row_blocks_threads_and_tiers_change_no_byte) {
    static const fixture_options ways[] = {
        {.model = "untied-embedding", .network.row_block = 1, .threads = 1},
        {.model = "untied-embedding", .network.row_block = 7, .threads = 3},
        {.model = "untied-embedding", .network.row_block = 16, .threads = 2},
        {.model = "untied-embedding", .network.row_block = 64, .tier = "c"},
        {.model = "untied-embedding", .network.row_block = 256, .tier = "avx2"},
        {.model = "untied-embedding", .network.row_block = 4096},
        {.model = "untied-embedding", .network.max_tokens = 701, .tier = "avx512"},
        {.model = "untied-embedding", .threads = 64},
    };
    fixture f;
    qv__sequence *texts[TEXTS];
    const float *first[TEXTS];
    qv__batch_item items[TEXTS];
    fixture_forget();
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        fixture_open(&f, &ways[way]);
        make_texts(&f, texts);
        for (int i = 0; i < TEXTS; i++) items[i] = (qv__batch_item){.sequence = texts[i], .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = items, .count = TEXTS});
        for (int i = 0; i < TEXTS; i++) {
            if (way == 0) first[i] = items[i].hidden;
            CHECK_ROWS(f, items[i].hidden, first[i]);
        }
        fixture_close(&f);
    }
}

/* ---- prefixes ------------------------------------------------------------------------------------- */

TEST(a_prefix_may_end_anywhere) {
    fixture f;
    uint64_t state = 3;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "untied-embedding", .network.row_block = 16});
    qv__sequence *s = fixture_random_text(&f, 77, &state);
    const float *whole = fixture_hidden(&f, s);
    qv__prefix kept = fixture_prefix(&f, 80);
    kept.length = s->length;
    qv__batch_item item = {.sequence = s, .keep = &kept, .hidden = fixture_row(&f)};
    forward(&f, &(qv__batch){.items = &item, .count = 1});
    CHECK_ROWS(f, item.hidden, whole);
    for (int cut = 0; cut < s->length; cut++) {
        qv__prefix view = kept;
        view.length = cut;
        item = (qv__batch_item){.sequence = s, .prefix = &view, .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = &item, .count = 1});
        CHECK_ROWS(f, item.hidden, whole);
    }
    fixture_prefix_close(&f, &kept);
    fixture_close(&f);
}

/* A shared beginning is computed once by an item that only keeps; its readers stand in the same batch, one of them
 * keeps a longer prefix for another, and none of them owns the rows they share. */
TEST(prefixes_are_made_and_used_within_a_batch) {
    fixture f;
    uint64_t state = 5;
    fixture_forget();
    for (int block = 4; block <= 64; block *= 4) {
        fixture_open(&f, &(fixture_options){.model = "small-embedding", .network.row_block = block});
        qv__sequence *shared = fixture_random_text(&f, 21, &state), *texts[3];
        for (int i = 0; i < 3; i++) {
            texts[i] = fixture_random_text(&f, 30 + 7 * i, &state);
            memcpy(texts[i]->ids, shared->ids, 21 * sizeof(int32_t));
        }
        memcpy(texts[2]->ids, texts[1]->ids, 33 * sizeof(int32_t));
        qv__prefix first = fixture_prefix(&f, 21), longer = fixture_prefix(&f, 40);
        longer.length = 33;
        qv__batch_item items[] = {
            {.sequence = shared, .keep = &first},
            {.sequence = texts[0], .prefix = &first, .hidden = fixture_row(&f)},
            {.sequence = texts[1], .prefix = &first, .keep = &longer, .hidden = fixture_row(&f)},
            {.sequence = texts[2], .prefix = &longer, .hidden = fixture_row(&f)},
        };
        forward(&f, &(qv__batch){.items = items, .count = 4});
        for (int i = 0; i < 3; i++) CHECK_ROWS(f, items[1 + i].hidden, fixture_hidden(&f, texts[i]));
        fixture_prefix_close(&f, &first);
        fixture_prefix_close(&f, &longer);
        fixture_close(&f);
    }
}

/* A long prompt in chunks: each one's prefix is what the chunks before it left in the same memory. */
TEST(a_prefix_grows_in_place) {
    fixture f;
    uint64_t state = 11;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network.max_tokens = 64, .network.row_block = 24});
    fixture whole;
    fixture_open(&whole, &(fixture_options){.model = "tiny-embedding"});
    qv__sequence *s = fixture_random_text(&f, 200, &state);
    qv__prefix store = fixture_prefix(&f, 200);
    float *hidden = fixture_row(&f);
    for (int done = 0; done < 200;) {
        int end = done + 64 < 200 ? done + 64 : 200;
        qv__sequence *chunk = fixture_sequence(&f, s->ids, end, NULL, 0);
        qv__prefix before = store, after = store;
        before.length = done;
        after.length = end;
        qv__batch_item item = {
            .sequence = chunk, .prefix = &before, .keep = &after, .hidden = end == 200 ? hidden : NULL};
        forward(&f, &(qv__batch){.items = &item, .count = 1});
        done = end;
    }
    CHECK_ROWS(f, hidden, fixture_hidden(&whole, s));
    fixture_prefix_close(&f, &store);
    fixture_close(&f);
    fixture_close(&whole);
}

/* ---- giving up ---------------------------------------------------------------------------------- */

static bool count_down(void *left) {
    return --*(int *)left < 0;
}

TEST(a_batch_is_given_up_at_any_block) {
    fixture f;
    uint64_t state = 17;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network.row_block = 32});
    qv__sequence *text = fixture_random_text(&f, 100, &state);
    const float *expected = fixture_hidden(&f, text);
    for (int stop = 0;; stop++) {
        int left = stop;
        qv_status one, status;
        qv_error err = {0};
        qv__batch_item item = {.sequence = text, .hidden = fixture_row(&f)};
        qv__batch batch = {.items = &item, .count = 1, .stop = count_down, .user = &left};
        status = qv__network_forward(f.network, &batch, &one, &err);
        if (!status) {
            CHECK_INT(stop, 4 * 3 + 1); /* as many as there are pauses */
            CHECK_ROWS(f, item.hidden, expected);
            break;
        }
        CHECK_INT(status, QV_CANCELLED);
        CHECK_INT(left, -1); /* not asked again */
        CHECK_ROWS(f, fixture_hidden(&f, text), expected);
    }
    fixture_close(&f);
}

/* ---- a forward inside a pause --------------------------------------------------------------------- */

TEST(a_forward_inside_a_pause_disturbs_nothing) {
    fixture f;
    uint64_t state = 13;
    fixture_forget();
    fixture_open(&f,
                 &(fixture_options){.model = "tiny-embedding", .network.row_block = 32, .network.nested_tokens = 40});
    qv__sequence *text = fixture_random_text(&f, 100, &state), *small = fixture_random_text(&f, 40, &state);
    const float *expected = fixture_hidden(&f, text);
    fixture_nested n = {.f = &f, .prompt = small, .expected = fixture_hidden(&f, small)};
    qv__batch_item item = {.sequence = text, .hidden = fixture_row(&f)};
    forward(&f, &(qv__batch){.items = &item, .count = 1, .pause = fixture_run_nested, .user = &n});
    CHECK_ROWS(f, item.hidden, expected);
    CHECK_INT(n.different, 0);
    CHECK_INT(n.calls, 4 * 3 + 1); /* four blocks in each of three layers, one of pooled rows */
    fixture_close(&f);
}

/* ---- results and errors --------------------------------------------------------------------------- */

static void ignore_trace(void *user, const char *stage, const float *rows, int64_t stride, int64_t count,
                         int64_t width) {}

TEST(a_trace_changes_no_result) {
    fixture f;
    qv__sequence *texts[TEXTS];
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network.row_block = 50});
    make_texts(&f, texts);
    for (int i = 0; i < TEXTS; i++) {
        qv__batch_item item = {.sequence = texts[i], .hidden = fixture_row(&f)};
        forward(&f, &(qv__batch){.items = &item, .count = 1, .trace = ignore_trace});
        CHECK_ROWS(f, item.hidden, fixture_hidden(&f, texts[i]));
    }
    fixture_close(&f);
}

static qv_status refused(const fixture *f, qv__batch_item item, qv_error *err) {
    qv_status status;
    return qv__network_forward(f->network, &(qv__batch){.items = &item, .count = 1}, &status, err);
}

TEST(wrong_batches_are_refused) {
    fixture f;
    qv_error err;
    uint64_t state = 17;
    float score;
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding", .network.max_tokens = 32});
    qv__sequence *s = fixture_random_text(&f, 33, &state);
    float *hidden = fixture_row(&f);
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .hidden = hidden}, &err), QV_TOO_LONG);
    CHECK_STR(err.message, "a batch of more than 32 tokens");
    s->length = 0;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s}, &err), QV_INVALID_ARGUMENT);
    s->length = 4;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .score = &score}, &err), QV_WRONG_TASK);
    qv__prefix prefix = {.length = 4, .capacity = 4};
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .prefix = &prefix}, &err), QV_INVALID_ARGUMENT);
    CHECK_STR(err.message, "item 0 of the batch: a prefix of 4 tokens before a prompt of 4");
    prefix.capacity = 3;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .keep = &prefix}, &err), QV_INVALID_ARGUMENT);
    s->ids[2] = f.config->text.vocab;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .hidden = hidden}, &err), QV_INVALID_ARGUMENT);
    s->ids[2] = -1;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .hidden = hidden}, &err), QV_INVALID_ARGUMENT);
    CHECK(hidden[0] == 12345);
    s->ids[2] = 0;
    CHECK_INT(refused(&f, (qv__batch_item){.sequence = s, .hidden = hidden}, &err), QV_OK);
    fixture_close(&f);
}

TEST(an_empty_batch_is_fine) {
    fixture f;
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding"});
    forward(&f, &(qv__batch){.items = NULL, .count = 0});
    fixture_close(&f);
}

/* A stored prefix with a value that is not a number spoils the item that reads it, and no other. */
TEST(a_result_that_is_not_finite_is_an_error_of_its_item_alone) {
    fixture f;
    uint64_t state = 19;
    qv_error err = {0};
    qv_status status[3];
    fixture_forget();
    fixture_open(&f, &(fixture_options){.model = "tiny-embedding"});
    qv__sequence *s = fixture_random_text(&f, 20, &state);
    const float *whole = fixture_hidden(&f, s);
    qv__prefix spoiled = fixture_prefix(&f, 8);
    size_t bytes = qv__network_prefix_bytes(f.network) * 8 / 2;
    float *values = fixture_alloc(bytes, 1);
    f.backend->ops->upload(f.backend, spoiled.k, values, bytes);
    for (size_t i = 0; i < bytes / sizeof *values; i++) values[i] = NAN;
    f.backend->ops->upload(f.backend, spoiled.v, values, bytes);
    qv__batch_item items[] = {{.sequence = s, .hidden = fixture_row(&f)},
                              {.sequence = s, .prefix = &spoiled, .hidden = fixture_row(&f)},
                              {.sequence = s, .hidden = fixture_row(&f)}};
    CHECK_OK(qv__network_forward(f.network, &(qv__batch){.items = items, .count = 3}, status, &err), err);
    CHECK_INT(status[0], QV_OK);
    CHECK_INT(status[1], QV_NON_FINITE);
    CHECK_INT(status[2], QV_OK);
    CHECK_ROWS(f, items[0].hidden, whole);
    CHECK_ROWS(f, items[2].hidden, whole);
    fixture_prefix_close(&f, &spoiled);
    fixture_close(&f);
}

TEST(wrong_options_are_refused) {
    qv__checkpoint *checkpoint = fixture_checkpoint("tiny-reranker");
    qv__backend *backend;
    qv__network *network;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(1, NULL, &backend, &err), err);
    const qv__network_options wrong[] = {
        {.max_tokens = 0},
        {.max_tokens = -1},
        {.max_tokens = (1 << 24) + 1},
        {.max_tokens = 8, .nested_tokens = -1},
        {.max_tokens = 8, .row_block = -1},
        {.max_tokens = 8, .max_vision_rows = -4},
        {.max_tokens = 8, .score_head = true, .yes_id = -1},
        {.max_tokens = 8, .score_head = true, .no_id = 151936},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(qv__network_open(backend, checkpoint, &wrong[i], &network, &err), QV_INVALID_ARGUMENT);
        CHECK(network == NULL);
    }
    backend->ops->close(backend);
}

/* ---- memory --------------------------------------------------------------------------------------- */

TEST(open_survives_every_failed_allocation) {
    qv__checkpoint *checkpoint = fixture_checkpoint("tiny-reranker");
    qv__network_options options = {
        .max_tokens = 64, .nested_tokens = 16, .score_head = true, .yes_id = 9693, .no_id = 2152};
    qv__backend *backend;
    qv__network *network;
    qv_error err = {0};
    CHECK_OK(qv__cpu_backend_open(1, NULL, &backend, &err), err);
    uint64_t n = 0;
    qv_status status;
    do {
        n++;
        qv__alloc_fail_at(n, n % 2);
        status = qv__network_open(backend, checkpoint, &options, &network, &err);
        qv__alloc_fail_at(0, false);
        CHECK(status == QV_OK || (status == QV_NO_MEMORY && network == NULL && err.message[0]));
    } while (status);
    CHECK_MSG(n > 8, "only %d allocations", (int)n);
    qv__network_close(&network);
    CHECK(network == NULL);
    qv__network_close(&network);
    backend->ops->close(backend);
}

/* Device memory from mmap, so that the pages that were touched can be counted; begins as NaN when `poison`. */
enum { BLOCKS = 16 };
static struct {
    void *at[BLOCKS];
    size_t size[BLOCKS];
    bool poison;
} blocks;

static qv_status map_block(qv__backend *b, size_t bytes, void **out, qv_error *err) {
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks.at[i]) continue;
        blocks.at[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (blocks.at[i] == MAP_FAILED) abort();
        madvise(blocks.at[i], bytes, MADV_NOHUGEPAGE);
        if (blocks.poison) memset(blocks.at[i], 0xFF, bytes);
        blocks.size[i] = bytes;
        *out = blocks.at[i];
        return QV_OK;
    }
    abort();
}

static void unmap_block(qv__backend *b, void *block) {
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks.at[i] != block) continue;
        munmap(block, blocks.size[i]);
        blocks.at[i] = NULL;
        return;
    }
    abort();
}

static size_t touched_bytes(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 0;
    for (int i = 0; i < BLOCKS; i++) {
        if (!blocks.at[i]) continue;
        size_t count = (blocks.size[i] + page - 1) / page;
        unsigned char *in = malloc(count);
        CHECK(mincore(blocks.at[i], blocks.size[i], in) == 0);
        for (size_t k = 0; k < count; k++) pages += in[k] & 1;
        free(in);
    }
    return pages * page;
}

/* A fixture whose network takes its memory from map_block; *ops must live as long. */
static void open_mapped(fixture *f, const fixture_options *o, qv__backend_ops *ops, bool poison) {
    fixture_open(f, o);
    qv__network_close(&f->network);
    blocks.poison = poison;
    *ops = *f->backend->ops;
    ops->alloc = map_block;
    ops->free = unmap_block;
    f->backend->ops = ops;
    qv_error err = {0};
    CHECK_OK(qv__network_open(f->backend, f->checkpoint, &o->network, &f->network, &err), err);
}

TEST(what_a_forward_reads_it_wrote_before) {
    fixture clean, f;
    qv__backend_ops ops;
    uint64_t state = 23;
    fixture_forget();
    fixture_options o = {.model = "tiny-embedding",
                         .network = {.max_tokens = 200, .row_block = 30, .max_vision_rows = 64}};
    fixture_open(&clean, &o);
    open_mapped(&f, &o, &ops, true);
    qv__vision_run pictures[] = {fixture_picture(64, 96, false, &state), fixture_picture(32, 32, true, &state),
                                 fixture_picture(128, 160, false, &state)};
    qv__sequence *s = fixture_random_mixture(&f, 5, pictures, 3, 4, &state);
    qv__sequence *text = fixture_random_text(&f, 77, &state);
    CHECK_ROWS(f, fixture_hidden(&f, s), fixture_hidden(&clean, s));
    CHECK_ROWS(f, fixture_hidden(&f, text), fixture_hidden(&clean, text));
    fixture_close(&clean);
    fixture_close(&f);
}

/* Texts alone, in a network with room for pictures and for nested forwards. */
TEST(the_memory_estimate_of_texts_is_the_memory_that_they_touch) {
    fixture f;
    qv__backend_ops ops;
    uint64_t state = 31;
    fixture_forget();
    fixture_options o = {.model = "small-embedding", .network = {.max_tokens = 3000, .nested_tokens = 500}};
    open_mapped(&f, &o, &ops, false);
    qv__batch_item items[] = {{.sequence = fixture_random_text(&f, 2300, &state), .hidden = fixture_row(&f)},
                              {.sequence = fixture_random_text(&f, 700, &state), .hidden = fixture_row(&f)}};
    forward(&f, &(qv__batch){.items = items, .count = 2});
    double touched = (double)touched_bytes(), estimate = (double)qv__network_text_bytes(f.config, &o.network);
    CHECK_MSG(fabs(touched / estimate - 1) < 0.15, "%.0f bytes touched, %.0f estimated", touched, estimate);
    fixture_close(&f);
}

/* One batch of max_tokens rows, in which pictures take max_vision_rows patches. */
TEST(the_memory_estimate_is_the_memory_that_is_touched) {
    fixture f;
    qv__backend_ops ops;
    uint64_t state = 29;
    fixture_forget();
    fixture_options o = {.model = "small-embedding", .network = {.max_tokens = 3000, .max_vision_rows = 1600}};
    open_mapped(&f, &o, &ops, false);
    qv__vision_run picture = fixture_picture(640, 640, false, &state); /* 400 tokens of 4 patches */
    qv__batch_item items[] = {
        {.sequence = fixture_random_mixture(&f, 96, &picture, 1, 0, &state), .hidden = fixture_row(&f)},
        {.sequence = fixture_random_text(&f, 2500, &state), .hidden = fixture_row(&f)},
    };
    CHECK_INT(items[0].sequence->length, 500);
    forward(&f, &(qv__batch){.items = items, .count = 2});
    double touched = (double)touched_bytes(), estimate = (double)qv__network_bytes(f.config, &o.network);
    CHECK_MSG(fabs(touched / estimate - 1) < 0.15, "%.0f bytes touched, %.0f estimated", touched, estimate);
    fixture_close(&f);
}
