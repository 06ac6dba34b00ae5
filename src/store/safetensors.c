#include "store/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/file.h"
#include "store/json.h"

enum { LENGTH_BYTES = 8 };

static const struct {
    const char *name;
    int size; /* bytes */
    bool usable;
    qv__dtype dtype;
} dtypes[] = {
    {"BF16", 2, true, QV__BF16}, {"F16", 2, true, QV__F16}, {"F32", 4, true, QV__F32}, {"F64", 8, false, 0},
    {"I64", 8, false, 0},        {"U64", 8, false, 0},      {"I32", 4, false, 0},      {"U32", 4, false, 0},
    {"I16", 2, false, 0},        {"U16", 2, false, 0},      {"I8", 1, false, 0},       {"U8", 1, true, QV__U8},
    {"BOOL", 1, false, 0},       {"F8_E4M3", 1, false, 0},  {"F8_E5M2", 1, false, 0},
};

qv_status qv__safetensors_length(const void *first, uint64_t file_size, size_t *out, qv_error *err) {
    const unsigned char *b = first;
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | b[i];
    if (memcmp(first, "version ", LENGTH_BYTES) == 0)
        return qv__fail(err, QV_BAD_CHECKPOINT,
                        "is a Git LFS pointer, not the weights: run `git lfs pull` in the folder");
    if (length > QV__SAFETENSORS_HEADER_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT,
                        "announces a header of %llu bytes, over the limit of %d: not a safetensors file",
                        (unsigned long long)length, QV__SAFETENSORS_HEADER_MAX);
    if (file_size < LENGTH_BYTES || length > file_size - LENGTH_BYTES)
        return qv__fail(err, QV_BAD_CHECKPOINT, "is truncated: a header of %llu bytes in a file of %llu",
                        (unsigned long long)length, (unsigned long long)file_size);
    *out = (size_t)length;
    return QV_OK;
}

/* Names appear in errors, logs and `info`: no control characters. JSON already guarantees UTF-8. */
static bool printable(const char *name) {
    size_t n = 0;
    for (; name[n]; n++)
        if ((unsigned char)name[n] < 0x20 || name[n] == 0x7F) return false;
    return n > 0 && n <= QV__TENSOR_NAME_MAX;
}

/* dtype_text, usable, dtype; *size gets the bytes of a value, 0 for a dtype we do not know. */
static qv_status parse_dtype(const json_t *value, qv__safetensors_entry *e, int *size, qv_error *err) {
    const char *text = json_string_value(value);
    if (!text || !printable(text)) return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": no dtype", e->name);
    strncpy(e->dtype_text, text, sizeof e->dtype_text - 1);
    *size = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(text, dtypes[i].name)) continue;
        *size = dtypes[i].size;
        e->usable = dtypes[i].usable;
        e->dtype = dtypes[i].dtype;
    }
    return QV_OK;
}

static qv_status parse_shape(const json_t *value, qv__safetensors_entry *e, int64_t *elements, qv_error *err) {
    size_t rank = json_array_size(value);
    if (!json_is_array(value)) return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": no shape", e->name);
    if (rank > QV__RANK_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\" has %zu dimensions, at most %d are supported", e->name,
                        rank, QV__RANK_MAX);
    e->rank = (int)rank;
    *elements = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(value, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": dimension %zu is not a size", e->name, i);
        e->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(*elements, e->shape[i], elements))
            return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": the product of its shape overflows", e->name);
    }
    return QV_OK;
}

static qv_status parse_offsets(const json_t *value, uint64_t data_start, uint64_t file_size, qv__safetensors_entry *e,
                               qv_error *err) {
    const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(last) || begin < 0 || end < begin)
        return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": data_offsets are not [begin, end]", e->name);
    if ((uint64_t)end > file_size - data_start)
        return qv__fail(err, QV_BAD_CHECKPOINT,
                        "tensor \"%s\" ends at byte %lld of the data, but the file holds %llu: truncated or damaged",
                        e->name, (long long)end, (unsigned long long)(file_size - data_start));
    e->offset = data_start + (uint64_t)begin;
    e->bytes = (uint64_t)(end - begin);
    return QV_OK;
}

