/* What embed, rerank and tokenize have in common: items from flags or lines, answers to stdout or a file, exit status.
 */
#ifndef QVEC_CLI_INPUTS_H
#define QVEC_CLI_INPUTS_H

#include "cli/model_flags.h"
#include "cli/stream.h"

/* Tags of words in `parts` below. */
enum { QV__WORD_TEXT, QV__WORD_IMAGE, QV__WORD_VIDEO };

typedef struct {
    const char *file; /* lines: a path or "-"; NULL: the parts, or the given line */
    qv__buffer given;
    qv__words parts;    /* --text, --image, --video in the order given */
    bool together;      /* all parts make one item */
    qv__fraction shard; /* n 0: all */
    const char *media_root;
} qv__input_flags;

typedef struct {
    const char *path;   /* NULL: stdout */
    const char *format; /* NULL: jsonl */
    bool resume;
    bool no_progress;
} qv__output_flags;

/* Rows for sets whose `values` is a qv__input_flags: TEXT rows for all, MEDIA and LINES rows for some. */
extern const qv__option qv__text_rows[], qv__media_rows[], qv__lines_rows[];
enum { QV__TEXT_ROWS = 1, QV__MEDIA_ROWS = 4, QV__LINES_ROWS = 1 };

/* Rows for sets whose `values` is a qv__output_flags: with and without the matrix formats. */
extern const qv__option qv__matrix_rows[], qv__output_rows[];
enum { QV__OUTPUT_ROWS = 4 };
/* False: printed why. */
bool qv__output_flags_check(const qv__output_flags *flags);
/* The ids that --resume finds in the output. False: printed why. */
bool qv__answered_read(const qv__output_flags *flags, qv__id_set *answered);

/* MODEL and FILE among at most two positionals: "-", a regular file and NAME.jsonl are a FILE. False: printed why. */
bool qv__take_positionals(const qv__words *words, qv__model_flags *model, qv__input_flags *inputs);
/* Some input there: else stdin when it is not a terminal. False: printed why. */
bool qv__inputs_check(qv__input_flags *inputs);
void qv__inputs_clear(qv__input_flags *inputs);

/* The folder that relative media paths of these inputs mean: --media-root, the file's own, or NULL (the working
 * directory). *folder: malloc'd or NULL. False: out of memory, printed. */
bool qv__inputs_folder(const qv__input_flags *inputs, char **folder);

/* The items as lines, sharded. Close the lines also after a failure. */
qv_status qv__inputs_open(const qv__input_flags *inputs, qv__lines *lines, qv_error *err);

/* Reads, prepares and writes all items; prints what failed. columns: of npy and bin rows. noun: "vectors". Returns the
 * exit status, and does not return when interrupted or when the output fails. */
int qv__run_items(qv__input_flags *inputs, const qv__output_flags *output, int helpers, int64_t columns,
                  const qv__stream_steps *steps, const char *noun);

/* {"text":[...],"image":[...],"video":"..."} of words with the tags above. */
qv_status qv__write_together(const qv__words *words, qv__buffer *out, qv_error *err);
void qv__write_ids(const int32_t *ids, size_t count, qv__buffer *out); /* [1,2,3] */
#endif
