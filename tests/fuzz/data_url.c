/* data: URLs give bytes within the limit or an error. Below a root no text reaches a file outside it: the root here is
 * an empty folder, so a path that loads anything has escaped. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/qvec-fuzz-XXXXXX";

static void remove_root(void) {
    rmdir(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool made;
    static const qv__media_limits limits = {.max_bytes = 4096};
    if (!made) {
        if (!mkdtemp(root) || atexit(remove_root)) abort();
        made = true;
    }
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    void *bytes;
    size_t count;
    qv_error err = {0};
    qv_status status = qv__media_load(text, NULL, root, &limits, &bytes, &count, &err);
    if (status ? bytes || err.code != status || !err.message[0] : count > 4096 || strncasecmp(text, "data:", 5))
        abort();
    free(bytes);
    free(text);
    return 0;
}