static qv_status parse_entry(const json_t *value, uint64_t data_start, uint64_t file_size, qv__safetensors_entry *e,
                             qv_error *err) {
    int size = 0;
    int64_t elements = 0, bytes;
    qv_status status = parse_dtype(json_object_get(value, "dtype"), e, &size, err);
    if (!status) status = parse_shape(json_object_get(value, "shape"), e, &elements, err);
    if (!status) status = parse_offsets(json_object_get(value, "data_offsets"), data_start, file_size, e, err);
    if (status || !size) return status;
    if (__builtin_mul_overflow(elements, (int64_t)size, &bytes))
        return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": its size in bytes overflows", e->name);
    if ((uint64_t)bytes != e->bytes)
        return qv__fail(err, QV_BAD_CHECKPOINT, "tensor \"%s\": shape and dtype %s make %lld bytes, data_offsets %llu",
                        e->name, e->dtype_text, (long long)bytes, (unsigned long long)e->bytes);
    /* The map starts at a page, so the offset in the file decides the alignment in memory. */
    if (e->usable && e->offset % (uint64_t)size)
        return qv__fail(err, QV_BAD_CHECKPOINT,
                        "tensor \"%s\" starts at byte %llu of the file, not a multiple of %d: write the file again",
                        e->name, (unsigned long long)e->offset, size);
    return QV_OK;
}

static int by_offset(const void *a, const void *b) {
    const qv__safetensors_entry *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static qv_status parse_all(json_t *root, uint64_t data_start, uint64_t file_size, qv__safetensors_header *out,
                           qv_error *err) {
    size_t room = json_object_size(root);
    if (room > QV__SAFETENSORS_COUNT_MAX)
        return qv__fail(err, QV_BAD_CHECKPOINT, "has %zu tensors, over the limit of %d", room,
                        QV__SAFETENSORS_COUNT_MAX);
    out->entries = qv__calloc(room, sizeof *out->entries);
    if (!out->entries) return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu tensors", room);
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        if (!printable(name))
            return qv__fail(err, QV_BAD_CHECKPOINT, "a tensor's name is empty, over %d bytes or not printable",
                            QV__TENSOR_NAME_MAX);
        qv__safetensors_entry *e = &out->entries[out->count];
        e->name = qv__arena_strndup(&out->memory, name, strlen(name));
        if (!e->name) return qv__fail(err, QV_NO_MEMORY, "out of memory for tensor names");
        qv_status status = parse_entry(value, data_start, file_size, e, err);
        if (status) return status;
        out->count++;
    }
    qsort(out->entries, out->count, sizeof *out->entries, by_offset);
    const qv__safetensors_entry *last = NULL; /* the last one with bytes in it */
    for (size_t i = 0; i < out->count; i++) {
        const qv__safetensors_entry *e = &out->entries[i];
        if (last && e->bytes && e->offset < last->offset + last->bytes)
            return qv__fail(err, QV_BAD_CHECKPOINT, "tensors \"%s\" and \"%s\" overlap", last->name, e->name);
        if (e->bytes) last = e;
    }
    return QV_OK;
}

qv_status qv__safetensors_parse(const char *json, size_t size, uint64_t file_size, qv__safetensors_header *out,
                                qv_error *err) {
    *out = (qv__safetensors_header){0};
    json_t *root = NULL;
    if (file_size < LENGTH_BYTES || size > file_size - LENGTH_BYTES)
        return qv__fail(err, QV_BAD_CHECKPOINT, "is truncated");
    qv_status status = qv__json_parse(json, size, &root, err);
    if (status) return qv__fail_in(err, status, "header");
    status = parse_all(root, LENGTH_BYTES + size, file_size, out, err);
    json_decref(root);
    if (status) qv__safetensors_clear(out);
    return status;
}

void qv__safetensors_clear(qv__safetensors_header *header) {
    qv__free(header->entries);
    qv__arena_clear(&header->memory);
    *header = (qv__safetensors_header){0};
}

qv_status qv__safetensors_read(int fd, const char *path, uint64_t file_size, qv__safetensors_header *out,
                               qv_error *err) {
    char first[LENGTH_BYTES], *json = NULL;
    size_t size;
    *out = (qv__safetensors_header){0};
    if (file_size < LENGTH_BYTES)
        return qv__fail(err, QV_BAD_CHECKPOINT, "%s is truncated: %llu bytes", path, (unsigned long long)file_size);
    qv_status status = qv__file_read_at(fd, path, 0, first, LENGTH_BYTES, err);
    if (status) return status;
    status = qv__safetensors_length(first, file_size, &size, err);
    if (status) return qv__fail_in(err, status, "%s", path);
    if (!(json = qv__malloc(size))) return qv__fail(err, QV_NO_MEMORY, "out of memory for the header of %s", path);
    status = qv__file_read_at(fd, path, LENGTH_BYTES, json, size, err);
    if (!status) {
        status = qv__safetensors_parse(json, size, file_size, out, err);
        if (status) qv__fail_in(err, status, "%s", path);
    }
    qv__free(json);
    return status;
}
