/* Data sets from files of any content: the asked number of whole samples, or an error that names the file. */
#include <stdlib.h>
#include <string.h>

#include "bench/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const qv__sample *s) {
    qv_error err = {0};
    qv__buffer body = {0};
    if (!s->text_count || s->inputs < 1) abort();
    for (size_t i = 0; i < s->text_count; i++)
        if (!s->texts[i]) abort();
    for (size_t i = 0; i < s->media_count; i++)
        if (!s->media[i].url || !s->media[i].url[0]) abort();
    for (int kind = QV__BACKEND_EMBEDDINGS; kind <= QV__BACKEND_INFINITY_CLIP; kind++)
        if (qv__payload_write(kind, "m", s, 1, NULL, &body, &err) && !err.message[0]) abort();
    qv__buffer_clear(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qv__samples samples;
    qv_error err = {0};
    qv_status status = qv__samples_parse((const char *)data, size, "data", NULL, 3, &samples, &err);
    if (status ? !strstr(err.message, "data") : samples.count != 3) abort();
    for (size_t i = 0; !status && i < samples.count; i++) check(&samples.items[i]);
    qv__samples_clear(&samples);
    return 0;
}
