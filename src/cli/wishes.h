/* Flags that stand for members a line does not have, and what --echo adds to answers. */
#ifndef QVEC_CLI_WISHES_H
#define QVEC_CLI_WISHES_H

#include "cli/options.h"
#include "lib/session.h"

typedef struct {
    const char *instruction;
    int64_t max_length, min_pixels, max_pixels, max_frames; /* 0: default */
    double fps;
    bool apply_orientation;
    const char *echo; /* "ids", "frames", "ids,frames" */
    bool echo_ids, echo_frames;
} qv__wish_flags;

/* Rows for sets whose `values` is a qv__wish_flags. */
extern const qv__option qv__wish_rows[];
enum { QV__WISH_ROWS = 8 };

/* Reads `echo`. False: the reason has been printed. */
bool qv__wishes_check(qv__wish_flags *wishes);
void qv__wishes_apply(const qv__wish_flags *wishes, qv_input *input);

/* [[height,width,"sha256 of the RGB bytes"],...] of a prepared item, in the order they enter the model. */
void qv__write_frames(const qv__item *item, const qv__config *config, qv__buffer *out);
void qv__write_float(float value, qv__buffer *out); /* shortest text that reads back exactly */
#endif
