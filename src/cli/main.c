#include <stdio.h>

#include "qvec/qvec.h"

int main(void) {
    puts(QVEC_VERSION);
    return 0;
}
