/* Where items come from: the lines of a file or pipe, or what the flags gave. Blank lines do not count. */
#ifndef QVEC_CLI_LINES_H
#define QVEC_CLI_LINES_H

#include "base/memory.h"
#include "cli/options.h"

typedef struct {
    int fd;            /* -1: `given` instead */
    bool owned;        /* fd is closed by qv__lines_close */
    const char *name;  /* of the file, for messages; "stdin" */
    qv__buffer buffer; /* read and not yet handed out: [start, buffer.size) */
    size_t start, scanned;
    bool ended, skipping;            /* skipping: the rest of a line that was too long */
    int64_t number;                  /* items handed out or left to other shards */
    int64_t line;                    /* lines of the file read so far, for messages */
    int64_t bytes_read, bytes_total; /* total 0: not known */
    qv__fraction shard;              /* items whose number % n == i are handed out */
    qv__buffer given;                /* lines to hand out when fd is -1 */
} qv__lines;

enum { QV__LINE_MAX = 256 << 20 };

/* "-": stdin. The name must stay valid. */
qv_status qv__lines_open(qv__lines *lines, const char *path, qv_error *err);
/* Adds a line to be handed out; only without a file. Takes nothing over. */
qv_status qv__lines_give(qv__lines *lines, const char *text, size_t size, qv_error *err);

typedef struct {
    char *text; /* malloc'd, the caller's; NULL: the end */
    size_t size;
    bool ended;     /* by a newline; else the file stops here */
    int64_t number; /* of the item, from 0, all shards counted */
    int64_t line;   /* in the file, from 1 */
    int64_t end;    /* bytes of the input up to and with this line */
} qv__line;

/* The next item. QV_TOO_LARGE: the line is longer than QV__LINE_MAX; *line says which, without its text, and the next
 * call goes on behind it. QV_IO ends the input. One thread at a time. */
qv_status qv__lines_next(qv__lines *lines, qv__line *line, qv_error *err);
void qv__lines_close(qv__lines *lines);
#endif
