/* Files from outside: only regular files are opened (through symbolic links too: hub caches are made of
 * them), never a FIFO, device or folder, and opening never blocks.
 *
 * A mapped file that somebody shortens while it is in use faults on access (SIGBUS), as with every program
 * that maps files; headers are therefore read with pread, which reports it, and the size is checked again
 * after mapping. */
#ifndef QVEC_STORE_FILE_H
#define QVEC_STORE_FILE_H

#include "qvec/qvec.h"

typedef struct {
    void *data;
    size_t size;
} qv__mapping;

/* Opens a regular file for reading. QV_NOT_FOUND when it is absent, else QV_IO. */
qv_status qv__file_open(const char *path, int *fd, uint64_t *size, qv_error *err);
/* Exactly `size` bytes from `offset`; a file that ends earlier is an error. */
qv_status qv__file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t size, qv_error *err);
/* Maps the whole file read-only. size: as given by qv__file_open. */
qv_status qv__file_map(int fd, const char *path, uint64_t size, qv__mapping *out, qv_error *err);
void qv__mapping_close(qv__mapping *mapping);

char *qv__path_join(const char *folder, const char *name); /* "folder/name", malloc'd; NULL: out of memory */
bool qv__is_folder(const char *path);
#endif
