#include "store/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "store/dummy.h"
#include "store/file.h"
#include "store/json.h"
#include "store/names.h"
#include "store/safetensors.h"
#include "store/task.h"

/* Opening, in order: config.json, the task, then the tensors as a list of items from one of three sources
 * (one file, shards by index, the dummy rule), then the list sorted by name. Sorting instead of hashing: names
 * come from outside, and no choice of names makes a sort slow. Items of dtypes we cannot compute with stay at
 * the list's end, so that asking for one says what it is; they are not counted. */

enum { SHARDS_MAX = 512, INDEX_BYTES_MAX = 8 << 20, CONFIG_BYTES_MAX = 1 << 20, ITEMS_MAX = 1 << 17 };

struct item {
    qv__tensor tensor;
    bool usable;
    const char *file, *stored; /* shard's name (NULL: made) and the name in it; owned by `memory` */
    const char *dtype_text;
};

struct shard {
    const char *file; /* owned by `memory` */
    qv__mapping map;
};

struct qv__checkpoint {
    char *folder;
    qv__config config;
    qv_task task;
    bool dummy;
    qv__arena memory; /* names */
    struct item *items;
    size_t count, usable, capacity;
    struct item **by_name; /* [count] */
    struct shard *shards;
    size_t shard_count;
    qv__mapping made;
};

const char *qv__dtype_name(qv__dtype d) {
    static const char *const names[QV__DTYPE_COUNT] = {"F32", "F16", "BF16", "U8"};
    return (unsigned)d < QV__DTYPE_COUNT ? names[d] : "?";
}

static qv_status no_memory(qv_error *err) {
    return qv__fail(err, QV_NO_MEMORY, "out of memory for the list of tensors");
}

static struct item *add_item(qv__checkpoint *c) {
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 256, bytes;
        if (__builtin_mul_overflow(capacity, sizeof *c->items, &bytes)) return NULL;
        struct item *items = qv__realloc(c->items, bytes);
        if (!items) return NULL;
        c->items = items;
        c->capacity = capacity;
    }
    struct item *item = &c->items[c->count];
    *item = (struct item){0};
    return item; /* counted by the caller when it is filled */
}

/* ---- files ---------------------------------------------------------------------------------------- */

static qv_status add_entry(qv__checkpoint *c, const struct shard *shard, const qv__safetensors_entry *e,
                           qv_error *err) {
    char name[QV__TENSOR_NAME_MAX + 64];
    struct item *item = c->count < ITEMS_MAX ? add_item(c) : NULL;
    if (!item) return no_memory(err);
    if (!qv__tensor_name(e->name, name, sizeof name)) return qv__fail(err, QV_INTERNAL, "tensor name does not fit");
    item->stored = qv__arena_strndup(&c->memory, e->name, strlen(e->name));
    item->tensor.name = qv__arena_strndup(&c->memory, name, strlen(name));
    item->dtype_text = qv__arena_strndup(&c->memory, e->dtype_text, strlen(e->dtype_text));
    if (!item->stored || !item->tensor.name || !item->dtype_text) return no_memory(err);
    item->file = shard->file;
    item->usable = e->usable;
    item->tensor.dtype = e->dtype;
    item->tensor.rank = e->rank;
    memcpy(item->tensor.shape, e->shape, sizeof e->shape);
    item->tensor.bytes = (size_t)e->bytes;
    item->tensor.data = shard->map.data ? (const char *)shard->map.data + e->offset : NULL;
    c->count++;
    return QV_OK;
}

/* Adds the tensors of folder/file to the list. */
static qv_status open_shard(qv__checkpoint *c, const char *file, bool headers_only, qv_error *err) {
    struct shard *shard = &c->shards[c->shard_count++];
    qv__safetensors_header header = {0};
    uint64_t size;
    int fd = -1;
    char *path = qv__path_join(c->folder, file);
    shard->file = qv__arena_strndup(&c->memory, file, strlen(file));
    qv_status status = path && shard->file ? QV_OK : no_memory(err);
    if (!status) status = qv__file_open(path, &fd, &size, err);
    if (!status) status = qv__safetensors_read(fd, path, size, &header, err);
    if (!status && !headers_only) status = qv__file_map(fd, path, size, &shard->map, err);
    for (size_t i = 0; !status && i < header.count; i++) status = add_entry(c, shard, &header.entries[i], err);
    qv__safetensors_clear(&header);
    if (fd >= 0) close(fd);
    qv__free(path);
    return status;
}

