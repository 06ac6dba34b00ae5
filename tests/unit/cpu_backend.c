/* The CPU backend outside its kernels: opening, memory, weights. */
#include "backend/backend.h"
#include "base/memory.h"
#include "check.h"

static qv__backend *open_backend(int threads, const char *tier) {
    qv_error err = {0};
    qv__backend *b = NULL;
    CHECK_OK(qv__cpu_backend_open(threads, tier, &b, &err), err);
    return b;
}

TEST(opens) {
    qv__backend *b = open_backend(2, "c");
    CHECK_STR(b->ops->name, "cpu");
    CHECK_STR(qv__cpu_backend_tier(b), "c");
    CHECK_INT(qv__cpu_backend_threads(b), 2);
    qv_error err = {0};
    CHECK_OK(b->ops->check(b, &err), err);
    b->ops->close(b);
    b = open_backend(0, NULL);
    CHECK(qv__cpu_backend_threads(b) >= 1);
    b->ops->close(b);
}

TEST(refuses) {
    qv_error err = {0};
    qv__backend *b = NULL;
    CHECK_INT(qv__cpu_backend_open(1, "sse9", &b, &err), QV_INVALID_ARGUMENT);
    CHECK(!b && strstr(err.message, "sse9"));
    CHECK_INT(qv__cpu_backend_open(-1, NULL, &b, &err), QV_INVALID_ARGUMENT);
    CHECK(!b && strstr(err.message, "-1"));
}

TEST(open_without_memory) {
    qv_error err = {0};
    qv__backend *b = NULL;
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        qv__alloc_fail_at(n, false);
        qv_status status = qv__cpu_backend_open(2, NULL, &b, &err);
        qv__alloc_fail_at(0, false);
        if (status == QV_OK) break;
        CHECK_INT(status, QV_NO_MEMORY);
        CHECK(!b);
        failures++;
    }
    CHECK(failures >= 3);
    b->ops->close(b);
}

/* Blocks are aligned, can be written to their last byte, and an untouched one costs nothing. */
TEST(blocks) {
    qv__backend *b = open_backend(1, NULL);
    qv_error err = {0};
    static const size_t sizes[] = {0, 1, 63, 64, 1000, (1 << 20) - 64, 1 << 20, (3 << 20) + 5, (size_t)1 << 32};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = NULL;
        CHECK_OK(b->ops->alloc(b, sizes[i], &block, &err), err);
        CHECK(block && (uintptr_t)block % 64 == 0);
        if (sizes[i]) ((char *)block)[0] = 1, ((char *)block)[sizes[i] - 1] = 2;
        b->ops->free(b, block);
    }
    b->ops->free(b, NULL);
    void *block = NULL;
    CHECK_INT(b->ops->alloc(b, SIZE_MAX - 8, &block, &err), QV_NO_MEMORY);
    CHECK(!block);
    char from[5] = "four", to[5] = "";
    CHECK_OK(b->ops->alloc(b, sizeof from, &block, &err), err);
    b->ops->upload(b, block, from, sizeof from);
    b->ops->download(b, to, block, sizeof to);
    CHECK_STR(to, "four");
    b->ops->free(b, block);
    b->ops->close(b);
}

TEST(weights) {
    qv__backend *b = open_backend(1, NULL);
    static const float data[6];
    qv__tensor t = {.name = "blocks.0.w", .dtype = QV__F32, .rank = 2, .shape = {2, 3}, .data = data};
    qv__weight w;
    qv_error err = {0};
    CHECK_OK(b->ops->weight_open(b, &t, 2, 3, &w, &err), err);
    CHECK(w.data == data && w.rows == 2 && w.cols == 3);
    b->ops->weight_close(b, &w);
    CHECK(!w.data);
    CHECK_INT(b->ops->weight_open(b, &t, 3, 3, &w, &err), QV_INTERNAL);
    CHECK(strstr(err.message, "blocks.0.w"));
    CHECK_INT(b->ops->weight_open(b, &t, 4, 1, &w, &err), QV_INTERNAL);
    t.data = NULL;
    CHECK_INT(b->ops->weight_open(b, &t, 2, 3, &w, &err), QV_INTERNAL);
    t.data = data;
    qv__backend *fresh = open_backend(1, NULL);
    qv__alloc_fail_at(1, true);
    qv_status status = fresh->ops->weight_open(fresh, &t, 2, 3, &w, &err);
    qv__alloc_fail_at(0, false);
    CHECK_INT(status, QV_NO_MEMORY);
    CHECK_OK(fresh->ops->weight_open(fresh, &t, 2, 3, &w, &err), err);
    fresh->ops->close(fresh);
    b->ops->close(b);
}
