/* Pictures as JPEG files, for the benchmark's random ones. */
#ifndef QVEC_MEDIA_JPEG_WRITE_H
#define QVEC_MEDIA_JPEG_WRITE_H

#include "base/memory.h"
#include "qvec/qvec.h"

/* Appends rgb[height][width][3] as a baseline JPEG, chroma halved both ways. quality: 1 to 100. QV_NO_MEMORY,
 * QV_INVALID_ARGUMENT (sides above 65,535). */
qv_status qv__jpeg_write(const uint8_t *rgb, int height, int width, int quality, qv__buffer *out, qv_error *err);
#endif