/* A shard is a file of the folder itself: the index may not lead elsewhere. */
static bool plain_file_name(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (name[i] == '/' || name[i] == '\\' || (unsigned char)name[i] < 0x20 || name[i] == 0x7F) return false;
    return n > 0 && n <= 255 && name[0] != '.';
}

static qv_status open_new_shard(qv__checkpoint *c, const char *file, bool headers_only, qv_error *err) {
    for (size_t i = 0; i < c->shard_count; i++)
        if (strcmp(c->shards[i].file, file) == 0) return QV_OK;
    if (c->shard_count == SHARDS_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "model.safetensors.index.json names more than %d files", SHARDS_MAX);
    return open_shard(c, file, headers_only, err);
}

static qv_status sort_items(qv__checkpoint *c, qv_error *err);
static const struct item *find_item(const qv__checkpoint *c, const char *name);

/* Every tensor of the index is in the shard that the index says. */
static qv_status check_index(const qv__checkpoint *c, json_t *weight_map, qv_error *err) {
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        char published[QV__TENSOR_NAME_MAX + 64];
        const struct item *item = qv__tensor_name(name, published, sizeof published) ? find_item(c, published) : NULL;
        const char *file = json_string_value(value);
        if (!item || strcmp(item->file, file))
            return qv__fail(err, QV_BAD_CHECKPOINT, "model.safetensors.index.json: tensor \"%.200s\" is not in %.200s",
                            name, file);
    }
    return QV_OK;
}

static qv_status open_index(qv__checkpoint *c, json_t *index, bool headers_only, qv_error *err) {
    json_t *weight_map = json_object_get(index, "weight_map"), *value;
    const char *name;
    if (!json_is_object(weight_map))
        return qv__fail(err, QV_BAD_CHECKPOINT, "model.safetensors.index.json: weight_map is missing");
    json_object_foreach(weight_map, name, value) {
        const char *file = json_string_value(value);
        if (!file || !plain_file_name(file))
            return qv__fail(
                err, QV_BAD_CHECKPOINT,
                "model.safetensors.index.json: \"%.200s\" (for tensor \"%.100s\") is not the plain name of a file",
                file ? file : "", name);
        qv_status status = open_new_shard(c, file, headers_only, err);
        if (status) return status;
    }
    qv_status status = sort_items(c, err);
    return status ? status : check_index(c, weight_map, err);
}

/* model.safetensors when it is there, else the shards of the index. */
static qv_status open_files(qv__checkpoint *c, bool headers_only, qv_error *err) {
    static const char single[] = "model.safetensors";
    json_t *index = NULL;
    char *path = qv__path_join(c->folder, single),
         *index_path = qv__path_join(c->folder, "model.safetensors.index.json");
    c->shards = qv__calloc(SHARDS_MAX, sizeof *c->shards);
    qv_status status = path && index_path && c->shards ? QV_OK : no_memory(err);
    if (status) goto done;
    if (access(path, F_OK) == 0 || access(index_path, F_OK) != 0) {
        status = open_shard(c, single, headers_only, err);
        if (!status) status = sort_items(c, err);
        if (status == QV_NOT_FOUND)
            qv__fail(err, status, "%s has no model.safetensors and no model.safetensors.index.json", c->folder);
        goto done;
    }
    status = qv__json_read(index_path, INDEX_BYTES_MAX, &index, err);
    if (!status) status = open_index(c, index, headers_only, err);
done:
    json_decref(index);
    qv__free(path);
    qv__free(index_path);
    return status;
}

/* ---- dummy weights -------------------------------------------------------------------------------- */

static bool add_dummy(void *context, const char *name, int rank, const int64_t *shape) {
    qv__checkpoint *c = context;
    struct item *item = add_item(c);
    if (!item || !(item->tensor.name = qv__arena_strndup(&c->memory, name, strlen(name)))) return false;
    size_t bytes = qv__dtype_size(QV__BF16);
    for (int i = 0; i < rank; i++) {
        item->tensor.shape[i] = shape[i];
        if (__builtin_mul_overflow(bytes, (size_t)shape[i], &bytes)) return false;
    }
    item->tensor.dtype = QV__BF16;
    item->tensor.rank = rank;
    item->tensor.bytes = bytes;
    item->stored = item->tensor.name;
    item->dtype_text = "BF16";
    item->usable = true;
    c->count++;
    return true;
}

