/* Checkpoint folders: what opens, under which names, and what hostile or broken folders are told. */
#include "store/checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

/* A new folder with the tiny config.json. */
static const char *new_folder(void) {
    qv_error err = {0};
    char *text;
    size_t size;
    const char *folder = check_folder();
    CHECK_OK(qv__file_read(check_source_path("golden/data/configs/tiny/config.json"), 1 << 20, &text, &size, &err),
             err);
    check_write(folder, "config.json", text, size);
    qv__free(text);
    return folder;
}

/* Writes a safetensors file: the JSON, padded to a multiple of 8, and `data` bytes with the values 0, 1, 2 ... */
static void write_tensors(const char *folder, const char *name, const char *json, size_t data) {
    size_t text = strlen(json), size = (text + 7) / 8 * 8;
    qv__buffer b = {0};
    for (int i = 0; i < 8; i++) qv__buffer_append(&b, &(char){(char)(size >> 8 * i)}, 1);
    qv__buffer_puts(&b, json);
    while (b.size < 8 + size) qv__buffer_puts(&b, " ");
    for (size_t i = 0; i < data; i++) qv__buffer_append(&b, &(char){(char)i}, 1);
    CHECK(!b.failed);
    check_write(folder, name, b.data, b.size);
    qv__buffer_clear(&b);
}

static void write_text(const char *folder, const char *name, const char *text) {
    check_write(folder, name, text, strlen(text));
}

static qv_status open_folder(const char *folder, bool headers_only, qv__checkpoint **out, qv_error *err) {
    *err = (qv_error){0};
    return qv__checkpoint_open(folder, &(qv__checkpoint_options){.headers_only = headers_only}, out, err);
}

static void check_refused(const char *folder, qv_status status, const char *words) {
    for (int headers_only = 0; headers_only < 2; headers_only++) {
        qv_error err;
        qv__checkpoint *c = (qv__checkpoint *)&err;
        CHECK_FAILS(open_folder(folder, headers_only, &c, &err), status, words, err);
        CHECK(!c);
    }
}

#define BF16(name, begin, end, count)                                                                                  \
    "\"" name "\": {\"dtype\": \"BF16\", \"shape\": [" #count "], \"data_offsets\": [" #begin ", " #end "]}"

TEST(a_file_opens_under_published_names) {
    const char *folder = new_folder();
    write_tensors(folder, SINGLE,
                  "{\"visual.merger.norm.bias\": {\"dtype\": \"F32\", \"shape\": [2, 1], \"data_offsets\": [8, 16]}, "
                  "\"layers.0.mlp.up_proj.weight\": {\"dtype\": \"BF16\", \"shape\": [4], \"data_offsets\": [0, 8]}, "
                  "\"model.extra\": {\"dtype\": \"I64\", \"shape\": [1], \"data_offsets\": [16, 24]}}",
                  24);
    qv__checkpoint *c;
    qv_error err;
    CHECK_OK(open_folder(folder, false, &c, &err), err);
    CHECK_INT(qv__checkpoint_count(c), 2); /* I64 is not counted */
    CHECK(!qv__checkpoint_is_dummy(c) && !qv__checkpoint_at(c, 2));
    CHECK_STR(qv__checkpoint_folder(c), folder);
    CHECK_INT(qv__checkpoint_config(c)->text.hidden, 64);
    const qv__tensor *t = qv__checkpoint_find(c, "model.visual.merger.norm.bias");
    CHECK(t && t->dtype == QV__F32 && t->rank == 2 && t->bytes == 8 && *(const unsigned char *)t->data == 8);
    CHECK(t == qv__checkpoint_at(c, 1));
    t = qv__checkpoint_find(c, "model.language_model.layers.0.mlp.up_proj.weight");
    CHECK(t && *(const unsigned char *)t->data == 0);
    CHECK(!qv__checkpoint_find(c, "layers.0.mlp.up_proj.weight") && !qv__checkpoint_find(c, "model.extra"));

    int64_t any[] = {-1, 1}, other[] = {2, 7};
    CHECK_OK(qv__checkpoint_need(c, "model.visual.merger.norm.bias", 2, any, &t, &err), err);
    CHECK_FAILS(qv__checkpoint_need(c, "model.visual.merger.norm.bias", 2, other, &t, &err), QV_BAD_CHECKPOINT,
                "is [2, 1], but config.json wants [2, 7]", err);
    CHECK_FAILS(qv__checkpoint_need(c, "model.visual.merger.norm.bias", 1, any, &t, &err), QV_BAD_CHECKPOINT,
                "wants [*]", err);
    CHECK_FAILS(qv__checkpoint_need(c, "lm_head.weight", 2, any, &t, &err), QV_BAD_CHECKPOINT,
                "tensor \"lm_head.weight\" is missing", err);
    CHECK_FAILS(qv__checkpoint_need(c, "model.extra", 1, any, &t, &err), QV_UNSUPPORTED,
                "has dtype I64; BF16, F16 and F32", err);
    qv__checkpoint_close(&c);
    qv__checkpoint_close(&c);

    CHECK_OK(open_folder(folder, true, &c, &err), err);
    CHECK(qv__checkpoint_count(c) == 2 && !qv__checkpoint_at(c, 0)->data && qv__checkpoint_at(c, 0)->bytes == 8);
    qv__checkpoint_close(&c);
}

