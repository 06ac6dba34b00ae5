#include "qvec/qvec.h"

const char *qv_version(void) {
    return QVEC_VERSION;
}
