/* Pictures' places written into texts. A picture's place is that of its part; but older clients of vLLM send it as well
 * as
 * "<|vision_start|><|image_pad|><|vision_end|>" inside a text of the same turn, which must not stand there twice. */
#ifndef QVEC_API_PLACEHOLDERS_H
#define QVEC_API_PLACEHOLDERS_H

#include "api/content.h"

/* In the parts from `first` on, each such place takes one of the pictures or videos, in order; those for which none is
 * left over stay where they are, and come first. More places than pictures are refused. */
qv_status qv__placeholders_settle(qv__content *c, size_t first);
#endif