/* Two shards and their index; a hub cache holds links into a folder of blobs. */
static const char *sharded(void) {
    const char *folder = new_folder();
    write_tensors(folder, "blobs/one", "{" BF16("norm.a", 0, 8, 4) "}", 8);
    write_tensors(folder, "blobs/two", "{" BF16("norm.b", 8, 16, 4) ", " BF16("norm.c", 0, 8, 4) "}", 16);
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.safetensors", folder, i ? "two" : "one");
        CHECK(symlink(i ? "blobs/two" : "blobs/one", path) == 0);
    }
    return folder;
}

TEST(shards_that_are_links) {
    const char *folder = sharded();
    write_text(
        folder, INDEX,
        "{\"metadata\": {}, \"weight_map\": {\"norm.c\": \"two.safetensors\", \"norm.a\": \"one.safetensors\"}}");
    qv__checkpoint *c;
    qv_error err;
    CHECK_OK(open_folder(folder, false, &c, &err), err);
    CHECK_INT(qv__checkpoint_count(c), 3); /* norm.b is there although the index does not say so */
    CHECK_INT(*(const unsigned char *)qv__checkpoint_find(c, "model.language_model.norm.b")->data, 8);
    qv__checkpoint_close(&c);
    write_text(folder, "one.safetensors", "overwritten through the link");
    check_refused(folder, QV_BAD_CHECKPOINT, "/one.safetensors: announces a header of");
}

TEST(indexes_that_lead_astray) {
    static const struct {
        const char *map, *words;
    } rows[] = {
        {"{}", "weight_map is missing"},
        {"{\"weight_map\": []}", "weight_map is missing"},
        {"[]", "not a JSON object"},
        {"{\"weight_map\": {\"norm.a\": \"../one.safetensors\"}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.a\": \"blobs/one\"}}",
         "\"blobs/one\" (for tensor \"norm.a\") is not the plain name"},
        {"{\"weight_map\": {\"norm.a\": \"/etc/passwd\"}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.a\": \"\"}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.a\": \".\"}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.a\": \"a\\nb\"}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.a\": 1}}", "is not the plain name of a file"},
        {"{\"weight_map\": {\"norm.z\": \"one.safetensors\"}}", "tensor \"norm.z\" is not in one.safetensors"},
        {"{\"weight_map\": {\"norm.a\": \"one.safetensors\", \"norm.c\": \"one.safetensors\"}}",
         "tensor \"norm.c\" is not in one.safetensors"},
        {"{\"weight_map\": {\"norm.a\": \"two.safetensors\", \"norm.c\": \"one.safetensors\"}}",
         "tensor \"norm.a\" is not in two.safetensors"},
        {"{\"weight_map\": {\"norm.a\": \"one.safetensors\", \"norm.a\": \"two.safetensors\"}}",
         "duplicate object key"},
    };
    const char *folder = sharded();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text(folder, INDEX, rows[i].map);
        check_refused(folder, QV_BAD_CHECKPOINT, rows[i].words);
    }
    write_text(folder, INDEX, "{\"weight_map\": {\"norm.a\": \"three.safetensors\"}}");
    check_refused(folder, QV_NOT_FOUND, "three.safetensors");
}

