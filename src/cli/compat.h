/* Flags of vLLM's commands that people paste and that mean nothing, or only one thing, here. One that would change the
 * answers is refused; one that would not is taken, with a line that says so unless it asks for what is done anyway. */
#ifndef QVEC_CLI_COMPAT_H
#define QVEC_CLI_COMPAT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    QV__COMPAT_SWITCH,
    QV__COMPAT_VALUE,
    QV__COMPAT_OBJECT, /* a JSON object; its fields are looked at one by one */
} qv__compat_kind;

typedef struct {
    const char *name;
    qv__compat_kind kind;
    const char *fine;    /* values "a|b" that ask for what is done anyway; "*": any. NULL: none */
    const char *warning; /* said for the others, which are then taken; NULL: they are refused ... */
    const char *refusal; /* ... for this reason */
} qv__compat;

/* Lists, each ended by a row without a name: of `vllm serve`, of `vllm bench serve` beyond generation, and what all
 * benchmarks have about it. */
extern const qv__compat qv__compat_serve[], qv__compat_bench[], qv__compat_generation[];

/* By its full name; NULL: none, or list is NULL. */
const qv__compat *qv__compat_find(const qv__compat *list, const char *name);
/* value NULL: none was given. False: refused, and the reason has been printed. */
bool qv__compat_accept(const qv__compat *flag, const char *value);
#endif
