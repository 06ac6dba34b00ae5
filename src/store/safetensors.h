/* The header of a safetensors file: 8 bytes little-endian length, that many bytes of JSON, then the data.
 * {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {..}};
 * offsets count from the end of the header. Format: github.com/huggingface/safetensors, README. */
#ifndef QVEC_STORE_SAFETENSORS_H
#define QVEC_STORE_SAFETENSORS_H

#include "base/memory.h"
#include "store/checkpoint.h"

enum {
    QV__SAFETENSORS_HEADER_MAX = 8 << 20, /* bytes of JSON; the 8B's shards have about 0.1 MB */
    QV__SAFETENSORS_COUNT_MAX = 1 << 16,
    QV__TENSOR_NAME_MAX = 255,
};

typedef struct {
    const char *name; /* as in the file */
    bool usable;      /* dtype is one of qv__dtype; others may exist, and are refused when asked for */
    qv__dtype dtype;
    char dtype_text[16]; /* as in the file, cut */
    int rank;
    int64_t shape[QV__RANK_MAX];
    uint64_t offset, bytes; /* from the start of the file */
} qv__safetensors_entry;

typedef struct {
    qv__safetensors_entry *entries; /* by offset */
    size_t count;
    qv__arena memory;
} qv__safetensors_header;

/* Length of the JSON, checked against the limit and the file's size. first: the file's first 8 bytes. */
qv_status qv__safetensors_length(const void *first, uint64_t file_size, size_t *out, qv_error *err);

/* Parses and checks the JSON: every usable tensor has shape x dtype = bytes, lies inside the file, overlaps
 * no other and starts at a multiple of its dtype's size. Errors name the tensor, not the file. */
qv_status qv__safetensors_parse(const char *json, size_t size, uint64_t file_size, qv__safetensors_header *out,
                                qv_error *err);
void qv__safetensors_clear(qv__safetensors_header *header);

/* Both of the above on an open file; the weights are not touched. */
qv_status qv__safetensors_read(int fd, const char *path, uint64_t file_size, qv__safetensors_header *out,
                               qv_error *err);
#endif