TEST(too_many_shards) {
    const char *folder = new_folder();
    write_tensors(folder, "blobs/none", "{}", 8);
    qv__buffer index = {0};
    qv__buffer_puts(&index, "{\"weight_map\": {");
    for (int i = 0; i <= 512; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%d", folder, i);
        CHECK(symlink("blobs/none", path) == 0);
        qv__buffer_printf(&index, "%s\"t%d\": \"%d\"", i ? ", " : "", i, i);
    }
    CHECK(qv__buffer_puts(&index, "}}"));
    check_write(folder, INDEX, index.data, index.size);
    qv__buffer_clear(&index);
    check_refused(folder, QV_BAD_CHECKPOINT, "names more than 512 files");
}

TEST(one_tensor_under_two_names) {
    const char *folder = new_folder();
    write_tensors(folder, SINGLE, "{" BF16("norm.weight", 0, 8, 4) ", " BF16("model.norm.weight", 8, 16, 4) "}", 16);
    check_refused(folder, QV_BAD_CHECKPOINT,
                  "\"model.language_model.norm.weight\" is there twice: \"norm.weight\" in model.safetensors and "
                  "\"model.norm.weight\"");
    folder = sharded();
    write_tensors(folder, "three.safetensors", "{" BF16("model.norm.c", 0, 8, 4) "}", 8);
    write_text(folder, INDEX, "{\"weight_map\": {\"norm.c\": \"two.safetensors\", \"norm.d\": \"three.safetensors\"}}");
    check_refused(folder, QV_BAD_CHECKPOINT, "\"norm.c\" in two.safetensors and \"model.norm.c\" in three.safetensors");
}

TEST(files_that_are_cut_or_no_files) {
    const char *folder = new_folder();
    check_refused(folder, QV_NOT_FOUND, "has no model.safetensors and no model.safetensors.index.json");
    write_tensors(folder, SINGLE, "{" BF16("norm.a", 0, 8, 4) "}", 7);
    check_refused(folder, QV_BAD_CHECKPOINT, "ends at byte 8 of the data, but the file holds 7: truncated or damaged");
    for (size_t size = 0; size < 8; size++) {
        check_write(folder, SINGLE, "\x10\0\0\0\0\0\0", size);
        check_refused(folder, QV_BAD_CHECKPOINT, "model.safetensors is truncated");
    }
    check_write(folder, SINGLE, "\x10\0\0\0\0\0\0\0{}", 10);
    check_refused(folder, QV_BAD_CHECKPOINT, "is truncated: a header of 16 bytes in a file of 10");
    write_text(folder, SINGLE, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4300000000\n");
    check_refused(folder, QV_BAD_CHECKPOINT, "is a Git LFS pointer");
    /* 100 MB of header announced by a sparse file: refused by the number, before anything is read. */
    char *path = (char *)check_write(folder, SINGLE, "\0\xE1\xF5\x05\0\0\0\0{", 9);
    CHECK(truncate(path, 100000008) == 0);
    check_refused(folder, QV_BAD_CHECKPOINT, "announces a header of 100000000 bytes, over the limit of 8388608");

    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0); /* opening one for reading would wait for a writer */
    check_refused(folder, QV_IO, "is not a regular file");
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    check_refused(folder, QV_IO, "is not a regular file");
    CHECK(rmdir(path) == 0 && symlink(SINGLE, path) == 0); /* a link to itself */
    check_refused(folder, QV_IO, "cannot open");
}

TEST(a_dangling_link_is_named) {
    const char *folder = new_folder();
    char path[256];
    write_text(folder, INDEX, "{\"weight_map\": {\"norm.a\": \"a.safetensors\"}}");
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    CHECK(symlink("../blobs/gone", path) == 0);
    check_refused(folder, QV_NOT_FOUND, "a.safetensors is a symbolic link that leads nowhere");
}

TEST(folders_without_a_good_config) {
    const char *folder = check_folder();
    check_refused("/nonexistent/folder", QV_NOT_FOUND, "/nonexistent/folder is not a folder");
    check_refused(folder, QV_NOT_FOUND, "config.json");
    write_text(folder, "config.json", "{\"model_type\": \"bert\"}");
    check_refused(folder, QV_UNSUPPORTED, "model_type is \"bert\"");
    check_refused(check_write(folder, "file", "", 0), QV_NOT_FOUND, "is not a folder");
}

