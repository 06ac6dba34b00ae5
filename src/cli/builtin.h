/* The model that is opened when none is named: beside the program, in its build folder, or installed. */
#ifndef QVEC_CLI_BUILTIN_H
#define QVEC_CLI_BUILTIN_H

/* The folder, malloc'd; NULL: not found (or out of memory). *name: "mini" or "dummy-small", static. */
char *qv__builtin_folder(const char **name);
#endif