static qv_status make_dummy(qv__checkpoint *c, const char *format, const qv__checkpoint_options *o, qv_error *err) {
    uint64_t seed;
    qv_status status = qv__dummy_seed(format, &seed, err);
    if (status) return status;
    c->dummy = true;
    if (!qv__dummy_list(&c->config, add_dummy, c)) return no_memory(err);
    if ((status = sort_items(c, err)) || o->headers_only) return status;
    qv__tensor **tensors = qv__alloc_array(c->count, sizeof *tensors);
    if (!tensors) return no_memory(err);
    for (size_t i = 0; i < c->count; i++) tensors[i] = &c->items[i].tensor;
    status = qv__dummy_make(tensors, c->count, seed, o->threads, &c->made, err);
    qv__free(tensors);
    return status;
}

/* ---- the list ------------------------------------------------------------------------------------- */

static int compare_items(const void *a, const void *b) {
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    int order = strcmp(x->tensor.name, y->tensor.name);
    return order ? order : x < y ? -1 : x > y;
}

/* Moves what cannot be used behind the rest, keeping the order, and sorts by_name. */
static qv_status sort_items(qv__checkpoint *c, qv_error *err) {
    struct item *sorted = qv__alloc_array(c->count, sizeof *sorted);
    c->by_name = qv__alloc_array(c->count, sizeof *c->by_name);
    if (!sorted || !c->by_name) {
        qv__free(sorted);
        return no_memory(err);
    }
    size_t at = 0;
    for (int usable = 1; usable >= 0; usable--) {
        for (size_t i = 0; i < c->count; i++)
            if (c->items[i].usable == usable) sorted[at++] = c->items[i];
        if (usable) c->usable = at;
    }
    qv__free(c->items);
    c->items = sorted;
    for (size_t i = 0; i < c->count; i++) c->by_name[i] = &c->items[i];
    if (c->count) qsort(c->by_name, c->count, sizeof *c->by_name, compare_items);
    for (size_t i = 1; i < c->count; i++) {
        const struct item *a = c->by_name[i - 1], *b = c->by_name[i];
        if (strcmp(a->tensor.name, b->tensor.name)) continue;
        return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\" is there twice: \"%s\" in %s and \"%s\" in %s",
                        a->tensor.name, a->stored, a->file, b->stored, b->file);
    }
    return QV_OK;
}

static int compare_name(const void *key, const void *element) {
    return strcmp(key, (*(struct item *const *)element)->tensor.name);
}

static const struct item *find_item(const qv__checkpoint *c, const char *name) {
    struct item *const *at = c->count ? bsearch(name, c->by_name, c->count, sizeof *c->by_name, compare_name) : NULL;
    return at ? *at : NULL;
}

const qv__tensor *qv__checkpoint_find(const qv__checkpoint *c, const char *name) {
    const struct item *item = find_item(c, name);
    return item && item->usable ? &item->tensor : NULL;
}

/* "[2048, *]" */
static void print_shape(char *out, size_t size, int rank, const int64_t *shape) {
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && at < size; i++) {
        if (i) at += (size_t)snprintf(out + at, size - at, ", ");
        if (at < size && shape[i] < 0)
            at += (size_t)snprintf(out + at, size - at, "*");
        else if (at < size)
            at += (size_t)snprintf(out + at, size - at, "%lld", (long long)shape[i]);
    }
    if (at < size) snprintf(out + at, size - at, "]");
}

