/* API keys from a file: one a line, blank lines and those that begin with # left out. */
#ifndef QVEC_CLI_KEY_FILE_H
#define QVEC_CLI_KEY_FILE_H

#include "cli/options.h"

typedef struct {
    char *text;     /* the file, cut into lines; the keys point into it */
    qv__words keys; /* at least one */
} qv__key_file;

/* Zero-initialise; qv__key_file_clear also after a failure, which names the file and the line. Warns when others may
 * read the file. */
qv_status qv__key_file_read(const char *path, qv__key_file *out, qv_error *err);
void qv__key_file_clear(qv__key_file *file); /* and wipes it */
#endif
