/* A progress line on stderr, when that is a terminal and the work takes longer than a moment. One thread. */
#ifndef QVEC_CLI_PROGRESS_H
#define QVEC_CLI_PROGRESS_H

#include "qvec/qvec.h"

typedef struct {
    bool shown, drawn; /* shown: there is a terminal to draw on */
    int64_t start_ns, drawn_ns;
    double fraction; /* of the input that is answered; negative: not known */
    int64_t items, tokens, failed;
} qv__progress;

/* wanted false: never drawn. */
void qv__progress_start(qv__progress *p, bool wanted);
/* Draws when the last time is long enough ago. Set the fields before. */
void qv__progress_tick(qv__progress *p);
/* Removes the line, so that messages stand alone. */
void qv__progress_clear(qv__progress *p);
/* Removes the line and, when it had been drawn, says what was done in which time. noun: "vectors". */
void qv__progress_end(qv__progress *p, const char *noun);
#endif
