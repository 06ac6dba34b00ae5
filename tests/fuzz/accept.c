/* Any Accept header is read within its bounds; only one that names text/html asks for the page, and taking a type
 * away never makes it one that does. */
#include <stdlib.h>
#include <string.h>

#include "api/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *accept = malloc(size + 1);
    memcpy(accept, data, size);
    accept[size] = 0;
    bool page = qv__accepts_page(accept);
    if (page && !strcasestr(accept, "text/html")) abort();
    char *json = malloc(size + 20);
    strcpy(json, "application/json,");
    strcat(json, accept); /* the first naming of a type counts */
    if (qv__accepts_page(json)) abort();
    free(json);
    free(accept);
    return 0;
}