TEST(load_formats) {
    const char *folder = new_folder();
    static const struct {
        const char *format, *words;
        qv_status status;
    } rows[] = {
        {"gguf", "load format \"gguf\" is none of", QV_INVALID_ARGUMENT},
        {"dummy:", "", QV_INVALID_ARGUMENT},
        {"dummy:-1", "", QV_INVALID_ARGUMENT},
        {"dummy:18446744073709551616", "", QV_INVALID_ARGUMENT},
        {"safetensors", "has no model.safetensors", QV_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__checkpoint *c;
        qv_error err = {0};
        CHECK_FAILS(qv__checkpoint_open(folder, &(qv__checkpoint_options){.load_format = rows[i].format}, &c, &err),
                    rows[i].status, rows[i].words, err);
        CHECK(!c);
    }
    qv__checkpoint *c;
    qv_error err = {0};
    CHECK_OK(qv__checkpoint_open(folder, &(qv__checkpoint_options){.load_format = "dummy:7", .headers_only = true}, &c,
                                 &err),
             err);
    CHECK(qv__checkpoint_is_dummy(c) && qv__checkpoint_find(c, "model.language_model.embed_tokens.weight"));
    CHECK(!qv__checkpoint_find(c, "model.language_model.embed_tokens.weight")->data);
    qv__checkpoint_close(&c);
}

TEST(the_task_by_falling_evidence) {
    static const struct {
        const char *file, *text; /* added to those before it */
        qv_task task;
    } rows[] = {
        {"tokenizer.json", "{\"model\": {\"vocab\": {\"TemplateProcessing\": 1}}}", QV_TASK_RERANK},
        {"tokenizer.json", "{\"post_processor\": {\"type\" : \"TemplateProcessing\"}}", QV_TASK_EMBED},
        {"1_LogitScore/config.json", "{}", QV_TASK_RERANK},
        {"config_sentence_transformers.json", "{\"model_type\": \"SentenceTransformer\"}", QV_TASK_EMBED},
        {"modules.json", "[{\"type\": \"sentence_transformers.models.Pooling\"}, {\"type\": \"x.LogitScore\"}]",
         QV_TASK_RERANK},
        {"modules.json", "[{\"type\": \"sentence_transformers.models.Pooling\"}]", QV_TASK_EMBED},
        {"modules.json", "[]", QV_TASK_EMBED},
    };
    const char *folder = new_folder();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text(folder, rows[i].file, rows[i].text);
        qv__checkpoint *c;
        qv_error err = {0};
        CHECK_OK(qv__checkpoint_open(folder, &(qv__checkpoint_options){.load_format = "dummy", .headers_only = true},
                                     &c, &err),
                 err);
        CHECK_MSG(qv__checkpoint_task(c) == rows[i].task, "after %s: task %d", rows[i].text, qv__checkpoint_task(c));
        qv__checkpoint_close(&c);
    }
    write_text(folder, "modules.json", "[{");
    check_refused(folder, QV_BAD_CHECKPOINT, "modules.json: not valid JSON");
}

/* Opens the folder with the n-th allocation failing. False when there was no n-th. */
static bool open_failing(const char *folder, uint64_t n, qv_status *status, qv_error *err) {
    qv__checkpoint *c;
    *err = (qv_error){0};
    qv__alloc_fail_at(n, false);
    *status = qv__checkpoint_open(folder, NULL, &c, err);
    bool reached = qv__alloc_count() >= n;
    qv__alloc_fail_at(0, false);
    bool opened = c != NULL;
    if (opened) qv__checkpoint_close(&c);
    CHECK_MSG(opened == (*status == QV_OK), "allocation %d: status %d, opened %d", (int)n, *status, opened);
    return reached;
}

TEST(allocation_failures) {
    const char *folder = sharded();
    write_text(folder, INDEX, "{\"weight_map\": {\"norm.c\": \"two.safetensors\", \"norm.a\": \"one.safetensors\"}}");
    write_text(folder, "modules.json", "[{\"type\": \"sentence_transformers.models.Pooling\"}]");
    qv_status status;
    qv_error err;
    uint64_t n = 1;
    for (; open_failing(folder, n, &status, &err); n++)
        CHECK_MSG(status == QV_NO_MEMORY, "allocation %d: status %d: %s", (int)n, status, err.message);
    CHECK(status == QV_OK && n > 20);

    /* jansson's own too. It takes a token that it has no memory for as a wrong or a shorter one, so any status goes;
     * nothing may leak. */
    json_malloc_t old_malloc;
    json_free_t old_free;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(qv__malloc, qv__free);
    for (n = 1; open_failing(folder, n, &status, &err);) n++;
    json_set_alloc_funcs(old_malloc, old_free);
    CHECK(status == QV_OK && n > 100);
}
