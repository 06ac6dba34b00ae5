/* The dummy rule against the numpy reference. A digest below is the SHA-256 of the reference's listing: for every
 * tensor "FNV-1a of its first 4096 elements, name, sizes" and a newline. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "check.h"
#include "store/dummy.h"

static void read_config(const char *name, qv__config *config) {
    qv_error err = {0};
    char relative[128], *text;
    size_t size;
    snprintf(relative, sizeof relative, "golden/data/configs/%s/config.json", name);
    CHECK_OK(qv__file_read(check_source_path(relative), 1 << 20, &text, &size, &err), err);
    CHECK_OK(qv__config_parse(text, size, config, &err), err);
    qv__free(text);
}

struct listing {
    uint64_t seed;
    qv__buffer text;
    int tensors;
};

static bool list_one(void *context, const char *name, int rank, const int64_t *shape) {
    struct listing *l = context;
    uint16_t first[4096];
    int64_t elements = 1;
    for (int i = 0; i < rank; i++) elements *= shape[i];
    size_t count = elements < 4096 ? (size_t)elements : 4096;
    qv__dummy_fill(name, rank, shape, l->seed, 0, count, first);
    qv__buffer_printf(&l->text, "%016llx %s", (unsigned long long)qv__fnv1a(QV__FNV1A_START, first, 2 * count), name);
    for (int i = 0; i < rank; i++) qv__buffer_printf(&l->text, " %lld", (long long)shape[i]);
    l->tensors++;
    return qv__buffer_puts(&l->text, "\n");
}

TEST(the_rule_gives_the_reference_weights) {
    static const struct {
        const char *name;
        uint64_t seed;
        const char *digest;
    } rows[] = {
        {"tiny", 0, "a812ededb24bca997846633db0e9298bf55e8f7776bea5ab4dce1d396f9fbe8b"},
        {"small", 0, "2fdddb60d35ec71d4b515703836aec76bd3903e82a74d75af1d58bc7e458f5b1"},
        {"untied", 0, "210769f38cb15eac786dc6e57f3e193fbee2794e60a3ede0ad48b4ae891db85d"},
        {"2b", 0, "b413c2a4a90b5ec429d3e1cdd882a0a8d5fff79a83b1b3ddd1530eecbbd29c1d"},
        {"8b", 0, "94e56d78497e58e66cc919fe6c5805c03707fdeb0fdbad0c1cadd93da5e8c15e"},
        {"tiny", 7, "aceafd4f0049a542a93017420b679bcab522ee916f23ad9ffa6b2d3f2548dbc8"},
        {"tiny", UINT64_MAX, "2c10ee607aa40afb8f59d63eef5ac22e8dfc7ae7361b0555c9c0e3b8890fe800"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__config config;
        char hex[65];
        read_config(rows[i].name, &config);
        struct listing l = {.seed = rows[i].seed};
        CHECK(qv__dummy_list(&config, list_one, &l));
        qv__sha256_hex(l.text.data, l.text.size, hex);
        CHECK_MSG(strcmp(hex, rows[i].digest) == 0, "%s seed %llu: %s", rows[i].name, (unsigned long long)rows[i].seed,
                  hex);
        qv__buffer_clear(&l.text);
    }
}

/* The rule once more, written as its definition, for one element. */
static uint16_t one_element(const char *name, int64_t columns, uint64_t seed, uint64_t i) {
    const uint64_t G = 0x9E3779B97F4A7C15u;
    uint64_t base = qv__mix64(qv__fnv1a(QV__FNV1A_START, name, strlen(name)) + G * (seed + 1));
    uint64_t k = qv__mix64(base + G * (i + 1)) >> 40;
    double u = ((double)(2 * (int64_t)k + 1) - 0x1p24) * 0x1p-24;
    float value = (float)(sqrt(3.0 / (double)columns) * u);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t down = bits & 0xFFFF0000u, rest = bits & 0xFFFF;
    bool up = rest > 0x8000 || (rest == 0x8000 && (down >> 16 & 1));
    return (uint16_t)((down >> 16) + up);
}

TEST(all_elements_whatever_the_threads) {
    qv_error err = {0};
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", check_source_path("golden/data/configs/tiny"));
    qv__checkpoint *one, *many;
    qv__checkpoint_options o = {.load_format = "dummy:18446744073709551615", .threads = 1};
    CHECK_OK(qv__checkpoint_open(folder, &o, &one, &err), err);
    o.threads = 5;
    CHECK_OK(qv__checkpoint_open(folder, &o, &many, &err), err);
    CHECK(qv__checkpoint_is_dummy(one));
    for (size_t i = 0; i < qv__checkpoint_count(one); i++) {
        const qv__tensor *a = qv__checkpoint_at(one, i), *b = qv__checkpoint_at(many, i);
        CHECK_STR(a->name, b->name);
        CHECK(a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
        CHECK((uintptr_t)a->data % 64 == 0);
    }
    const char *name = "model.language_model.embed_tokens.weight"; /* several tasks long */
    const qv__tensor *t = qv__checkpoint_find(one, name);
    CHECK(t && t->dtype == QV__BF16 && t->rank == 2 && t->shape[0] == 151936 && t->shape[1] == 64);
    for (uint64_t i = 0; i < t->bytes / 2; i++)
        if (((const uint16_t *)t->data)[i] != one_element(name, 64, UINT64_MAX, i))
            check_fail(__FILE__, __LINE__, "element %llu differs", (unsigned long long)i);
    qv__checkpoint_close(&one);
    qv__checkpoint_close(&many);
    CHECK(!one && !many);
}

TEST(parts_of_a_tensor_equal_the_whole) {
    uint64_t state = check_seed();
    int64_t shape[] = {3, 1000};
    uint16_t whole[3000], part[3000];
    qv__dummy_fill("some.weight", 2, shape, 5, 0, 3000, whole);
    for (int round = 0; round < 200; round++) {
        size_t start = check_random(&state) % 3000, count = check_random(&state) % (3001 - start);
        qv__dummy_fill("some.weight", 2, shape, 5, start, count, part);
        CHECK(memcmp(part, whole + start, 2 * count) == 0);
    }
}

TEST(seeds) {
    static const struct {
        const char *text;
        bool good;
        uint64_t seed;
    } rows[] = {
        {"dummy", true, 0},       {"dummy:0", true, 0},
        {"dummy:42", true, 42},   {"dummy:18446744073709551615", true, UINT64_MAX},
        {"dummy:", false, 0},     {"dummy:18446744073709551616", false, 0},
        {"dummy:-1", false, 0},   {"dummy:+1", false, 0},
        {"dummy: 1", false, 0},   {"dummy:1x", false, 0},
        {"dummy:0x10", false, 0}, {"dummy:1:2", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_error err = {0};
        uint64_t seed = 99;
        qv_status status = qv__dummy_seed(rows[i].text, &seed, &err);
        CHECK_MSG((status == QV_OK) == rows[i].good, "%s", rows[i].text);
        if (rows[i].good)
            CHECK(seed == rows[i].seed);
        else
            CHECK(status == QV_INVALID_ARGUMENT && strstr(err.message, rows[i].text));
    }
}