qv_status qv__checkpoint_need(const qv__checkpoint *c, const char *name, int rank, const int64_t *shape,
                              const qv__tensor **out, qv_error *err) {
    const struct item *item = find_item(c, name);
    if (!item) return qv__fail(err, QV_BAD_CHECKPOINT, "%s: tensor \"%s\" is missing", c->folder, name);
    if (!item->usable)
        return qv__fail(err, QV_UNSUPPORTED, "%s/%s: tensor \"%s\" has dtype %s; BF16, F16 and F32 are supported",
                        c->folder, item->file, name, item->dtype_text);
    const qv__tensor *t = &item->tensor;
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++) same = shape[i] < 0 || shape[i] == t->shape[i];
    if (!same) {
        char have[128], want[128];
        print_shape(have, sizeof have, t->rank, t->shape);
        print_shape(want, sizeof want, rank, shape);
        return qv__fail(err, QV_BAD_CHECKPOINT, "%s: tensor \"%s\" is %s, but config.json wants %s", c->folder, name,
                        have, want);
    }
    *out = t;
    return QV_OK;
}

void qv__checkpoint_release(const qv__checkpoint *c, const qv__tensor *tensor) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)tensor->data, to = from + tensor->bytes;
    from = (from + page - 1) / page * page;
    to = to / page * page;
    if (tensor->data && from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

/* ---- open and close ------------------------------------------------------------------------------- */

static qv_status open_config(qv__checkpoint *c, qv_error *err) {
    char *path = qv__path_join(c->folder, "config.json"), *text = NULL;
    size_t size;
    if (!path) return qv__fail(err, QV_NO_MEMORY, "out of memory");
    qv_status status = qv__file_read(path, CONFIG_BYTES_MAX, &text, &size, err);
    if (!status) {
        status = qv__config_parse(text, size, &c->config, err);
        if (status) qv__fail_in(err, status, "%s", c->folder);
    }
    qv__free(text);
    qv__free(path);
    return status;
}

static qv_status open_tensors(qv__checkpoint *c, const qv__checkpoint_options *o, qv_error *err) {
    const char *format = o->load_format ? o->load_format : "auto";
    if (strcmp(format, "auto") == 0 || strcmp(format, "safetensors") == 0) return open_files(c, o->headers_only, err);
    if (strcmp(format, "dummy") == 0 || strncmp(format, "dummy:", 6) == 0) return make_dummy(c, format, o, err);
    return qv__fail(err, QV_INVALID_ARGUMENT, "load format \"%.64s\" is none of auto, safetensors, dummy, dummy:SEED",
                    format);
}

qv_status qv__checkpoint_open(const char *folder, const qv__checkpoint_options *options, qv__checkpoint **out,
                              qv_error *err) {
    const qv__checkpoint_options defaults = {0};
    *out = NULL;
    if (!qv__is_folder(folder)) return qv__fail(err, QV_NOT_FOUND, "%s is not a folder", folder);
    qv__checkpoint *c = qv__calloc(1, sizeof *c);
    qv_status status = c && (c->folder = qv__strdup(folder)) ? QV_OK : qv__fail(err, QV_NO_MEMORY, "out of memory");
    if (!status) status = open_config(c, err);
    if (!status) status = qv__task_detect(folder, &c->task, err);
    if (!status) status = open_tensors(c, options ? options : &defaults, err);
    if (status) {
        qv__checkpoint_close(&c);
        return status;
    }
    *out = c;
    return QV_OK;
}

void qv__checkpoint_close(qv__checkpoint **checkpoint) {
    qv__checkpoint *c = *checkpoint;
    if (!c) return;
    for (size_t i = 0; i < c->shard_count; i++) qv__mapping_close(&c->shards[i].map);
    qv__mapping_close(&c->made);
    qv__free(c->shards);
    qv__free(c->by_name);
    qv__free(c->items);
    qv__arena_clear(&c->memory);
    qv__free(c->folder);
    qv__free(c);
    *checkpoint = NULL;
}

const qv__config *qv__checkpoint_config(const qv__checkpoint *c) {
    return &c->config;
}
const char *qv__checkpoint_folder(const qv__checkpoint *c) {
    return c->folder;
}
bool qv__checkpoint_is_dummy(const qv__checkpoint *c) {
    return c->dummy;
}
qv_task qv__checkpoint_task(const qv__checkpoint *c) {
    return c->task;
}
size_t qv__checkpoint_count(const qv__checkpoint *c) {
    return c->usable;
}
const qv__tensor *qv__checkpoint_at(const qv__checkpoint *c, size_t i) {
    return i < c->usable ? &c->items[i].tensor : NULL;
}
