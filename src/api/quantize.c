#include "api/quantize.h"

#include <math.h>

size_t qv__quantize_size(qv__numbers kind, size_t count) {
    return kind == QV__BINARY || kind == QV__UBINARY ? count / 8 : count;
}

bool qv__numbers_signed(qv__numbers kind) {
    return kind == QV__INT8 || kind == QV__BINARY;
}

static void pack_bits(const float *values, size_t count, uint8_t bias, uint8_t *out) {
    for (size_t i = 0; i < count / 8; i++) {
        unsigned byte = 0;
        for (size_t k = 0; k < 8; k++) byte = byte << 1 | (values[8 * i + k] >= 0);
        out[i] = (uint8_t)(byte - bias);
    }
}

static void scale(const float *values, size_t count, int bias, uint8_t *out) {
    double factor = 16 * sqrt((double)count);
    for (size_t i = 0; i < count; i++) {
        double v = nearbyint((double)values[i] * factor);
        out[i] = (uint8_t)((v > 127 ? 127 : v < -127 ? -127 : (int)v) + bias);
    }
}

void qv__quantize(const float *values, size_t count, qv__numbers kind, uint8_t *out) {
    switch (kind) {
    case QV__BINARY: pack_bits(values, count, 128, out); break;
    case QV__UBINARY: pack_bits(values, count, 0, out); break;
    case QV__UINT8: scale(values, count, 128, out); break;
    default: scale(values, count, 0, out);
    }
}
