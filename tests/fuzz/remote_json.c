/* Answers of another server: what is read is whole, finite and of the sizes it says. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli/remote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__matrix m;
    qv_error err = {0};
    double scores[3];
    if (qv__remote_read_vectors((const char *)data, size, &m, &err)) {
        if (m.values || !err.message[0]) abort();
    } else {
        if (!m.rows || !m.columns) abort();
        for (size_t i = 0; i < m.rows * m.columns; i++)
            if (!isfinite(m.values[i])) abort();
    }
    qv__matrix_clear(&m);
    if (!qv__remote_read_scores((const char *)data, size, 3, scores, &err))
        for (int i = 0; i < 3; i++)
            if (isnan(scores[i])) abort();
    return 0;
}
